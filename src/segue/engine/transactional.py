"""Transactional attempts: the transaction in which a task wrote also records the outcome of its step.

Either all of it is committed (the task's own rows, the outcome of its step, the steps that it released, the end of its
run), or nothing. The fence makes it exactly once: only the current attempt of the step can commit.

The run is locked after the task has returned, not before: no other transaction waits for it while the task runs. (On
SQLite a transaction that writes holds the database's only write lock from its beginning. Its worker cannot renew its
lease meanwhile, so a long transaction renews it, before or right after it releases the lock.)
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from contextlib import suppress
from datetime import datetime
from typing import Any, TypeVar

from segue.engine.act import Act
from segue.engine.locking import lock_runs
from segue.engine.reporting import report
from segue.engine.watch import Watch
from segue.errors import DefinitionError, StoreError, StoreUnavailableError
from segue.model import WORKER_LOST, Attempt, ErrorInfo, Outcome, Verdict
from segue.store.protocol import Loan, Store, Transaction

LONG_SECONDS = 0.25
"""A transaction that holds SQLite's write lock for longer than this renews the lease of its worker."""

PAUSES_SECONDS = (0.05, 0.1, 0.2, 0.4, 0.8, 1.6)
"""The pause between two tries to begin while the database is unreachable."""

T = TypeVar("T")


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
        self._loans: dict[Loan, Attempt | None] = {}  # and the attempt that uses it now
        self._is_closed = False

    @property
    def store(self) -> Store:
        """The store, opened at its first use."""
        return self._opened()[0]

    def begin(self, attempt: Attempt) -> TaskTransaction:
        """Open a transaction on this thread's connection, trying for some seconds. Raises StoreErrors."""
        loan = self._loan()
        with self._lock:
            self._loans[loan] = attempt
        try:
            connection = _begun(loan)
        except BaseException:
            self._take_back(loan)
            raise
        store, watch = self._opened()
        return TaskTransaction(store, watch, loan, connection, self._take_back, attempt)

    def revoke(self, attempt: Attempt) -> None:
        """Undo the writes of an attempt that does not end, from another thread; it can no longer be recorded."""
        with self._lock:
            found = [loan for loan, who in self._loans.items() if who == attempt]
        for loan in found:
            loan.revoke()

    def close(self) -> None:
        """Close the connections that no task uses; the others close as their tasks end."""
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
        self, store: Store, watch: Watch, loan: Loan, connection: Any, take_back: Callable[[Loan], None],
        attempt: Attempt,
    ) -> None:  # fmt: skip
        self.connection = connection
        self._attempt = attempt
        self._begun_at = time.monotonic()
        self._store = store
        self._watch = watch
        self._loan = loan
        self._take_back = take_back

    def record(self, outcome: Outcome) -> Outcome:
        """Record that the task succeeded, or returned a plan, and commit. Returns the outcome for the worker.

        That is `recorded`; or, with everything undone, `failed` if the attempt is no longer the current one of its
        step, and `cancelled` for a plan whose run is being ended. Raises what `Loan.recording` raises; then nothing is
        committed, unless the connection broke at the commit: then it is unknown, and the fence decides.
        """
        try:
            act = self.keep(lambda tx, now: self._record(tx, now, outcome))
        except _Undone as undone:
            return undone.outcome
        self._watch.publish(act)
        return _outcome_for_worker(outcome, Verdict.RECORDED)

    def keep(self, write: Callable[[Transaction, datetime], T]) -> T:
        """Let `write` add rows of Segue, and commit them with what the task wrote; if it raises, all is undone."""
        try:
            with self._loan.recording() as tx:
                now = self._store.now()  # not before: a child process has no other connection to ask for it
                if self._has_held_the_lock():
                    self._renew_lease(tx, now)
                return write(tx, now)
        finally:
            self._take_back(self._loan)

    def undo(self, *, close: bool = False) -> DefinitionError | None:
        """Roll back; with `close`, also close the connection. `Loan.rollback` explains the return value."""
        try:
            return self._loan.rollback()
        finally:
            if close:
                self._loan.close()
            self._take_back(self._loan)
            if self._has_held_the_lock():
                with suppress(StoreError), self._store.transaction() as tx:
                    self._renew_lease(tx, self._store.now())

    def _has_held_the_lock(self) -> bool:
        return self._store.dialect == "sqlite" and time.monotonic() - self._begun_at > LONG_SECONDS

    def _renew_lease(self, tx: Transaction, now: datetime) -> None:
        run_id, step, _ = self._attempt
        for worker_id, heartbeat_at, lease_until in tx.all("lease_of_step", run_id=run_id, step=step):
            begun, until = tx.datetime(heartbeat_at), tx.datetime(lease_until)
            if begun is not None and until is not None:
                tx.all("renew_lease", worker_id=worker_id, now=now, lease_until=now + (until - begun))

    def _record(self, tx: Transaction, now: datetime, outcome: Outcome) -> Act:
        act = self._watch.begin(tx, now)
        self._write(act, outcome)
        if self._watch.notify(act):
            tx.later("wake")
        return act

    def _write(self, act: Act, outcome: Outcome) -> None:
        may_grow = outcome.verdict == Verdict.EXPANDED
        if may_grow and any(run.is_ending for run in lock_runs(act.tx, [outcome.run_id])):
            raise _Undone(_outcome_for_worker(outcome, Verdict.CANCELLED))
        worker = act.tx.all("worker_of_step", run_id=outcome.run_id, step=outcome.step) if outcome.output else []
        name = worker[0][0] if worker else "unknown"
        if report(act, [outcome], by=name).recorded.refused:
            raise _Undone(_too_late(outcome))


class _Undone(Exception):  # noqa: N818 - carries an outcome out of the transaction, which is rolled back on the way
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


def _outcome_for_worker(outcome: Outcome, verdict: Verdict, error: ErrorInfo | None = None) -> Outcome:
    return Outcome(
        outcome.run_id, outcome.step, outcome.attempt, verdict, error=error, retryable=False, seconds=outcome.seconds
    )


def _too_late(outcome: Outcome) -> Outcome:
    message = (
        f"attempt {outcome.attempt} was taken from its worker before its task returned; all its writes were undone"
    )
    return _outcome_for_worker(outcome, Verdict.FAILED, ErrorInfo(WORKER_LOST, message))
