"""Places and tokens: what fits, what is taken, how long to wait."""

from __future__ import annotations

import math
from datetime import UTC, datetime, timedelta

import pytest

from segue.engine.limiting.places import Places, burst_of, with_bound
from segue.plan.graph import LimitTerms
from segue.plan.lanes import Use

NOW = datetime(2026, 1, 1, tzinfo=UTC)


def places(*terms: LimitTerms, taken: int = 0, missing_seconds: float = 0.0) -> Places:
    full_at = {("a", ""): NOW + timedelta(seconds=missing_seconds)}
    return Places({each.name: each for each in terms}, {("a", ""): taken}, full_at, NOW)


def test_a_limit_has_so_many_places() -> None:
    found = places(LimitTerms("a", 3), taken=1)
    assert (found.held([Use("a", "", 2)]), found.free(Use("a", "", 1))) == (None, 2)
    found.take([Use("a", "", 2)])
    held = found.held([Use("a", "", 1)])
    assert (held is not None and held.wait_seconds, found.free(Use("a", "", 1))) == (None, 0)
    assert found.held([Use("a", "other", 1)]) is None


def test_a_cost_larger_than_the_limit_needs_all_of_it() -> None:
    assert places(LimitTerms("a", 3)).held([Use("a", "", 7)]) is None
    assert places(LimitTerms("a", 3), taken=1).held([Use("a", "", 7)]) is not None
    assert places(LimitTerms("a", 0)).held([Use("a", "", 1)]) is not None


def test_what_nobody_defined_limits_nothing() -> None:
    assert places().held([Use("a", "", 99)]) is None
    assert places().free(Use("a", "", 1)) is None


@pytest.mark.parametrize(
    "cost,missing_seconds,wait_seconds",
    [(1, 0.0, 0.0), (1, 6.0, 0.0), (1, 8.0, 2.0), (3, 2.0, 0.0), (3, 4.0, 2.0), (9, 0.0, 0.0), (9, 1.0, 1.0)],
)
def test_a_rate_waits_for_its_tokens(cost: int, missing_seconds: float, wait_seconds: float) -> None:
    """One token in two seconds, four at most."""
    found = places(LimitTerms("a", None, 5.0, 10.0, 4.0), missing_seconds=missing_seconds)
    held = found.held([Use("a", "", cost)])
    assert (0.0 if held is None else held.wait_seconds) == pytest.approx(wait_seconds)


def test_what_is_taken_moves_the_time_at_which_a_bucket_is_full() -> None:
    found = places(LimitTerms("a", None, 3.0, 1.0))
    assert found.full_after(Use("a", "", 1), 1) == NOW + timedelta(microseconds=333334)
    found.take([Use("a", "", 1)], 3)
    assert found.full_after(Use("a", "", 3), 1) - NOW >= timedelta(seconds=2)


def test_a_rate_of_zero_never_lets_anything_start() -> None:
    held = places(LimitTerms("a", None, 0.0)).held([Use("a", "", 1)])
    assert held is not None
    assert held.wait_seconds == math.inf


def test_a_bucket_saves_up_a_tenth_of_a_second() -> None:
    assert burst_of(LimitTerms("a", None, 100.0, 60.0)) == 1.0
    assert burst_of(LimitTerms("a", None, 500.0, 1.0)) == 50.0
    assert burst_of(LimitTerms("a", None, 500.0, 1.0, 7.0)) == 7.0


def test_what_binds_all_steps_is_added_once() -> None:
    own = (Use("task:t", "", 5),)
    assert with_bound(own, "q", "t", 2, {"queue:q", "task:t", "queue:r"}) == (*own, Use("queue:q", "", 2))
    assert with_bound((), "q", "t", 2, {"task:t"}) == (Use("task:t", "", 2),)
    assert with_bound((), "q", "t", 2, set()) == ()
