"""Promise 13: whoever dies, or loses its connection, wherever, what a transactional task writes is there exactly once.

Every point of the transactions that are lent to tasks: each statement of the task, each of Segue's behind it, the
commit, and the moment after it. The ordinary turns between them are swept in `test_points`.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import pytest

from segue import Run, Segue
from segue.engine import transactional
from segue.engine.engine import Engine
from tests.crash.booking_tasks import (
    BOOKED,
    DIES,
    RESULT,
    Bookings,
    book_and_be_killed,
    book_in_a_fork,
    book_in_spite_of,
    journey,
)
from tests.crash.faults import BEGIN, COMMIT, COMMITTED, LENT, Died, FaultyStore, cut, deafen, die, lose
from tests.crash.killable import KillableProcesses
from tests.crash.ledger import Ledger
from tests.crash.working import (
    assert_ended_well,
    finish_after_a_death,
    forget_ended_runs,
    work,
    work_in_spite_of,
)
from tests.thorough import IS_THOROUGH

pytestmark = pytest.mark.usefixtures("quick_retries")

ATTEMPTS = 3
FEWEST_POINTS = 25


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(transactional, "PAUSES_SECONDS", (0.0, 0.0))


def lent_points(segue: Segue, bookings: Bookings) -> list[str]:
    """The names of the points of a whole run that lie within transactions of its tasks."""
    counting = FaultyStore(segue.engine.store)
    run = segue.start(journey)
    work(Engine(counting))
    check_and_forget(segue, bookings, run)
    for point in (BEGIN, COMMIT, COMMITTED):
        assert counting.points.count(LENT + point) == ATTEMPTS
    assert counting.lent > FEWEST_POINTS
    return [f"{LENT}{number}" for number in range(1, counting.lent + 1)]


def check_and_forget(segue: Segue, bookings: Bookings, run: Run) -> None:
    """Each row is there once, and the run says the same."""
    assert_ended_well(segue, run)
    assert bookings.booked() == BOOKED
    assert run.result() == RESULT
    bookings.clear()
    forget_ended_runs(segue)


def some(points: list[str]) -> list[str]:
    """One in three; in `make proof` all of them. The last may not come again: some things are said once a second."""
    return points[: -1 : 1 if IS_THOROUGH else 3]


def test_a_worker_dies_at_every_point_of_its_tasks(segue: Segue, bookings: Bookings, ledger: Ledger) -> None:
    points = lent_points(segue, bookings)
    for point in points:
        run = segue.start(journey)
        with suppress(Died):  # see `some`
            work(Engine(FaultyStore(segue.engine.store, die, point)))
            assert point == points[-1]
        finish_after_a_death(segue)
        ledger.check(run)
        check_and_forget(segue, bookings, run)


def test_a_connection_is_lost_at_every_point_of_its_tasks(segue: Segue, bookings: Bookings, ledger: Ledger) -> None:
    for point in some(lent_points(segue, bookings)):
        run = segue.start(journey)
        faulty = FaultyStore(segue.engine.store, lose, point)
        work_in_spite_of(faulty)
        assert faulty.has_struck
        ledger.check(run)
        check_and_forget(segue, bookings, run)


@pytest.mark.parametrize("sever", [cut, deafen])
def test_a_real_connection_breaks_at_every_point_of_its_tasks(
    postgres_url: str, ledger: Ledger, sever: Callable[[object], None]
) -> None:
    with Segue(postgres_url) as segue, Segue(postgres_url) as other:
        segue.upgrade()
        bookings = Bookings(postgres_url)
        for point in some(lent_points(segue, bookings)):
            run = segue.start(journey)
            faulty = FaultyStore(other.engine.store, sever, point)
            work_in_spite_of(faulty)
            assert faulty.has_struck
            ledger.check(run)
            check_and_forget(segue, bookings, run)
        bookings.close()


def test_a_worker_is_killed(segue: Segue, bookings: Bookings, ledger: Ledger) -> None:
    """Real processes; at every point in `make proof`."""
    points = lent_points(segue, bookings)
    with KillableProcesses() as killable:
        for point in points[: -1 : 1 if IS_THOROUGH else 8]:
            run = segue.start(journey)
            assert killable.is_killed_at(point, segue.url, "work")
            finish_after_a_death(segue)
            ledger.check(run)
            check_and_forget(segue, bookings, run)


@pytest.mark.parametrize("pool", ["inline", "thread", "async"])
def test_a_worker_dies_after_the_commit_and_before_it_knows(
    segue: Segue, bookings: Bookings, ledger: Ledger, pool: str
) -> None:
    """Where attempts share the worker's process: its next life finds the step final."""
    with KillableProcesses() as killable:
        for point in (COMMIT, COMMITTED):
            run = segue.start(journey)
            assert killable.is_killed_at(LENT + point, segue.url, "work-in", pool)
            finish_after_a_death(segue)
            lost = [attempt for attempt in run.attempts() if attempt.status == "lost"]
            assert len(lost) == (1 if point == COMMIT else 0)
            check_and_forget(segue, bookings, run)


def test_a_child_dies_after_the_commit_and_before_it_tells(
    segue: Segue, bookings: Bookings, ledger: Ledger, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The worker reports that the process died; the fence refuses that, and the worker goes on."""
    monkeypatch.setenv(DIES, str(tmp_path / "dead"))
    run = segue.start(journey)
    work(segue.engine, "process")
    assert (tmp_path / "dead").exists()
    assert [attempt.status for attempt in run.attempts()] == []
    check_and_forget(segue, bookings, run)


def test_a_child_is_killed_while_it_writes(segue: Segue, bookings: Bookings, ledger: Ledger) -> None:
    run = segue.start(book_and_be_killed, 7)
    work(segue.engine, "process")
    assert_ended_well(segue, run)
    [attempt] = run.attempts()
    assert (attempt.status, attempt.error.type if attempt.error else "") == ("failed", "ProcessDiedError")
    assert (bookings.booked(), run.result()) == ([7], 7)


def test_a_fork_of_a_task_records_nothing(segue: Segue, bookings: Bookings, ledger: Ledger) -> None:
    run = segue.start(book_in_a_fork, 7)
    work(segue.engine, "process")
    again = segue.start(book_in_a_fork, 8)
    work(segue.engine, "process")
    assert_ended_well(segue, run)
    assert_ended_well(segue, again)
    assert (bookings.booked(), run.attempts(), again.attempts()) == ([7, 8], [], [])


@pytest.mark.parametrize("notices", [True, False], ids=["notices", "goes on"])
@pytest.mark.parametrize("pool", ["inline", "process"])
def test_the_server_ends_the_connection_of_a_task(postgres_url: str, ledger: Ledger, pool: str, notices: bool) -> None:
    with Segue(postgres_url) as segue:
        segue.upgrade()
        bookings = Bookings(postgres_url)
        run = segue.start(book_in_spite_of, 7, postgres_url, notices)
        work(segue.engine, pool)
        assert_ended_well(segue, run)
        [attempt] = run.attempts()
        assert attempt.error is not None
        assert attempt.error.type == ("psycopg.errors.AdminShutdown" if notices else "StoreUnavailableError")
        assert (bookings.booked(), run.result()) == ([7], 7)
        bookings.close()
