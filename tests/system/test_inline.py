"""`segue.run` works where it is called: inside an event loop, and for longer than a lease."""

from __future__ import annotations

import asyncio
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

import pytest

from segue import Segue, group, progress, task, workflow
from segue.authoring import current
from segue.errors import StoreError
from segue.worker.launch import known_tasks
from segue.worker.pool.inline import InlinePool
from segue.worker.worker import Worker, WorkerOptions

LEASE_SECONDS = 0.6
begun: Counter[str] = Counter()
who: ContextVar[str] = ContextVar("who", default="nobody")


@pytest.fixture(autouse=True)
def count() -> None:
    begun.clear()


@task
async def fetch(number: int) -> list[Any]:
    await asyncio.sleep(0)
    progress(1, 2)
    print("fetched")  # noqa: T201
    return [number, who.get(), current().name]


@task
def plain(found: list[Any]) -> list[Any]:
    return found


@task
async def break_off() -> None:
    raise asyncio.CancelledError


@workflow
def fetching(number: int) -> Any:
    return plain(fetch(number))


@task
def be_slow(name: str, seconds: float) -> str:
    begun[name] += 1
    time.sleep(seconds)
    return name


@task(transactional=True, retries=1, retry_delay=0)
def write_slowly(connection: Any, name: str, seconds: float, fails: bool) -> str:
    begun[name] += 1
    connection.execute("CREATE TABLE IF NOT EXISTS of_the_task (x integer)")  # locks what there is to be locked
    time.sleep(seconds)
    if fails and begun[name] == 1:
        raise ValueError("once")
    return name


def test_a_run_is_worked_inside_a_running_event_loop(segue: Segue) -> None:
    async def cell() -> Any:
        who.set("a notebook")
        return segue.run(fetching, 7)

    assert asyncio.run(cell()) == [7, "a notebook", "fetch"]
    [run] = segue.runs()
    assert [attempt.output for attempt in segue.get(run.id).attempts() if attempt.output] == ["fetched\n"]


def test_what_fails_there_fails_as_elsewhere(segue: Segue) -> None:
    async def cell() -> None:
        run = segue.start(break_off)
        options = WorkerOptions(pool="inline", concurrency=1, run_id=run.id)
        Worker(segue.engine, InlinePool(store=segue.engine.store), tasks=known_tasks(), options=options).run()
        assert run.status == "failed"

    asyncio.run(cell())


@contextmanager
def rescuing(url: str) -> Iterator[None]:
    """Another process looks for lost workers, far more often than any does."""
    over = threading.Event()

    def look() -> None:
        with Segue(url) as other, other.engine.store.patience(0.005):
            while not over.wait(0.001):
                try:
                    other.engine.rescue()
                except StoreError:
                    continue  # the task holds SQLite's lock

    thread = threading.Thread(target=look)
    thread.start()
    yield
    over.set()
    thread.join()


def work_inline(segue: Segue, work: Any) -> Any:
    run = segue.start(work)
    options = WorkerOptions(pool="inline", concurrency=1, run_id=run.id, lease_seconds=LEASE_SECONDS)
    Worker(segue.engine, InlinePool(store=segue.engine.store), tasks=known_tasks(), options=options).run()
    return run.wait(timeout=10).result()


def test_a_task_that_takes_longer_than_a_lease_is_not_taken_away(segue: Segue) -> None:
    segue.upgrade()
    with rescuing(segue.url):
        work = group(be_slow.s("a", 2 * LEASE_SECONDS), be_slow.s("b", 0), be_slow.s("c", 0))
        assert work_inline(segue, work) == ["a", "b", "c"]
    assert begun == {"a": 1, "b": 1, "c": 1}


@pytest.mark.parametrize("fails", [False, True])
def test_nor_is_one_that_holds_the_lock_of_the_database(segue: Segue, fails: bool) -> None:
    """Neither it, nor what its worker has claimed beside it."""
    segue.upgrade()
    with rescuing(segue.url):
        work = group(write_slowly.s("a", 2 * LEASE_SECONDS, fails), be_slow.s("b", 0), be_slow.s("c", 0))
        assert work_inline(segue, work) == ["a", "b", "c"]
    assert begun == {"a": 1 + fails, "b": 1, "c": 1}
