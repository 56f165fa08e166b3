"""One run, and one step, to be awaited: the verbs of `Run` and `StepHandle`."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from functools import partial
from math import inf
from typing import Generic, Self, TypeVar

from segue.client.asynchronous.awaiting import Awaiting, at_once, awaited, giving
from segue.client.asynchronous.threads import Threads
from segue.client.given import checked, number
from segue.client.progress import DATABASE_AWAY_SECONDS, RunProgress, pause_of
from segue.client.run import FIRST_LOOK_SECONDS, Run
from segue.client.step import StepHandle
from segue.engine.patience import Patience
from segue.model import RunStatus

R = TypeVar("R")


class AsyncStep(Awaiting[StepHandle]):
    """One step of one run. Made by `run.step(...)`. Its methods are those of `StepHandle`, to be awaited.

    Example::

        await run.step("load[3]").mark({"rows": 0}, reason="the file is empty")
    """

    @property
    def run_id(self) -> str:
        """The id of its run."""
        return self._original.run_id

    @property
    def step(self) -> str | int:
        """Its name or number, as it was given."""
        return self._original.step

    info = awaited(StepHandle.info)
    output = awaited(StepHandle.output)
    checkpoints = awaited(StepHandle.checkpoints)
    retry = awaited(StepHandle.retry)
    skip = awaited(StepHandle.skip)
    mark = awaited(StepHandle.mark)
    edit = awaited(StepHandle.edit)


def async_run(run: Run[R], threads: Threads) -> AsyncRun[R]:
    """The awaitable form of a run."""
    return AsyncRun(run, threads)


class AsyncRun(Awaiting[Run[R]], Generic[R]):
    """One run. Its methods are those of `Run`, to be awaited; `status` is a method, too.

    Example::

        run = await segue.start(nightly, "2026-11-20")
        await run.wait(timeout=60)
        print(await run.result())
    """

    def __repr__(self) -> str:
        return f"<AsyncRun {self.id}>"

    @property
    def id(self) -> str:
        """Its id."""
        return self._original.id

    @property
    def is_new(self) -> bool | None:
        """False if the start or fork found an existing run under the same key; None if the run was looked up."""
        return self._original.is_new

    async def status(self) -> RunStatus:
        """Its status now."""
        return await self._threads.run(lambda: self._original.status)

    async def result(self) -> R:
        """The return value of the workflow, converted by its annotation. Raises NotFinishedError or RunFailedError."""
        return await self._threads.run(self._original.result)

    async def wait(self, timeout: float | None = None) -> Self:
        """Wait until it is final, at most `timeout` seconds (then WaitTimeoutError). Returns itself.

        Thousands of tasks may wait at the same time. None of them keeps a thread, and all together look about 200
        times a second at most: the more tasks wait, the later each of them notices.
        """
        seconds = inf if timeout is None else checked("AsyncRun.wait", "timeout", timeout, number)
        deadline = time.monotonic() + seconds
        pause, patience = FIRST_LOOK_SECONDS, Patience(DATABASE_AWAY_SECONDS)
        with self._threads.waiting() as longest:
            while not await self._threads.run(lambda: patience.ask(self._original._is_final, otherwise=False)):
                left = min(pause, deadline - time.monotonic())
                if left <= 0:
                    raise await self._threads.run(lambda: self._original._late(seconds))
                await asyncio.sleep(left)
                pause = min(pause * 1.5, longest())
        return self

    async def follow(self, *, every: float | None = None) -> AsyncIterator[RunProgress]:
        """How far it is now, and again after each change, until it has ended.

        It reads every half second, or at intervals of `every` seconds. Example::

            async for progress in run.follow():
                print(progress.status, progress.done, progress.total)
        """
        pause, patience = pause_of(every), Patience(DATABASE_AWAY_SECONDS)
        last: RunProgress | None = None
        while True:
            ask = partial(patience.ask, self._original.progress, otherwise=last)
            found = await self._threads.run(ask)
            if found is not None and found != last:
                last = found
                yield found
            if last is not None and last.has_ended:
                return
            await asyncio.sleep(pause)

    info = awaited(Run.info)
    counts = awaited(Run.counts)
    steps = awaited(Run.steps)
    attempts = awaited(Run.attempts)
    progress = awaited(Run.progress)
    watch = awaited(Run.watch)
    pause = awaited(Run.pause)
    resume = awaited(Run.resume)
    cancel = awaited(Run.cancel)
    retry = awaited(Run.retry)
    fork = giving(async_run)(Run.fork)
    send = awaited(Run.send)
    explain = awaited(Run.explain)
    groups = awaited(Run.groups)
    members = awaited(Run.members)
    messages = awaited(Run.messages)
    step = at_once(AsyncStep)(Run.step)
