"""The async pool: one event loop runs many `async def` attempts concurrently; plain functions run in a few threads.

A timeout or a cancellation cancels the coroutine. A coroutine that suppresses the cancellation is abandoned at its
timeout, see `local`. A coroutine that computes without awaiting delays all others.

The tasks share the loop, and may stop it, cancel everything that runs on it, or raise SystemExit in a callback.
Promise: the loop continues until the pool closes, and each entry gets an outcome, however its coroutine ended. A
cancellation that the pool did not request is a failure.
"""

from __future__ import annotations

import asyncio
import threading
from contextlib import suppress
from functools import partial
from inspect import iscoroutinefunction
from time import monotonic  # by name: a task may replace `time.monotonic`

from segue.attempt.outcomes import RESULT_LIMIT_BYTES, broke, cancelled
from segue.attempt.runner import run_job_async
from segue.attempt.secrets import hide_in
from segue.authoring import declared
from segue.authoring.context import Cancelled
from segue.given import described
from segue.model import Outcome
from segue.observing.harmless_log import get_logger
from segue.payloads.keeping import Payloads
from segue.store.protocol import Store
from segue.worker.pool.local import Entry, LocalPool
from segue.worker.pool.routing import captured
from segue.worker.pool.thread import Threads, run_in_thread

SYNC_THREADS = 4
_EXIT_GRACE_SECONDS = 0.5

logger = get_logger("segue.worker")


class AsyncPool(LocalPool):
    """`size` attempts at the same time on one event loop; at most `sync_threads` of them run plain functions.

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
        payloads: Payloads | None = None,
    ) -> None:
        super().__init__(size, store, payloads)
        self._sync_threads = min(size, sync_threads)
        self._result_limit_bytes = result_limit_bytes
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._serve, name="segue-event-loop", daemon=True)
        self._threads: Threads | None = None
        self._tasks: dict[Entry, asyncio.Task[None]] = {}  # used only by the loop's thread
        self._is_closing = False

    def start(self) -> None:
        """Start the loop and the threads."""
        super().start()
        self._threads = Threads(self._sync_threads, self._run_sync)
        self._thread.start()

    def _begin(self, entry: Entry) -> None:
        task = declared.tasks.get(entry.job.task)
        if task is not None and iscoroutinefunction(task.fn):
            self._loop.call_soon_threadsafe(self._spawn, entry)
        elif self._threads is not None:
            self._threads.put(entry)

    def _interrupt(self, entry: Entry) -> None:
        task = declared.tasks.get(entry.job.task)
        if task is not None and iscoroutinefunction(task.fn):
            self._loop.call_soon_threadsafe(self._cancel_task, entry)
        elif entry.abandoned and self._threads is not None:
            self._threads.replace_one()

    def _close(self) -> None:
        if self._threads is not None:
            self._threads.close()
        if self._thread.is_alive():
            self._is_closing = True
            self._loop.call_soon_threadsafe(self._loop.stop)
            self._thread.join(timeout=1.0)
        else:
            self._loop.close()

    def _serve(self) -> None:
        asyncio.set_event_loop(self._loop)
        while not (self._is_closing or self._loop.is_closed()):
            try:
                self._loop.run_forever()
            except BaseException as exc:  # noqa: BLE001 - SystemExit or KeyboardInterrupt in a task's own callback
                with suppress(BaseException):  # a log handler of the user may raise
                    logger.warning("something on the event loop of the tasks raised:\n%s", described(exc).traceback)
        self._loop.set_task_factory(None)
        try:
            if self._tasks:  # all of them are cancelled by now; one that still continues is left behind
                self._loop.run_until_complete(asyncio.wait(self._tasks.values(), timeout=_EXIT_GRACE_SECONDS))
            self._loop.run_until_complete(self._loop.shutdown_asyncgens())
        finally:
            self._loop.close()

    def _spawn(self, entry: Entry) -> None:
        if entry.take():
            # Not `create_task`: it calls the loop's task factory, which a task may have replaced.
            task = asyncio.Task(self._run_async(entry), loop=self._loop)
            self._tasks[entry] = task
            task.add_done_callback(partial(self._forget, entry))

    def _forget(self, entry: Entry, task: asyncio.Task[None]) -> None:
        self._tasks.pop(entry, None)
        if not task.cancelled() and task.exception() is None:
            return
        # It ended where it could not report: before its first step, or after its last one. In the second case its own
        # report counts.
        if entry.must_end:
            self._post(entry, cancelled(entry.job))
        else:
            error = None if task.cancelled() else task.exception()
            error = error or asyncio.CancelledError("the coroutine was cancelled, but not by Segue")
            self._post(entry, broke(entry.job, error))

    def _cancel_task(self, entry: Entry) -> None:
        task = self._tasks.get(entry)
        if task is not None:
            task.cancel()

    async def _run_async(self, entry: Entry) -> None:
        entry.begun_at = monotonic()
        outcome: Outcome = cancelled(entry.job)
        with captured() as tail:
            entry.tail = tail
            try:
                outcome = await run_job_async(
                    entry.job,
                    report=partial(self._report, entry),
                    is_cancelled=entry.asked_to_end,
                    result_limit_bytes=self._result_limit_bytes,
                    payloads=self._payloads,
                    transactions=self._transactions,
                )
            except (Cancelled, asyncio.CancelledError):
                pass
            except BaseException as exc:  # noqa: BLE001 - SystemExit here would end the loop
                outcome = broke(entry.job, exc)
        outcome.output = hide_in(entry.job, tail.text())
        self._post(entry, outcome)

    def _run_sync(self, entry: Entry) -> None:
        entry.begun_at = monotonic()
        report = partial(self._report, entry)
        self._post(entry, run_in_thread(entry, self._result_limit_bytes, report, self._transactions, self._payloads))
