"""Promise 16: whoever dies, or loses its connection, wherever, what a task has recorded stays, and nothing is lost."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress

import pytest

from segue import Run, Segue
from segue.attempt import journal
from segue.engine import transactional
from segue.engine.engine import Engine
from tests.crash import checkpoint_tasks
from tests.crash.booking_tasks import Bookings
from tests.crash.faults import COMMITTED, LENT, Died, FaultyStore, cut, deafen, die, lose
from tests.crash.working import assert_ended_well, finish_after_a_death, forget_ended_runs, work, work_in_spite_of
from tests.thorough import IS_THOROUGH

pytestmark = pytest.mark.usefixtures("quick_retries")

FEWEST_POINTS = 40
GO = -1


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(transactional, "PAUSES_SECONDS", (0.0, 0.0))
    monkeypatch.setattr(journal, "FIRST_PAUSE_SECONDS", 0.001)


def start(segue: Segue) -> Run:
    checkpoint_tasks.handed_out.clear()
    run = segue.start(checkpoint_tasks.winding)
    run.send("go", GO)
    return run


def points(segue: Segue, bookings: Bookings) -> int:
    """How many points there are in a whole run, from the claim to the end."""
    counting = FaultyStore(segue.engine.store)
    run = start(segue)
    work(Engine(counting))
    check(segue, bookings, run, calls=4)
    for statement in ("put_checkpoint", f"{LENT}put_checkpoint", "suspend_step", "next_messages", f"{LENT}{COMMITTED}"):
        assert statement in counting.points, counting.points
    assert len(counting.points) > FEWEST_POINTS
    return len(counting.points)


def check(segue: Segue, bookings: Bookings, run: Run, *, calls: int) -> None:
    """Every value is of one call, the row is there once, and the result is what was recorded."""
    assert_ended_well(segue, run)
    found = run.result()
    drawn = [value for value in found if value != GO]
    assert drawn == sorted(set(drawn) & set(checkpoint_tasks.handed_out))
    assert len(drawn) == 4
    assert len(checkpoint_tasks.handed_out) <= calls
    assert found[3] == GO
    assert bookings.booked() == [1]
    bookings.clear()
    forget_ended_runs(segue)


def test_a_worker_dies_at_every_point(segue: Segue, bookings: Bookings) -> None:
    for point in range(1, points(segue, bookings), 1 if IS_THOROUGH else 12):
        run = start(segue)
        with suppress(Died):
            work(Engine(FaultyStore(segue.engine.store, die, point)))
        finish_after_a_death(segue)
        check(segue, bookings, run, calls=5)  # at most the one that ran then is called again


@pytest.mark.parametrize("strike", [lose, *(pytest.param(strike, marks=pytest.mark.proof) for strike in (cut, deafen))])
def test_a_connection_is_lost_at_every_point(
    segue: Segue, bookings: Bookings, strike: Callable[[object], None]
) -> None:
    if strike is not lose and segue.url.startswith("sqlite"):
        pytest.skip("SQLite has no connection that can be cut")
    for point in range(2, points(segue, bookings), 1 if IS_THOROUGH else 15):
        run = start(segue)
        work_in_spite_of(FaultyStore(segue.engine.store, strike, point))
        check(segue, bookings, run, calls=5)
