"""SIGKILL, to real processes, at points of everything that they do with the database: every point in `make proof`."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

import pytest

from segue import Segue
from segue.model import RunStatus
from tests.crash import crash_tasks
from tests.crash.killable import KillableProcesses
from tests.crash.ledger import Ledger
from tests.crash.working import (
    assert_ended_well,
    finish_after_a_death,
    forget_ended_runs,
    let_leases_run_out,
    work,
)
from tests.thorough import IS_THOROUGH

pytestmark = pytest.mark.usefixtures("quick_retries")

FEWEST_POINTS = 100
MOST_POINTS = 400


@pytest.fixture
def killable(ledger: Ledger) -> Iterator[KillableProcesses]:
    with KillableProcesses() as found:
        yield found


def test_a_worker_is_killed(segue: Segue, killable: KillableProcesses, ledger: Ledger) -> None:
    killed_at = 0
    for number in range(1, MOST_POINTS, 1 if IS_THOROUGH else 9):
        run = segue.start(crash_tasks.rich)
        if killable.is_killed_at(number, segue.url, "work"):
            killed_at = number
            finish_after_a_death(segue)
        else:
            break
        assert_ended_well(segue, run)
        assert run.result() == crash_tasks.RICH_RESULT
        ledger.check(run)
        lost = sum(attempt.status == "lost" for attempt in run.attempts())
        assert Counter(crash_tasks.RICH_EXECUTIONS) <= ledger.began(run.id)
        assert ledger.began(run.id).total() <= sum(crash_tasks.RICH_EXECUTIONS.values()) + lost
        ledger.clear()
        forget_ended_runs(segue)
    assert killed_at > FEWEST_POINTS


def test_a_rescuer_is_killed(segue: Segue, killable: KillableProcesses, ledger: Ledger) -> None:
    """And the worker before it: two deaths in a row."""
    for number in range(1, MOST_POINTS, 1 if IS_THOROUGH else 3):
        run = segue.start(crash_tasks.rich)
        assert killable.is_killed_at(12, segue.url, "work")
        let_leases_run_out(segue.url)
        was_killed = killable.is_killed_at(number, segue.url, "rescue")
        finish_after_a_death(segue)
        assert_ended_well(segue, run)
        assert run.result() == crash_tasks.RICH_RESULT
        ledger.check(run)
        forget_ended_runs(segue)
        if not was_killed:
            assert number > 6
            break


def test_a_starter_is_killed(segue: Segue, killable: KillableProcesses, ledger: Ledger) -> None:
    for number in range(1, MOST_POINTS, 1 if IS_THOROUGH else 2):
        was_killed = killable.is_killed_at(number, segue.url, "start", f"key-{number}")
        run = segue.start(crash_tasks.rich, key=f"key-{number}")
        assert len(segue.runs()) == 1
        work(segue.engine)
        assert_ended_well(segue, run)
        assert ledger.began(run.id) == Counter(crash_tasks.RICH_EXECUTIONS)
        forget_ended_runs(segue)
        if not was_killed:
            assert number > 4
            break


def test_a_canceller_is_killed(segue: Segue, killable: KillableProcesses, ledger: Ledger) -> None:
    for number in range(1, MOST_POINTS, 1 if IS_THOROUGH else 2):
        run = segue.start(crash_tasks.rich)
        assert killable.is_killed_at(12, segue.url, "work")
        was_killed = killable.is_killed_at(number, segue.url, "cancel", run.id)
        run.cancel()
        finish_after_a_death(segue)
        assert_ended_well(segue, run, RunStatus.CANCELLED)
        ledger.check(run)
        forget_ended_runs(segue)
        if not was_killed:
            assert number > 4
            break
