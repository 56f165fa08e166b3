"""What user code hands over is described, whatever its own code does."""

from __future__ import annotations

from typing import Any

import pytest

from segue import given


class OtherError(Exception):
    """Raises from everything that may be looked at."""

    def __getattribute__(self, name: str) -> Any:
        raise SystemExit(name)

    def __str__(self) -> str:
        raise KeyboardInterrupt


def test_a_traceback_is_kept_although_the_exception_cannot_be_asked() -> None:
    try:
        raise OtherError("x")
    except OtherError as error:
        found = given.described(error)
    assert found.type == f"{__name__}.OtherError"
    assert found.message == "(its __str__ raised KeyboardInterrupt)"
    assert 'raise OtherError("x")' in found.traceback
    assert found.traceback.endswith("(the rest of the traceback could not be written: SystemExit)\n")


def test_an_exception_that_behaves_is_written_as_python_writes_it() -> None:
    try:
        raise ValueError("broken") from KeyError("deeper")
    except ValueError as error:
        error.add_note("a note")
        found = given.described(error)
    assert found.message == "broken"
    assert found.traceback.startswith("KeyError: 'deeper'\n\nThe above exception")
    assert found.traceback.endswith("ValueError: broken\na note\n")


def test_an_attribute_is_read_without_asking_the_object() -> None:
    class EagerError(Exception):
        def __getattr__(self, name: str) -> Any:
            raise KeyError(name)

    error = EagerError()
    assert given.attribute(error, "missing", 7) == 7
    error.there = 1  # type: ignore[attr-defined]
    assert given.attribute(error, "there") == 1


def test_a_class_is_what_it_was_made_of_and_not_what_it_claims() -> None:
    class Claims:
        @property
        def __class__(self) -> Any:
            return ValueError

    assert not given.is_a(Claims(), ValueError)
    assert given.is_a(FileNotFoundError(), KeyError, OSError)


@pytest.mark.parametrize("limit", [100, 4096])
def test_a_long_text_keeps_both_ends(limit: int) -> None:
    text = given.clean("a" + "ä\udcff" * 1_000_000 + "z", limit)
    assert len(text.encode()) <= limit
    assert (text[0], text[-1]) == ("a", "z")
    assert "[... cut ...]" in text


def test_a_value_is_shown_shortly() -> None:
    assert given.shown(10**5000) == "<an int of 16,610 bits>"
    assert len(given.shown("x" * 10**6)) <= given.SHOWN_CHARACTERS
    assert given.shown([1, 2]) == "[1, 2]"
    assert given.shown(OtherError).startswith("<class")
