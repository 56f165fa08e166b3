"""The async pool: one event loop runs many `async def` attempts at once; plain functions run in a few threads.

A timeout and a cancellation cancel the coroutine. One that does not let itself be cancelled is abandoned at its
timeout, see `local`. A coroutine that computes without awaiting holds up all others.
"""

from __future__ import annotations

import asyncio
import contextlib
import threading
import time
from functools import partial
from inspect import iscoroutinefunction

from segue.authoring import registry
from segue.authoring.context import Cancelled
from segue.model import Outcome
from segue.store.protocol import Store
from segue.worker.pool.endings import cancelled
from segue.worker.pool.local import Entry, LocalPool
from segue.worker.pool.routing import captured
from segue.worker.pool.thread import Threads, run_in_thread
from segue.worker.runner import RESULT_LIMIT_BYTES, run_job_async

SYNC_THREADS = 4
_FAREWELL_SECONDS = 0.5


class AsyncPool(LocalPool):
    """`size` attempts at once on one event loop; at most `sync_threads` of them are plain functions that run.

    Example::

        pool = AsyncPool(200)
        pool.start()
        pool.submit(jobs)
    """

    def __init__(
        self,
        size: int,
        *,
        sync_threads: int = SYNC_THREADS,
        result_limit_bytes: int = RESULT_LIMIT_BYTES,
        store: Store | None = None,
    ) -> None:
        super().__init__(size, store)
        self._sync_threads = min(size, sync_threads)
        self._result_limit_bytes = result_limit_bytes
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._serve, name="segue-event-loop", daemon=True)
        self._threads: Threads | None = None
        self._tasks: dict[Entry, asyncio.Task[None]] = {}  # touched by the loop's thread only

    def start(self) -> None:
        """Start the loop and the threads."""
        super().start()
        self._threads = Threads(self._sync_threads, self._run_sync)
        self._thread.start()

    def _begin(self, entry: Entry) -> None:
        task = registry.tasks.get(entry.job.task)
        if task is not None and iscoroutinefunction(task.fn):
            self._loop.call_soon_threadsafe(self._spawn, entry)
        elif self._threads is not None:
            self._threads.put(entry)

    def _interrupt(self, entry: Entry) -> None:
        task = registry.tasks.get(entry.job.task)
        if task is not None and iscoroutinefunction(task.fn):
            self._loop.call_soon_threadsafe(self._cancel_task, entry)
        elif entry.abandoned and entry.begun_at is not None and self._threads is not None:
            self._threads.replace_one()

    def _close(self) -> None:
        if self._threads is not None:
            self._threads.close()
        if self._thread.is_alive():
            self._loop.call_soon_threadsafe(self._loop.stop)
            self._thread.join(timeout=1.0)
        else:
            self._loop.close()

    def _serve(self) -> None:
        asyncio.set_event_loop(self._loop)
        try:
            self._loop.run_forever()
        finally:
            if self._tasks:  # all of them cancelled by now; one that goes on nevertheless is left behind
                self._loop.run_until_complete(asyncio.wait(self._tasks.values(), timeout=_FAREWELL_SECONDS))
            self._loop.run_until_complete(self._loop.shutdown_asyncgens())
            self._loop.close()

    def _spawn(self, entry: Entry) -> None:
        task = self._loop.create_task(self._run_async(entry))
        self._tasks[entry] = task
        task.add_done_callback(partial(self._forget, entry))

    def _forget(self, entry: Entry, task: asyncio.Task[None]) -> None:
        self._tasks.pop(entry, None)
        if task.cancelled():  # before its first step, so it could not say so itself
            self._post(entry, cancelled(entry.job))

    def _cancel_task(self, entry: Entry) -> None:
        task = self._tasks.get(entry)
        if task is not None:
            task.cancel()

    async def _run_async(self, entry: Entry) -> None:
        entry.begun_at = time.monotonic()
        outcome: Outcome = cancelled(entry.job)
        with captured() as tail, contextlib.suppress(Cancelled, asyncio.CancelledError):
            outcome = await run_job_async(
                entry.job,
                report=partial(self._report, entry),
                is_cancelled=entry.asked_to_end,
                result_limit_bytes=self._result_limit_bytes,
            )
        outcome.output = tail.text()
        self._post(entry, outcome)

    def _run_sync(self, entry: Entry) -> None:
        entry.begun_at = time.monotonic()
        report = partial(self._report, entry)
        self._post(entry, run_in_thread(entry, self._result_limit_bytes, report, self._transactions))
