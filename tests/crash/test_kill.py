"""SIGKILL, to real processes, at points of everything that they do with the database; every point when soaking."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

import pytest

from segue import Segue
from segue.model import RunStatus
from tests.crash import deeds
from tests.crash.acting import (
    SOAKING,
    assert_ended_well,
    finish_after_a_death,
    forget_ended_runs,
    let_leases_run_out,
    work,
)
from tests.crash.ledger import Ledger
from tests.crash.mortal import Mortals

pytestmark = pytest.mark.usefixtures("brisk")

FEWEST_POINTS = 100
MOST_POINTS = 400


@pytest.fixture
def mortals(ledger: Ledger) -> Iterator[Mortals]:
    with Mortals() as found:
        yield found


def test_a_worker_is_killed(segue: Segue, mortals: Mortals, ledger: Ledger) -> None:
    killed_at = 0
    for number in range(1, MOST_POINTS, 1 if SOAKING else 9):
        run = segue.start(deeds.rich)
        if mortals.is_killed_at(number, segue.url, "work"):
            killed_at = number
            finish_after_a_death(segue)
        else:
            break
        assert_ended_well(segue, run)
        assert run.result() == deeds.RICH_RESULT
        ledger.check(run)
        lost = sum(attempt.status == "lost" for attempt in run.attempts())
        assert Counter(deeds.RICH_DEEDS) <= ledger.began(run.id)
        assert ledger.began(run.id).total() <= sum(deeds.RICH_DEEDS.values()) + lost
        ledger.clear()
        forget_ended_runs(segue)
    assert killed_at > FEWEST_POINTS


def test_a_rescuer_is_killed(segue: Segue, mortals: Mortals, ledger: Ledger) -> None:
    """And the worker before it: two deaths in a row."""
    for number in range(1, MOST_POINTS, 1 if SOAKING else 3):
        run = segue.start(deeds.rich)
        assert mortals.is_killed_at(12, segue.url, "work")
        let_leases_run_out(segue.url)
        was_killed = mortals.is_killed_at(number, segue.url, "rescue")
        finish_after_a_death(segue)
        assert_ended_well(segue, run)
        assert run.result() == deeds.RICH_RESULT
        ledger.check(run)
        forget_ended_runs(segue)
        if not was_killed:
            assert number > 6
            break


def test_a_starter_is_killed(segue: Segue, mortals: Mortals, ledger: Ledger) -> None:
    for number in range(1, MOST_POINTS, 1 if SOAKING else 2):
        was_killed = mortals.is_killed_at(number, segue.url, "start", f"key-{number}")
        run = segue.start(deeds.rich, key=f"key-{number}")
        assert len(segue.runs()) == 1
        work(segue.engine)
        assert_ended_well(segue, run)
        assert ledger.began(run.id) == Counter(deeds.RICH_DEEDS)
        forget_ended_runs(segue)
        if not was_killed:
            assert number > 4
            break


def test_a_canceller_is_killed(segue: Segue, mortals: Mortals, ledger: Ledger) -> None:
    for number in range(1, MOST_POINTS, 1 if SOAKING else 2):
        run = segue.start(deeds.rich)
        assert mortals.is_killed_at(12, segue.url, "work")
        was_killed = mortals.is_killed_at(number, segue.url, "cancel", run.id)
        run.cancel()
        finish_after_a_death(segue)
        assert_ended_well(segue, run, RunStatus.CANCELLED)
        ledger.check(run)
        forget_ended_runs(segue)
        if not was_killed:
            assert number > 4
            break
