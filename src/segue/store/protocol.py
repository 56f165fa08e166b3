"""The seam between the engine and a database: transactions that run named statements.

A dialect promises: a transaction is all or nothing and durable when its `with` block ends; two transactions never both
win the same compare-and-set; `claim` statements never hand a row to two callers; errors are `segue.errors.StoreError`s.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from contextlib import AbstractContextManager
from datetime import datetime
from enum import StrEnum
from typing import Any, NamedTuple, Protocol

from segue.errors import DefinitionError
from segue.observing.journal import Journal

Row = tuple[Any, ...]


class Finish(NamedTuple):
    """One compare-and-set into a final status: from (attempt, from_status), for `(run_id, step)`."""

    run_id: str
    step: int
    attempt: int
    from_status: str
    status: str
    result: str | None = None
    error: str | None = None
    seconds: float | None = None


class FollowKind(StrEnum):
    """What a finished step set off."""

    JOIN = "join"  # a join is to be passed through
    SKIP = "skip"  # the step's join rule can no longer hold
    QUIET = "quiet"  # the run waits for nothing more, and how it ends must be looked at
    ENDED = "ended"  # the run ended: it waited for nothing more and nothing in it failed


class Follow(NamedTuple):
    """Something that a finished step set off; the engine carries it on within the same transaction."""

    run_id: str
    step: int  # RUN when it is about the run
    attempt: int
    kind: str  # a FollowKind


class Finished(NamedTuple):
    """What came of a batch of `Finish`."""

    recorded: int  # how many were not refused
    started: int  # how many steps became claimable
    follow: list[Follow]  # joins to pass through, steps to skip, runs and scopes that ended


class Later(Protocol):
    """The rows of a statement that is on its way."""

    def rows(self) -> list[Row]:
        """Wait for the statement and return its rows."""
        ...


class LaterFinished(Protocol):
    """A batch of finishes that is on its way."""

    def result(self) -> Finished:
        """Wait for it and return what came of it."""
        ...


class Transaction(Protocol):
    """One transaction. Statements see those before them; `later` ones share a round trip where the dialect can.

    A list of values is bound as an array. So is a tuple of texts, which is remembered: for what is said often.
    """

    journal: Journal | None
    """Where the engine notes what happens in it; None, as it begins, when nobody wants to hear of it."""

    ended_runs: list[str] | None
    """The ids of runs that ended in it; None, as it begins, when nobody asks."""

    def all(self, statement: str, **parameters: Any) -> list[Row]:
        """Run a named statement and return its rows (none for one that returns nothing)."""
        ...

    def later(self, statement: str, **parameters: Any) -> Later:
        """Send a named statement; its rows may be asked for after others were sent."""
        ...

    def each(self, statement: str, rows: Sequence[Row]) -> None:
        """Run a batch statement over rows, whose fields are the `columns` that its header names."""
        ...

    def finish(self, batch: Sequence[Finish], now: datetime) -> LaterFinished:
        """Write final statuses and release the children. A row that is not at its `from_status` and attempt is left."""
        ...


class Store(Protocol):
    """A database."""

    dialect: str
    url: str

    def transaction(self) -> AbstractContextManager[Transaction]:
        """A write transaction of this thread; commits at the end of the block, rolls back when it raises."""
        ...

    def reading(self) -> AbstractContextManager[Transaction]:
        """A transaction of this thread that only reads: one moment's view, and nobody waits for it."""
        ...

    def adopt(self, connection: Any) -> AbstractContextManager[Transaction]:
        """Statements inside a transaction that the caller has open on `connection`, and alone ends."""
        ...

    def patience(self, seconds: float) -> AbstractContextManager[None]:
        """Within the block this thread waits at most so long for a lock on the whole database, where there is one."""
        ...

    def loan(self) -> Loan:
        """A connection of the driver's own for one thread, to be lent to tasks; connects when it is first lent."""
        ...

    def now(self) -> datetime:
        """The database's time: aware, UTC."""
        ...

    def time(self, moment: datetime) -> Any:
        """`moment` as this dialect binds it."""
        ...

    def datetime(self, value: Any) -> datetime | None:
        """A time read from a row, aware, UTC; None stays None."""
        ...

    def array(self, numbers: Iterable[int]) -> Any:
        """Integers as this dialect binds them to an array column."""
        ...

    def integers(self, value: Any) -> list[int]:
        """An array column as read from a row."""
        ...

    def waker(self) -> Waker:
        """Something to wait on for news from other processes."""
        ...

    def upgrade(self) -> list[int]:
        """Bring the tables up to this version; returns the migrations that were applied."""
        ...

    def schema_version(self) -> int:
        """The number of the latest migration in the database; 0 when there are no tables."""
        ...

    def close(self) -> None:
        """Close this process's connections."""
        ...


class Loan(Protocol):
    """A plain connection of the driver's, lent to tasks: they write in a transaction that Segue begins and ends.

    A task that tries to end it is refused where that is possible, and found out where it is not.
    """

    def begin(self) -> Any:
        """Open a transaction, on a connection as good as new; returns the driver's connection."""
        ...

    def recording(self) -> AbstractContextManager[Transaction]:
        """Segue's own statements in that transaction, which is committed at the end of the block.

        Rolled back when the block raises. Raises `DefinitionError` when it is no longer the transaction that was begun,
        StoreErrors for what Segue's statements meet, and the driver's own error for a constraint that the task
        deferred to the commit.
        """
        ...

    def rollback(self) -> DefinitionError | None:
        """Undo what the task wrote; an error comes back when the task had ended the transaction, so some may stay."""
        ...

    def revoke(self) -> None:
        """Take it away, from another thread, from a task that does not end: nothing of what it writes will count."""
        ...

    def close(self) -> None:
        """Close the connection, if there is one."""
        ...


class Waker(Protocol):
    """Hints that there may be something to do. They may be lost or false; polling stays underneath."""

    fd: int | None  # readable when there is news; None: look with `woken` every `poll_seconds`
    poll_seconds: float

    def woken(self) -> bool:
        """True when there was news since the last look."""
        ...

    def close(self) -> None:
        """Stop listening."""
        ...
