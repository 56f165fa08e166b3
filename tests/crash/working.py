"""Works runs in this process, and lets leases run out without waiting for them."""

from __future__ import annotations

import sqlite3
from datetime import timedelta
from typing import Any

import psycopg

from segue import Run, Segue
from segue.authoring import declared
from segue.engine.engine import Engine
from segue.errors import StoreError
from segue.model import RunStatus
from segue.worker.launch import make_pool
from segue.worker.pool.inline import InlinePool
from segue.worker.worker import Worker, WorkerOptions
from tests.crash.faults import FaultyStore

MODULES = ("tests.crash.crash_tasks", "tests.crash.booking_tasks")


def connect(url: str) -> Any:
    """A connection of the driver's own, in autocommit mode."""
    if url.startswith("sqlite"):
        return sqlite3.connect(url.removeprefix("sqlite:///"), timeout=30, isolation_level=None)
    return psycopg.connect(url, autocommit=True)


def let_leases_run_out(url: str) -> None:
    connection = connect(url)
    connection.execute("UPDATE segue_workers SET lease_until = '2001-01-01 00:00:00.000000'")
    connection.close()


def worker_of(engine: Engine, pool: str = "inline") -> Worker:
    """A worker that works until nothing is left, one step after another."""
    tasks = [name for name in declared.tasks if name.startswith(("tests.crash.", "segue."))]
    options = WorkerOptions(concurrency=1, pool=pool, burst=True)
    store = engine.store
    runs = InlinePool(echo=False, store=store) if pool == "inline" else make_pool(pool, 1, modules=MODULES, store=store)
    return Worker(engine, runs, tasks=sorted(tasks), options=options)


def work(engine: Engine, pool: str = "inline") -> None:
    worker_of(engine, pool).run()


def work_in_spite_of(faulty: FaultyStore) -> None:
    """Work on a store that fails now and then. Only a worker that could not even register may give up."""
    while True:
        before = faulty.transactions
        try:
            return work(Engine(faulty))
        except StoreError:
            assert faulty.transactions <= before + 2, "a worker gave up because the database was away for a moment"


def finish_after_a_death(segue: Segue) -> None:
    """What another process does once the lease of the dead one has run out."""
    let_leases_run_out(segue.url)
    segue.engine.rescue()
    work(segue.engine)


def assert_ended_well(segue: Segue, run: Run, status: RunStatus = RunStatus.SUCCEEDED) -> None:
    assert run.status is status, [str(reason) for reason in run.explain()]
    assert segue.engine.broken_invariants() == []


def forget_ended_runs(segue: Segue) -> None:
    segue.prune(older_than=timedelta(seconds=-60))
