"""What a running task may ask and say."""

from __future__ import annotations

from typing import Any

import pytest

from segue.authoring import Cancelled, Context, NoStepError, current, progress, use

pytestmark = pytest.mark.unit


def context(said: list[Any], cancelled: list[bool] | None = None) -> Context:
    flags = cancelled if cancelled is not None else [False]
    return Context("run", 3, 1, "parse[3]", "m.parse", lambda *what: said.append(what), cancelled=lambda: flags[0])


def test_progress_is_silent_outside_of_a_step() -> None:
    progress(1, 2)
    assert list(progress([1, 2])) == [1, 2]
    with pytest.raises(NoStepError, match="inside a task"):
        current()


def test_progress_reports_what_it_is_told() -> None:
    said: list[Any] = []
    with use(context(said)) as now:
        assert current() is now
        assert current().idempotency_key == "run:3"
        progress(3, 10, "rows")
    assert said == [(3, 10, "rows")]
    with pytest.raises(NoStepError):
        current()


def test_a_loop_reports_its_start_and_its_end_and_knows_its_length() -> None:
    said: list[Any] = []
    with use(context(said)):
        assert list(progress(["a", "b", "c"], message="m")) == ["a", "b", "c"]
        assert list(progress(iter(range(2)))) == [0, 1]
    assert said[0] == (0, 3, "m")
    assert said[-3:] == [(3, 3, "m"), (0, None, ""), (2, None, "")]


def test_a_cancelled_step_is_told_at_its_next_progress() -> None:
    flags = [True]
    with use(context([], flags)), pytest.raises(Cancelled):
        progress(1)
    flags[0] = False
    seen: list[int] = []

    def work() -> None:
        for item in progress([1, 2, 3]):
            seen.append(item)
            flags[0] = item == 2

    with use(context([], flags)), pytest.raises(Cancelled):
        work()
    assert seen == [1, 2]


def test_cancelled_passes_through_except_exception() -> None:
    assert not issubclass(Cancelled, Exception)
