"""The interface between the engine and a database: transactions that run named statements.

A dialect promises: a transaction is all or nothing, and durable when its `with` block ends; two transactions never both
win the same compare-and-set; `claim` statements never return a row to two callers; errors are
`segue.errors.StoreError`s.

A store does not know what its statements mean, with one exception for speed: on SQLite, `sqlite_finish` applies the
join rules (`segue.model.judge_join`), which the statement `finish` applies on PostgreSQL.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from contextlib import AbstractContextManager
from datetime import datetime
from enum import StrEnum
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

from segue.errors import DefinitionError

if TYPE_CHECKING:
    from segue.store.sqlite_file import DatabaseFile

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


RELEASED_AT_ONCE = 5000
"""How many children of a step one statement updates. `finish` on PostgreSQL contains this number, too."""


class FollowKind(StrEnum):
    """What the end of a step leads to."""

    JOIN = "join"  # a join is ready to be passed
    SKIP = "skip"  # the step's join rule can no longer be satisfied
    TELL = "tell"  # some of its children are not updated yet; `attempt` says how many are
    DRAINED = "quiet"  # the run waits for nothing more; the engine decides how it ends
    ENDED = "ended"  # the run ended: it waited for nothing more and had no failure


class Follow(NamedTuple):
    """Something that the end of a step leads to; the engine continues with it."""

    run_id: str
    step: int  # RUN if it is about the run
    attempt: int
    kind: str  # a FollowKind


class Finished(NamedTuple):
    """The effect of a batch of `Finish`."""

    recorded: int  # how many were recorded, that is, not refused
    started: int  # how many steps became claimable
    follow: list[Follow]  # joins to pass through, steps to skip, runs and scopes that ended


class Later(Protocol):
    """The future rows of a statement that was sent."""

    def rows(self) -> list[Row]:
        """Wait for the statement and return its rows."""
        ...


class LaterFinished(Protocol):
    """The future effect of a batch of finishes that was sent."""

    def result(self) -> Finished:
        """Wait for the batch and return its effect."""
        ...


class Conversions(Protocol):
    """How a dialect binds values in rows, and reads them."""

    def time(self, moment: datetime) -> Any:
        """Bind a time."""
        ...

    def datetime(self, value: Any) -> datetime | None:
        """Read a time: aware, UTC; None stays None."""
        ...

    def array(self, numbers: Iterable[int]) -> Any:
        """Bind integers to an array column."""
        ...

    def integers(self, value: Any) -> list[int]:
        """Read an array column."""
        ...


class Transaction(Conversions, Protocol):
    """One transaction. A statement sees the effects of earlier ones; `later` statements share a round trip where
    possible.

    A list of values is bound as an array. So is a tuple of texts; its bound form is cached, for values that recur.
    """

    dialect: str

    def all(self, statement: str, **parameters: Any) -> list[Row]:
        """Run a named statement and return its rows (an empty list if it returns none)."""
        ...

    def later(self, statement: str, **parameters: Any) -> Later:
        """Send a named statement. Its rows can be fetched after other statements were sent."""
        ...

    def each(self, statement: str, rows: Sequence[Row]) -> None:
        """Run a batch statement over rows, whose fields are the statement's `columns`."""
        ...

    def finish(self, batch: Sequence[Finish], now: datetime) -> LaterFinished:
        """Write final statuses and update the children. Skips a row whose status or attempt is not the expected one.

        Of a step with many children the first RELEASED_AT_ONCE are updated, and a follow says that there are more.
        """
        ...

    def finish_plain(self, batch: Sequence[Finish], now: datetime, *, only_child: int | None = None) -> Later:
        """Record successes of steps of locked runs, apart from runs in which more would follow than counters, starts
        and ends; for a store that `sends_commit_along`.

        `only_child` is that of a single step, where it is known; then there may be no row, if nothing was recorded.
        Its row says how many were recorded and how many steps became claimable, and lists the runs that ended; if
        not all were recorded, also those that were, as "run step".
        """
        raise AssertionError(f"there is no server of {self.dialect} to send a commit along to")

    def release_more(self, run_id: str, step: int, released: int, now: datetime) -> LaterFinished:
        """Update up to RELEASED_AT_ONCE more children of an ended step, after the first `released`."""
        ...


