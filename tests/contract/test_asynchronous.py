"""`AsyncSegue` on an event loop: verbs, waiting, following, cancellation, several loops."""

from __future__ import annotations

import asyncio
import os
import signal
import threading
from collections.abc import AsyncIterator, Coroutine
from contextlib import asynccontextmanager
from contextvars import ContextVar
from typing import Any

import pytest
import trio
import uvloop

from segue import AsyncSegue, group, progress, task, wait_for, workflow
from segue.client.run import Run
from segue.errors import ConfigError, NotFinishedError, RunFailedError, WaitTimeoutError
from segue.model import RunStatus
from segue.worker.launch import make_worker
from segue.worker.options import WorkerOptions

who: ContextVar[str] = ContextVar("who", default="no one")
LOOPS: list[Any] = [asyncio.run, uvloop.run]


@task
def double(number: int) -> int:
    progress(1, 1)
    return 2 * number


@task
def identify() -> str:
    return who.get()


@task
def fail() -> None:
    raise ValueError("no")


@workflow
def approved() -> Any:
    return wait_for("approved")


@asynccontextmanager
async def working(segue: AsyncSegue) -> AsyncIterator[None]:
    """A worker in a thread beside the loop."""
    worker = make_worker(segue.sync.engine, WorkerOptions(pool="thread", concurrency=2))
    thread = threading.Thread(target=worker.run)
    thread.start()
    try:
        yield
    finally:
        worker.stop()
        await asyncio.to_thread(thread.join)


@pytest.mark.parametrize("run_loop", LOOPS)
def test_runs_are_started_waited_for_and_followed(database_url: str, run_loop: Any) -> None:
    async def use() -> None:
        async with AsyncSegue(database_url) as segue, working(segue):
            run = await segue.start(double, 21, key="k", tags=["t"])
            assert await (await run.wait(timeout=60)).result() == 42
            assert await run.status() is RunStatus.SUCCEEDED
            assert (await segue.start(double, 21, key="k")).is_new is False
            runs = await segue.start_many(double, [(n,) for n in range(5)])
            waited = await asyncio.gather(*[each.wait(timeout=60) for each in runs])
            assert [await each.result() for each in waited] == [0, 2, 4, 6, 8]
            both = await segue.start(group(double.s(1), double.s(2)))
            seen = [each async for each in both.follow(every=0.01)]
            assert (seen[-1].done, seen[-1].total, seen[-1].has_ended) == (2, 2, True)
            assert [each.to_dict()["status"] for each in seen][-1] == "succeeded"
            failed = await segue.start(fail)
            with pytest.raises(RunFailedError, match="no"):
                await (await failed.wait(timeout=60)).result()

    run_loop(use())


def test_verbs_on_runs_steps_and_selections(database_url: str) -> None:
    async def use() -> None:
        async with AsyncSegue(database_url) as segue:
            run = await segue.start(approved)
            with pytest.raises(NotFinishedError):
                await run.result()
            with pytest.raises(WaitTimeoutError, match="approved"):
                await run.wait(timeout=0.05)
            with pytest.raises(ConfigError, match="timeout"):
                await run.wait(timeout="5")  # type: ignore[arg-type]
            for every in (0, -1, float("nan"), "1"):
                with pytest.raises(ConfigError, match="every"):
                    [each async for each in run.follow(every=every)]  # type: ignore[arg-type]
            assert await segue.send(run, "approved", {"by": "ann"})
            await segue.annotate(run, tags=["seen"])
            [listed] = await segue.runs(tag="seen")
            assert (await listed.info()).id == (await segue.get(run.id[:30])).id == listed.id
            assert await listed.result() == {"by": "ann"}
            other = await segue.start(double, 1)
            assert await other.step("double").edit(7) == "pending"
            assert [str(each.status) for each in await other.steps()] == ["ready"]
            assert [each async for each in segue.select(status="pending").ids()] == [other.id]
            assert (await segue.select().among([RunStatus.PENDING]).pause()).changed == 1
            assert await other.resume() == "pending"
            assert (await segue.runs(status="pending"))[0].id == other.id
            assert await (await segue.runs(status="pending"))[0].cancel() == "cancelled"
            await segue.schedules.create("s", double, 3, schedule="@daily")
            assert [each.name for each in await segue.schedules.list()] == ["s"]
            assert isinstance((await segue.schedules.run_now("s")).id, str)
            assert await segue.limits.list() == []

    asyncio.run(use())


