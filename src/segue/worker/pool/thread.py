"""The thread pool: attempts share the worker's process and its interpreter lock. Good for tasks that wait.

What a timeout and a cancellation can do here is said in `local`.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from functools import partial
from queue import SimpleQueue

from segue.authoring.context import Cancelled
from segue.engine.transactional import TaskTransactions
from segue.model import Job, Outcome
from segue.store.protocol import Store
from segue.worker.pool.endings import cancelled
from segue.worker.pool.local import Entry, LocalPool
from segue.worker.pool.routing import captured
from segue.worker.runner import RESULT_LIMIT_BYTES, run_job

Run = Callable[[Entry], None]


class Threads:
    """Daemon threads that run entries. An abandoned entry takes its thread with it, so `replace_one` adds another."""

    def __init__(self, size: int, run: Run) -> None:
        self._run = run
        self._queue: SimpleQueue[Entry | None] = SimpleQueue()
        self._size = size
        for _ in range(size):
            self.replace_one()

    def put(self, entry: Entry) -> None:
        """Run this as soon as a thread is free."""
        self._queue.put(entry)

    def replace_one(self) -> None:
        """One more thread."""
        threading.Thread(target=self._work, name="segue-attempt", daemon=True).start()

    def close(self) -> None:
        """Let every thread end after what it runs."""
        for _ in range(self._size):
            self._queue.put(None)

    def _work(self) -> None:
        while (entry := self._queue.get()) is not None:
            if not entry.abandoned:
                self._run(entry)
                if was_abandoned(entry):
                    return


def was_abandoned(entry: Entry) -> bool:
    """Asked anew, because another thread decides it."""
    return entry.abandoned


class ThreadPool(LocalPool):
    """`size` attempts at once, each in a thread.

    Example::

        pool = ThreadPool(8)
        pool.start()
        pool.submit(jobs)
    """

    def __init__(self, size: int, *, result_limit_bytes: int = RESULT_LIMIT_BYTES, store: Store | None = None) -> None:
        super().__init__(size, store)
        self._result_limit_bytes = result_limit_bytes
        self._threads: Threads | None = None

    def start(self) -> None:
        """Start the threads."""
        super().start()
        self._threads = Threads(self._size, self._run)

    def _begin(self, entry: Entry) -> None:
        if self._threads is not None:
            self._threads.put(entry)

    def _interrupt(self, entry: Entry) -> None:
        if entry.abandoned and self._threads is not None:
            self._threads.replace_one()

    def _close(self) -> None:
        if self._threads is not None:
            self._threads.close()

    def _run(self, entry: Entry) -> None:
        entry.begun_at = time.monotonic()
        report = partial(self._report, entry)
        self._post(entry, run_in_thread(entry, self._result_limit_bytes, report, self._transactions))


def run_in_thread(
    entry: Entry, result_limit_bytes: int, report: Callable[..., None], transactions: TaskTransactions | None
) -> Outcome:
    """One attempt in the calling thread, with its output; cancelled when it let itself be ended."""
    job: Job = entry.job
    with captured() as tail:
        try:
            outcome = run_job(
                job, report=report, is_cancelled=entry.asked_to_end, result_limit_bytes=result_limit_bytes,
                transactions=transactions, on_return=tail.text,
            )  # fmt: skip
        except Cancelled:
            outcome = cancelled(job)
    outcome.output = tail.text()
    return outcome