class Store(Protocol):
    """A database."""

    dialect: str
    url: str
    conversions: Conversions
    """How this store binds values, for rows that are made before a transaction begins."""
    file: DatabaseFile | None
    """The file that holds the database, if any. After it was removed, only a new store creates another."""

    @property
    def sends_commit_along(self) -> bool:
        """Whether a transaction that reads no rows before its end takes a single exchange with a server, its commit
        included."""
        ...

    def transaction(self) -> AbstractContextManager[Transaction]:
        """A write transaction of this thread. Commits at the end of the block, rolls back if the block raises."""
        ...

    def reading(self) -> AbstractContextManager[Transaction]:
        """A read transaction of this thread: a snapshot that blocks no writer."""
        ...

    def adopt(self, connection: Any) -> AbstractContextManager[Transaction]:
        """Statements inside a transaction that the caller has open on `connection`; only the caller ends it."""
        ...

    def patience(self, seconds: float) -> AbstractContextManager[None]:
        """Limits how long this thread waits, inside the block, for the database's write lock, if there is one."""
        ...

    def reading_within(self, seconds: float) -> AbstractContextManager[None]:
        """Inside the block, a `reading` of this thread that takes longer ends with StoreBusyError.

        On PostgreSQL each of its statements may take so long, on SQLite all of them together.
        """
        ...

    def unsynced(self) -> AbstractContextManager[None]:
        """Inside the block, a commit of this thread may be undone by a loss of power, which ends this process as well.

        It is kept if a later commit is. For what may be forgotten with the process, as that an attempt has begun.
        """
        ...

    def loan(self) -> Loan:
        """A connection of the driver for one thread, to be lent to tasks; it connects when it is first lent."""
        ...

    def now(self) -> datetime:
        """The database's time: aware, UTC."""
        ...

    def forget_clock(self) -> None:
        """Read the database's clock again: the last reading may be wrong, as after a lease that was lost."""
        ...

    def waker(self) -> Waker:
        """Something to wait on for changes by other processes."""
        ...

    def upgrade(self) -> list[int]:
        """Bring the tables up to this version; returns the migrations that were applied."""
        ...

    def schema_version(self) -> int:
        """The number of the latest migration in the database; 0 without tables."""
        ...

    def close(self) -> None:
        """Close this process's connections."""
        ...


class Loan(Protocol):
    """A connection of the driver, lent to tasks: they write in a transaction that Segue begins and ends.

    A task that tries to end it is refused where that is possible, and detected otherwise.
    """

    def begin(self) -> Any:
        """Open a transaction on a connection that is as good as new; returns the driver's connection."""
        ...

    def recording(self) -> AbstractContextManager[Transaction]:
        """Segue's own statements in that transaction, which is committed at the end of the block.

        Rolls back if the block raises. Raises `DefinitionError` if the transaction is not the one that was begun,
        StoreErrors for errors of Segue's statements, and the driver's own error for a constraint that the task deferred
        to the commit.
        """
        ...

    def rollback(self) -> DefinitionError | None:
        """Undo what the task wrote. Returns an error if the task had ended the transaction, so that some may stay."""
        ...

    def revoke(self) -> None:
        """Revoke the connection, from another thread, of a task that does not end. Nothing it writes counts."""
        ...

    def close(self) -> None:
        """Close the connection, if there is one."""
        ...


class Waker(Protocol):
    """Hints that there may be something to do. They may be lost or false, so callers also poll."""

    fd: int | None  # readable if there is news; None: call `woken` every `poll_seconds`
    poll_seconds: float

    def woken(self) -> bool:
        """True if there was news since the last call."""
        ...

    def drain(self) -> None:
        """Discard the news. A server keeps it until it is fetched, so call this now and then even without interest in
        it.

        Costs a system call, and never raises: `woken` reports a connection that broke.
        """
        ...

    def close(self) -> None:
        """Stop listening."""
        ...
