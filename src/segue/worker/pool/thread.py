"""The thread pool: attempts share the worker's process and its interpreter lock. Good for tasks that wait.

`local` describes the effect of a timeout and a cancellation here.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from functools import partial
from queue import SimpleQueue
from time import monotonic  # by name: a task may replace `time.monotonic`

from segue.attempt.outcomes import RESULT_LIMIT_BYTES, broke, cancelled
from segue.attempt.runner import run_job
from segue.attempt.secrets import hide_in
from segue.authoring.context import Cancelled
from segue.engine.transactional import TaskTransactions
from segue.model import Job, Outcome
from segue.observing.harmless_log import get_logger
from segue.payloads.keeping import Payloads
from segue.store.protocol import Store
from segue.worker.pool.local import Entry, LocalPool
from segue.worker.pool.routing import captured

Run = Callable[[Entry], None]

logger = get_logger("segue.worker")


class Threads:
    """Daemon threads that run entries. An abandoned entry takes its thread with it, so `replace_one` adds another."""

    def __init__(self, size: int, run: Run) -> None:
        self._run = run
        self._queue: SimpleQueue[Entry | None] = SimpleQueue()
        self._size = size
        self._missing = size
        self._fill()

    def put(self, entry: Entry) -> None:
        """Run this as soon as a thread is free."""
        if self._missing:
            self._fill()
        self._queue.put(entry)

    def replace_one(self) -> None:
        """Start one more thread; if the machine has no room for it, the next entry tries again."""
        self._missing += 1
        self._fill()

    def close(self) -> None:
        """Let every thread end after its current entry."""
        for _ in range(self._size):
            self._queue.put(None)

    def _fill(self) -> None:
        while self._missing:
            try:
                threading.Thread(target=self._work, name="segue-attempt", daemon=True).start()
            except RuntimeError as error:
                if self._missing == self._size:
                    raise
                logger.warning("%d of %d threads are missing: %s", self._missing, self._size, error)
                return
            self._missing -= 1

    def _work(self) -> None:
        while (entry := self._queue.get()) is not None:
            if entry.take():
                self._run(entry)
                if was_abandoned(entry):
                    return


def was_abandoned(entry: Entry) -> bool:
    """Read the state again, because another thread changes it."""
    return entry.abandoned


class ThreadPool(LocalPool):
    """`size` attempts at the same time, each in a thread.

    Example::

        pool = ThreadPool(8)
        pool.start()
        pool.submit(jobs)
    """

    def __init__(
        self, size: int, *, result_limit_bytes: int = RESULT_LIMIT_BYTES, store: Store | None = None,
        payloads: Payloads | None = None,
    ) -> None:  # fmt: skip
        super().__init__(size, store, payloads)
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
        entry.begun_at = monotonic()
        report = partial(self._report, entry)
        self._post(entry, run_in_thread(entry, self._result_limit_bytes, report, self._transactions, self._payloads))


def run_in_thread(
    entry: Entry, result_limit_bytes: int, report: Callable[..., None], transactions: TaskTransactions | None,
    payloads: Payloads | None,
) -> Outcome:  # fmt: skip
    """One attempt in the calling thread, with its output; cancelled if it ended on request. Never raises."""
    job: Job = entry.job
    try:
        with captured() as tail:
            entry.tail = tail
            try:
                outcome = run_job(
                    job, report=report, is_cancelled=entry.asked_to_end, result_limit_bytes=result_limit_bytes,
                    transactions=transactions, on_return=tail.text, payloads=payloads,
                )  # fmt: skip
            except Cancelled:
                outcome = cancelled(job)
        outcome.output = hide_in(job, tail.text())
    except BaseException as exc:  # noqa: BLE001 - a thread that ended would leave its step running forever
        return broke(job, exc)
    return outcome
