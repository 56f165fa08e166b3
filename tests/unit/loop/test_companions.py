"""What runs beside the chores: entered in order, left in the other, and stopped by the first that cannot begin."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from segue.loop import companions


@pytest.fixture(autouse=True)
def registered(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(companions, "_companions", [])


def test_companions_run_as_long_as_the_block() -> None:
    seen: list[str] = []

    @contextmanager
    def companion(name: str) -> Iterator[None]:
        seen.append(f"+{name}")
        yield
        seen.append(f"-{name}")

    companions.register_companion(lambda: companion("a"))
    companions.register_companion(lambda: companion("b"))
    with companions.companions():
        assert seen == ["+a", "+b"]
    assert seen == ["+a", "+b", "-b", "-a"]


def test_one_that_cannot_begin_ends_those_before_it() -> None:
    left: list[str] = []

    @contextmanager
    def first() -> Iterator[None]:
        try:
            yield
        finally:
            left.append("first")

    @contextmanager
    def broken() -> Iterator[None]:
        raise ValueError("no backend")
        yield

    companions.register_companion(first)
    companions.register_companion(broken)
    with pytest.raises(ValueError, match="no backend"), companions.companions():
        pytest.fail("it began")
    assert left == ["first"]
