"""Runs the attempt of a transactional task: lends it a connection, and records its outcome in that transaction.

The transaction is rolled back if the task raised, was skipped, timed out or was cancelled, or if its result could not
be stored. The outcome then goes to the worker like any other.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol

from segue.authoring.context import Cancelled
from segue.engine.transactional import TaskTransactions
from segue.errors import ConfigError, StoreError
from segue.model import Attempt, Outcome, Verdict

_NO_DATABASE = "A transactional task was given to a pool without a database. Make it with store= or database_url=."
_RECORDED_HERE = (Verdict.SUCCEEDED, Verdict.EXPANDED)
OnReturn = Callable[[], str]
"""Called when the task has returned: from here on the attempt must not be interrupted. Returns what it printed."""


class Lendable(Protocol):
    """The parts of an attempt that are used here; see `segue.attempt.runner`."""

    @property
    def key(self) -> Attempt:
        """Identifies the attempt."""
        ...

    def run(self, connection: Any) -> Any:
        """Run the task with this connection; returns what it returned."""
        ...

    def succeeded(self, value: Any) -> Outcome:
        """The outcome of a task that returned."""
        ...

    def failed(self, exc: BaseException) -> Outcome:
        """The outcome of a task that raised."""
        ...

    def released(self, exc: Exception) -> Outcome:
        """The outcome of an attempt that could not begin."""
        ...

    def is_to_end(self) -> bool:
        """Whether the pool has asked it to end."""
        ...


def run_in_transaction(
    attempt: Lendable,
    transactions: TaskTransactions | None,
    on_return: OnReturn | None,
    let_through: tuple[type[BaseException], ...],
) -> Outcome:
    """One attempt from the beginning of its transaction to its end. `Cancelled` and `let_through` get through."""
    if transactions is None:
        return attempt.failed(ConfigError(_NO_DATABASE))
    try:
        transaction = transactions.begin(attempt.key)
    except StoreError as exc:
        return attempt.released(exc)  # the task has not begun, so this does not count as a try
    try:
        _check(attempt)
        outcome = attempt.succeeded(attempt.run(transaction.connection))
        _check(attempt)
        if on_return is not None and outcome.verdict in _RECORDED_HERE:
            outcome.output = on_return()
    except BaseException as exc:
        ended = transaction.undo(close=attempt.is_to_end())  # this thread may have been abandoned by now
        if isinstance(exc, (Cancelled, *let_through)):
            raise
        return attempt.failed(_because(exc, ended))
    if outcome.verdict not in _RECORDED_HERE:
        ended = transaction.undo()
        return attempt.failed(ended) if ended is not None else outcome
    try:
        return transaction.record(outcome)
    except Exception as exc:  # noqa: BLE001 - the store's, or the driver's for a constraint that the task deferred
        failed = attempt.failed(exc)
        if isinstance(exc, StoreError):
            failed.retryable = True  # the database caused it, so `retry_on` of the task does not apply
        failed.output = outcome.output
        return failed


def _check(attempt: Lendable) -> None:
    if attempt.is_to_end():
        raise Cancelled


def _because(exc: BaseException, ended: Exception | None) -> BaseException:
    """The exception to report: a task that ended its transaction itself is a worse error than its result."""
    if ended is None:
        return exc
    ended.__cause__ = exc
    return ended
