"""What a running task may ask and say."""

from __future__ import annotations

import math
from contextlib import nullcontext
from decimal import Decimal
from fractions import Fraction
from typing import Any

import pytest

from segue.authoring import Cancelled, Context, NoStepError, current, progress, use
from segue.errors import DefinitionError

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


@pytest.mark.parametrize("done", [Decimal(5), Fraction(5), 5, 5.0, Decimal("5.0")])
def test_a_number_of_any_kind_is_progress(done: Any) -> None:
    said: list[Any] = []
    with use(context(said)):
        progress(done, done, None)  # type: ignore[arg-type]
    assert said == [(5.0, 5.0, "")]
    assert all(type(number) is float for number in said[0][:2])


@pytest.mark.parametrize("value", [math.nan, math.inf, Decimal("NaN"), 10**400, True, "7", b"7", object(), 1j])
def test_what_is_no_number_is_refused_where_it_is_said(value: Any) -> None:
    for wrong in ((value,), (1, value)):
        for surroundings in (nullcontext(), use(context([]))):
            with surroundings, pytest.raises(DefinitionError, match=r"^progress\((done|total)=.*give a finite number"):
                progress(*wrong)
    with pytest.raises(DefinitionError, match="total="):
        progress([1, 2], value)


def test_a_message_is_a_text() -> None:
    with pytest.raises(DefinitionError, match="message=7"):
        progress(1, 2, 7)  # type: ignore[call-overload]


def test_cancelled_passes_through_except_exception() -> None:
    assert not issubclass(Cancelled, Exception)
