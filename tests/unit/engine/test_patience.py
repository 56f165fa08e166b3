"""Patience with a database that is away."""

from __future__ import annotations

import pytest

from segue.clock import ManualClock
from segue.engine.patience import Patience
from segue.errors import PASSING_ERRORS, StoreError, StoreUnavailableError


def away() -> bool:
    raise StoreUnavailableError("the database is away")


def test_an_answer_is_passed_on() -> None:
    assert Patience(30).ask(lambda: 7, otherwise=0) == 7


def test_it_ends_only_when_the_database_was_away_all_the_time() -> None:
    clock = ManualClock()
    patience = Patience(30, monotonic=clock.monotonic)
    assert patience.ask(away, otherwise=False) is False
    clock.advance(seconds=29)
    assert patience.ask(away, otherwise=False) is False
    assert patience.ask(lambda: True, otherwise=False) is True  # it was back: the count begins anew
    clock.advance(seconds=29)
    assert patience.ask(away, otherwise=False) is False
    clock.advance(seconds=30)
    with pytest.raises(StoreUnavailableError):
        patience.ask(away, otherwise=False)


@pytest.mark.parametrize("error", PASSING_ERRORS)
def test_whatever_may_pass_is_put_up_with(error: type[StoreError]) -> None:
    def refused() -> bool:
        raise error("not now")

    assert Patience(30).ask(refused, otherwise=False) is False


def test_other_errors_are_not_put_up_with() -> None:
    def broken() -> bool:
        raise KeyError("x")

    with pytest.raises(KeyError):
        Patience(30).ask(broken, otherwise=False)