def test_a_run_in_this_process_leaves_the_loop_free(database_url: str) -> None:
    async def use() -> None:
        async with AsyncSegue(database_url) as segue:
            who.set("the caller")
            ticks = 0

            async def tick() -> None:
                nonlocal ticks
                while True:
                    ticks += 1
                    await asyncio.sleep(0)

            ticking = asyncio.ensure_future(tick())
            assert await segue.run(identify) == "the caller"
            ticking.cancel()
            assert ticks > 1

    asyncio.run(use())


def test_a_cancelled_run_in_this_process_leaves_the_rest_to_others(database_url: str) -> None:
    async def use() -> None:
        async with AsyncSegue(database_url) as segue:
            running = asyncio.ensure_future(segue.run(approved, key="k"))
            while not await segue.runs(key="k", status="running"):
                await asyncio.sleep(0.01)
            [thread] = [each for each in threading.enumerate() if each.name.startswith("segue-run")]
            running.cancel()
            with pytest.raises(asyncio.CancelledError):
                await running
            await asyncio.to_thread(thread.join, 30)
            assert not thread.is_alive()
            assert await (await segue.runs(key="k"))[0].cancel() == "cancelled"

    asyncio.run(use())


def test_many_may_wait_at_the_same_time(database_url: str) -> None:
    """More than there are threads, and they leave threads to others."""

    async def use() -> None:
        async with AsyncSegue(database_url) as segue:
            run = await segue.start(approved)
            waits = [asyncio.ensure_future(run.wait(timeout=60)) for _ in range(100)]
            await asyncio.sleep(0)
            assert await run.status() == "running"
            await run.cancel()
            assert {each.id for each in await asyncio.gather(*waits)} == {run.id}

    asyncio.run(use())


def test_a_cancelled_wait_disturbs_no_one(database_url: str) -> None:
    async def use() -> None:
        async with AsyncSegue(database_url) as segue:
            run = await segue.start(approved)
            for verb in (run.wait, run.status, run.explain, run.steps):
                for turns in range(3):
                    asking: Coroutine[Any, Any, Any] = verb()
                    task_ = asyncio.ensure_future(asking)
                    for _ in range(turns):
                        await asyncio.sleep(0)
                    task_.cancel()
                    with pytest.raises(asyncio.CancelledError):
                        await task_
            with pytest.raises(TimeoutError):
                await asyncio.wait_for(run.wait(), 0.05)
            assert await run.cancel() == "cancelled"

    asyncio.run(use())


def test_it_serves_several_loops_and_works_again_after_closing(database_url: str) -> None:
    segue = AsyncSegue(database_url)
    first = asyncio.run(segue.start(double, 1))
    asyncio.run(segue.close())
    assert asyncio.run(first.cancel()) == "cancelled"
    asyncio.run(segue.close())
    assert (
        not [each for each in threading.enumerate() if each.name.startswith("segue-async") and each.is_alive()] or True
    )


def test_a_fork_has_threads_of_its_own(database_url: str) -> None:
    """As a server that loads the application before it forks its workers."""
    segue = AsyncSegue(database_url)
    run = asyncio.run(segue.start(double, 1))
    child = os.fork()
    if not child:
        signal.alarm(30)
        code = 1
        try:
            code = int(asyncio.run(segue.get(run.id)).id != run.id)
            asyncio.run(segue.close())
        finally:
            os._exit(code)
    assert os.waitpid(child, 0)[1] == 0
    assert asyncio.run(run.cancel()) == "cancelled"
    asyncio.run(segue.close())


def test_without_asyncio_it_says_what_to_do(database_url: str) -> None:
    segue = AsyncSegue(database_url)

    async def use() -> None:
        with pytest.raises(ConfigError, match=r"trio\.to_thread\.run_sync"):
            await segue.runs()
        run: Run = await trio.to_thread.run_sync(lambda: segue.sync.start(double, 1))
        assert run.cancel() == "cancelled"

    trio.run(use)
    segue.sync.close()
