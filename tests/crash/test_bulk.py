"""Whoever dies while a verb is applied to many runs, wherever: another process does the rest, and nothing is missed."""

from __future__ import annotations

from contextlib import suppress

import pytest

from segue import Run, Segue
from segue.attempt import bulk, journal
from segue.engine import transactional
from segue.engine.engine import Engine
from segue.model import RunStatus
from tests.crash.crash_tasks import one
from tests.crash.faults import Died, FaultyStore, die
from tests.crash.working import assert_ended_well, finish_after_a_death, forget_ended_runs, work
from tests.thorough import IS_THOROUGH

pytestmark = pytest.mark.usefixtures("quick_retries")

RUNS = 5


@pytest.fixture(autouse=True)
def small_and_impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bulk, "BATCH", 2)
    monkeypatch.setattr(transactional, "PAUSES_SECONDS", (0.0, 0.0))
    monkeypatch.setattr(journal, "FIRST_PAUSE_SECONDS", 0.001)


def ordered(segue: Segue) -> tuple[list[Run], Run]:
    runs = segue.start_many(one, [()] * RUNS)
    for run in runs:
        run.pause()
    return runs, segue.select(status="paused").in_background().cancel(reason="wrong")


def test_a_worker_dies_at_every_point(segue: Segue) -> None:
    counting = FaultyStore(segue.engine.store)
    _, order = ordered(segue)
    work(Engine(counting))
    assert_ended_well(segue, order)
    points = len(counting.points)
    assert points > 20, counting.points
    for point in range(1, points, 1 if IS_THOROUGH else 19):
        runs, order = ordered(segue)
        with suppress(Died):
            work(Engine(FaultyStore(segue.engine.store, die, point)))
        finish_after_a_death(segue)
        assert_ended_well(segue, order)
        assert [run.status for run in runs] == [RunStatus.CANCELLED] * RUNS
        result = order.result()
        assert result["changed"] + result["unchanged"] <= RUNS
        assert result["failed"] == 0
        forget_ended_runs(segue)
