"""The database is away for a while: restarted, gone for longer than the lease, locked, full. Workers outlast it."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from segue import Segue
from segue.engine.engine import Engine
from segue.errors import (
    StoreBusyError,
    StoreConflictError,
    StoreError,
    StoreFullError,
    StoreReadOnlyError,
    StoreUnavailableError,
)
from segue.store import sqlite
from tests.crash import crash_tasks
from tests.crash.faults import COMMITTED, FaultyStore
from tests.crash.ledger import Ledger
from tests.crash.worker_processes import PATIENCE_SECONDS, WorkerProcesses, eventually
from tests.crash.working import assert_ended_well, connect, forget_ended_runs, work, work_in_spite_of, worker_of
from tests.servers.postgres import PostgresServer

LEASE_SECONDS = 1.0
NAPS = 30


def test_a_restarted_server_costs_nothing(own_postgres: PostgresServer, ledger: Ledger, tmp_path: Path) -> None:
    """What ran goes on meanwhile, and is recorded afterwards: every step is executed once."""
    with Segue(own_postgres.url) as segue, WorkerProcesses(own_postgres.url, tmp_path) as crew:
        worker = crew.start(lease_seconds=60)
        run = segue.start(crash_tasks.naps, NAPS, 0.1)
        eventually(lambda: len(ledger.lines("done")) >= 4)
        own_postgres.stop()
        eventually(lambda: "Keeping" in worker.log())
        own_postgres.start()
        run = _when_it_is_back(segue, run.id)
        run.wait(PATIENCE_SECONDS)
        assert_ended_well(segue, run)
        assert run.result() == NAPS
        ledger.check(run)
        assert ledger.began(run.id) == {"nap": NAPS, "total": 1}
        assert worker.end() == 0


def test_a_server_is_away_for_longer_than_the_lease(
    own_postgres: PostgresServer, ledger: Ledger, tmp_path: Path
) -> None:
    """Two workers: whichever is back first may take over what the other ran."""
    with Segue(own_postgres.url) as segue, WorkerProcesses(own_postgres.url, tmp_path) as crew:
        workers = [crew.start(lease_seconds=LEASE_SECONDS) for _ in range(2)]
        run = segue.start(crash_tasks.naps, NAPS, 0.1)
        eventually(lambda: len(ledger.lines("done")) >= 4)
        own_postgres.stop()
        time.sleep(2 * LEASE_SECONDS)  # this long is what it is about
        own_postgres.start()
        run = _when_it_is_back(segue, run.id)
        run.wait(PATIENCE_SECONDS)
        assert_ended_well(segue, run)
        assert run.result() == NAPS
        ledger.check(run)
        for worker in workers:
            assert worker.end() == 0


def _when_it_is_back(segue: Segue, run_id: str):  # type: ignore[no-untyped-def]
    def look():  # type: ignore[no-untyped-def]
        try:
            return segue.get(run_id)
        except StoreError:
            return None

    return eventually(look)


def test_a_file_is_locked_for_longer_than_the_lease(sqlite_url: str, ledger: Ledger, tmp_path: Path) -> None:
    with Segue(sqlite_url) as segue, WorkerProcesses(sqlite_url, tmp_path) as crew:
        worker = crew.start(lease_seconds=LEASE_SECONDS)
        run = segue.start(crash_tasks.naps, NAPS, 0.05)
        eventually(lambda: len(ledger.lines("done")) >= 4)
        connection = connect(sqlite_url)
        connection.execute("BEGIN IMMEDIATE")
        time.sleep(2 * LEASE_SECONDS)  # this long is what it is about
        connection.execute("ROLLBACK")
        connection.close()
        run.wait(PATIENCE_SECONDS)
        assert_ended_well(segue, run)
        assert run.result() == NAPS
        ledger.check(run)
        assert ledger.began(run.id) == {"nap": NAPS, "total": 1}
        assert worker.end() == 0


def test_a_file_is_locked_for_longer_than_anybody_waits(
    sqlite_url: str, ledger: Ledger, monkeypatch: pytest.MonkeyPatch, quick_retries: None
) -> None:
    """The worker is told that the database is busy, several times, and loses no outcome over it."""
    monkeypatch.setattr(sqlite, "BUSY_SECONDS", 0.01)
    with Segue(sqlite_url) as segue:
        run = segue.start(crash_tasks.rich)
        lock = connect(sqlite_url)
        busy = 0
        times_left = 6

        class Locking(FaultyStore):
            def reach(self, point: str, tx: object) -> None:
                nonlocal busy, times_left
                if point == COMMITTED and times_left and self.transactions % 3 == 0 and not lock.in_transaction:
                    lock.execute("BEGIN IMMEDIATE")
                    busy = 3
                    times_left -= 1
                elif point == "begin" and lock.in_transaction:
                    busy -= 1
                    if not busy:
                        lock.execute("ROLLBACK")

        work(Engine(Locking(segue.engine.store)))
        lock.close()
        assert_ended_well(segue, run)
        assert run.result() == crash_tasks.RICH_RESULT
        assert ledger.began(run.id) == crash_tasks.RICH_EXECUTIONS


TROUBLES = (StoreUnavailableError, StoreReadOnlyError, StoreError)
ALIKE = (StoreBusyError, StoreConflictError, StoreFullError)


@pytest.mark.parametrize("trouble", [*TROUBLES, *(pytest.param(each, marks=pytest.mark.proof) for each in ALIKE)])
@pytest.mark.usefixtures("quick_retries")
def test_the_database_refuses_for_a_while(segue: Segue, ledger: Ledger, trouble: type[StoreError]) -> None:
    """From some point on every transaction is refused, for some time; afterwards nothing is missing or done twice."""

    def refuse(_: object) -> None:
        raise trouble("not now (says the test)")

    for first in range(8, 120, 16):
        run = segue.start(crash_tasks.rich)
        times = range(first, first + (3 if trouble is StoreError else 12))
        faulty = FaultyStore(segue.engine.store, refuse, *times)
        work_in_spite_of(faulty)
        assert_ended_well(segue, run)
        assert run.result() == crash_tasks.RICH_RESULT
        assert ledger.began(run.id) == crash_tasks.RICH_EXECUTIONS
        ledger.clear()
        forget_ended_runs(segue)


@pytest.mark.usefixtures("quick_retries")
def test_a_worker_hears_again_after_its_listening_connection_broke(postgres_url: str, ledger: Ledger) -> None:
    """Nor does the broken one keep it awake."""
    with Segue(postgres_url) as segue:
        segue.start(crash_tasks.one)
        worker = worker_of(segue.engine)
        worker._wakeups.open()
        connection = connect(postgres_url)
        listening = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE query = 'LISTEN segue'"
        connection.execute(f"{listening} AND datname = current_database()")
        connection.close()
        eventually(worker._wakeups.woken)
        assert worker._wakeups.fds == ()
        eventually(worker._wakeups.open)
        assert len(worker._wakeups.fds) == 1
        worker.run()
