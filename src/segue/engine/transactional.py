"""Transactional attempts: the transaction in which a task wrote also records what came of it.

Either everything is there, the task's own rows, the outcome of its step, the steps that it released, the end of its
run, or nothing is. The fence is what makes it exactly once: only the attempt that is still the step's own is committed.

The run is locked when the task has returned, not before: nobody waits for it while the task works. (On SQLite a
transaction that writes holds the database's one write lock from its beginning.)
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from datetime import datetime
from typing import Any

from segue.engine.admission import admit_after
from segue.engine.locking import lock_runs
from segue.engine.record import Recording
from segue.engine.watch import Watch
from segue.errors import DefinitionError, StoreUnavailableError
from segue.model import ErrorInfo, Outcome, Verdict
from segue.store.protocol import Loan, Store, Transaction

PAUSES_SECONDS = (0.05, 0.1, 0.2, 0.4, 0.8, 1.6)
"""Between the tries to begin while the database cannot be reached."""

Attempt = tuple[str, int, int]
"""(run_id, step, attempt)"""


class TaskTransactions:
    """The transactions of one process: each thread has a connection, opened at its first use and kept.

    Example::

        transactions = TaskTransactions(lambda: engine.store)
        transaction = transactions.begin((run_id, step, attempt))
        transaction.connection.execute("INSERT INTO orders VALUES (1)")
        told = transaction.record(outcome)  # committed, if `told` is RECORDED
    """

    def __init__(self, open_store: Callable[[], Store]) -> None:
        self._open_store = open_store
        self._store: tuple[Store, Watch] | None = None
        self._mine = threading.local()
        self._lock = threading.Lock()
        self._loans: dict[Loan, Attempt | None] = {}  # and the attempt that has it now
        self._is_closed = False

    def begin(self, attempt: Attempt) -> TaskTransaction:
        """Open a transaction on this thread's connection, trying for some seconds; raises StoreErrors."""
        loan = self._loan()
        with self._lock:
            self._loans[loan] = attempt
        try:
            connection = _begun(loan)
        except BaseException:
            self._take_back(loan)
            raise
        store, watch = self._opened()
        return TaskTransaction(store, watch, loan, connection, self._take_back)

    def revoke(self, attempt: Attempt) -> None:
        """Undo what an attempt has written that does not end, from another thread; it cannot be recorded any more."""
        with self._lock:
            found = [loan for loan, who in self._loans.items() if who == attempt]
        for loan in found:
            loan.revoke()

    def close(self) -> None:
        """Close the connections that no task has; the others close as their tasks end."""
        with self._lock:
            self._is_closed = True
            idle = [loan for loan, who in self._loans.items() if who is None]
        for loan in idle:
            loan.close()

    def _loan(self) -> Loan:
        found: Loan | None = getattr(self._mine, "loan", None)
        if found is None:
            store, _ = self._opened()
            found = self._mine.loan = store.loan()
        return found

    def _opened(self) -> tuple[Store, Watch]:
        with self._lock:
            if self._store is None:
                store = self._open_store()
                self._store = (store, Watch(store))
            return self._store

    def _take_back(self, loan: Loan) -> None:
        with self._lock:
            self._loans[loan] = None
            is_closed = self._is_closed
        if is_closed:
            loan.close()


class TaskTransaction:
    """One transaction, which ends with `record` or `undo`."""

    def __init__(
        self, store: Store, watch: Watch, loan: Loan, connection: Any, take_back: Callable[[Loan], None]
    ) -> None:
        self.connection = connection
        self._store = store
        self._watch = watch
        self._loan = loan
        self._take_back = take_back

    def record(self, outcome: Outcome) -> Outcome:
        """Write down that the task succeeded, or returned a plan, and commit; returns what the worker is to be told.

        That is `recorded`; or, with everything undone, `failed` when the attempt is not the step's own any more, and
        `cancelled` for a plan that comes while its run is being ended. Raises what `Loan.recording` raises; then
        nothing is there, except when the connection broke at the commit: nobody knows then, and the fence decides.
        """
        try:
            with self._loan.recording() as tx:
                now = self._store.now()  # not before: a child process has no other connection to ask for it
                journal = self._watch.open(tx, now)
                self._write(tx, outcome, now)
                if journal is not None and self._watch.notify(tx, journal):
                    tx.later("wake")
        except _Undone as undone:
            return undone.outcome
        finally:
            self._take_back(self._loan)
        if journal is not None:
            self._watch.publish(journal)
        return _told(outcome, Verdict.RECORDED)

    def undo(self, *, close: bool = False) -> DefinitionError | None:
        """Roll back; with `close`, for good. See `Loan.rollback` for what comes back."""
        try:
            return self._loan.rollback()
        finally:
            if close:
                self._loan.close()
            self._take_back(self._loan)

    def _write(self, tx: Transaction, outcome: Outcome, now: datetime) -> None:
        may_grow = outcome.verdict == Verdict.EXPANDED
        if may_grow and any(run.is_ending for run in lock_runs(tx, [outcome.run_id])):
            raise _Undone(_told(outcome, Verdict.CANCELLED))
        worker = tx.all("worker_of_step", run_id=outcome.run_id, step=outcome.step) if outcome.output else []
        name = worker[0][0] if worker else "unknown"
        recording = Recording(self._store, tx, name, [outcome], now)
        recording.send()
        recording.settle()
        if recording.refused:
            raise _Undone(_too_late(outcome))
        admit_after(self._store, tx, now, recording.ended_limited)
        if recording.started:
            tx.later("wake")


class _Undone(Exception):  # noqa: N818 - it carries an outcome out of the transaction, which is rolled back on its way
    def __init__(self, outcome: Outcome) -> None:
        super().__init__(outcome.verdict)
        self.outcome = outcome


def _begun(loan: Loan) -> Any:
    for pause_seconds in PAUSES_SECONDS:
        try:
            return loan.begin()
        except StoreUnavailableError:
            time.sleep(pause_seconds)
    return loan.begin()


def _told(outcome: Outcome, verdict: Verdict, error: ErrorInfo | None = None) -> Outcome:
    return Outcome(
        outcome.run_id, outcome.step, outcome.attempt, verdict, error=error, retryable=False, seconds=outcome.seconds
    )


def _too_late(outcome: Outcome) -> Outcome:
    message = (
        f"attempt {outcome.attempt} was taken from its worker before its task returned; all that it wrote was undone"
    )
    return _told(outcome, Verdict.FAILED, ErrorInfo("worker_lost", message))
