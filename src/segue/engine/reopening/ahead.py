"""Reopens a large run: the changes are computed ahead of the lock, and are written in parts if the run has ended.

Reading a run of 100,000 steps, and computing which of them run again, takes longer than a run may be locked. A run that
has ended is changed by people only. So the verb gets a transaction that reads and buffers all writes. Then the run is
locked. If it is unchanged, the buffered writes are recorded as the run's unfinished work (`unfinished`).

Invariant: the run stays ended until all steps that run again are written as blocked. Then it becomes live, and steps
that may start are made ready by compare-and-set, so that a cancel between two parts is not undone.

A run that has not ended changes in the meantime. So the computed changes know what they depend on (`live`), and are
written in one transaction.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Any, NamedTuple, Protocol

from segue.engine.act import Act
from segue.engine.locking import lock_runs
from segue.engine.unfinished import AT_ONCE, Item, Write, leave, refuse_unfinished
from segue.model import RunStatus
from segue.store import named
from segue.store.protocol import Finish, LaterFinished, Row, Store, Transaction

LARGE_RUN = 20_000
"""In steps. A smaller run is read and written under its lock."""

_WRITTEN_AT_ONCE = "insert_event"  # so that a repetition of the act finds its event
_NOT_NEEDED = frozenset({"lock_ready_steps", "wake"})
_CHANGES = ("UPDATE", "INSERT", "DELETE")


class LargeRun(Exception):  # noqa: N818 - it selects how the act is done, and never leaves the engine
    """The changes must be computed ahead of the lock."""

    def __init__(self, run_id: str, *, can_be_ahead: bool = True) -> None:
        super().__init__(run_id)
        self.run_id = run_id
        self.can_be_ahead = can_be_ahead  # if not, it must be done under the run's lock


class _Known(NamedTuple):
    known: list[Row]

    def rows(self) -> list[Row]:
        return self.known


class Live(Protocol):
    """Computed changes to a run that has not ended."""

    def catch_up(self, act: Act) -> bool:
        """Include what has happened since; False if the changes must be computed again."""
        ...

    def write(self, act: Act) -> None:
        """Write the changes."""
        ...


class Reader(Protocol):
    """Reads from the database."""

    def all(self, statement: str, **parameters: Any) -> list[Row]:
        """The rows of a statement."""
        ...


class FreshReads:
    """Reads in a new transaction each time, because a server may end a transaction that is idle for seconds."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def all(self, statement: str, **parameters: Any) -> list[Row]:
        """Read now."""
        with self._store.reading() as tx:
            return tx.all(statement, **parameters)


class BufferedWrites(Transaction):
    """A transaction that reads a run, and buffers everything that is to be written to it."""

    def __init__(self, store: Store, tx: Reader, run_id: str) -> None:
        self.dialect = store.dialect
        self._conversions = store.conversions
        self._tx = tx
        self._run_id = run_id
        self._statements = named.load(store.dialect)
        self.stamp = stamp_of(tx, run_id)
        self.kept: list[Item] = []
        self.events: list[dict[str, Any]] = []
        self.live: Live | None = None  # the changes, if the run has not ended

    @property
    def is_empty(self) -> bool:
        """Whether there is nothing to write."""
        return self.live is None and not self.kept and not self.events

    def all(self, statement: str, **parameters: Any) -> list[Row]:
        """Read now. A statement that writes is buffered and returns no rows."""
        if statement == "lock_runs":
            return self._tx.all("read_run_unlocked", run_id=self._run_id)
        if statement in _NOT_NEEDED:
            return []
        if not self._statements[statement].sql.startswith(_CHANGES):
            return self._tx.all(statement, **parameters)
        if statement == _WRITTEN_AT_ONCE:
            self.events.append(parameters)
        else:
            self._buffer(statement, parameters)
        return []

    def later(self, statement: str, **parameters: Any) -> _Known:
        """As `all`."""
        return _Known(self.all(statement, **parameters))

    def each(self, statement: str, rows: Sequence[Row]) -> None:
        """Buffer a batch, in portions."""
        for first in range(0, len(rows), AT_ONCE):
            self.kept.append(Write(self._run_id, statement, [list(row) for row in rows[first : first + AT_ONCE]], {}))

    def propagate(self, items: Sequence[Item]) -> None:
        """Buffer what must be propagated after everything is written."""
        self.kept += items

    def finish(self, batch: Sequence[Finish], now: datetime) -> LaterFinished:
        """Not possible before the run is locked."""
        raise NotImplementedError("no step can be finished before the run is locked")

    def release_more(self, run_id: str, step: int, released: int, now: datetime) -> LaterFinished:
        """Not possible before the run is locked."""
        raise NotImplementedError("no children can be released before the run is locked")

    def time(self, moment: datetime) -> Any:
        """A time as a parameter of the database."""
        return self._conversions.time(moment)

    def datetime(self, value: Any) -> datetime | None:
        """A time from the database."""
        return self._conversions.datetime(value)

    def array(self, numbers: Iterable[int]) -> Any:
        """Numbers as a parameter of the database."""
        return self._conversions.array(numbers)

    def integers(self, value: Any) -> list[int]:
        """Numbers from the database."""
        return self._conversions.integers(value)

    def _buffer(self, statement: str, parameters: dict[str, Any]) -> None:
        """Buffer a statement; one for very many steps in portions."""
        bound = {name: self.time(v) if isinstance(v, datetime) else v for name, v in parameters.items()}
        steps = bound.get("steps")
        if not isinstance(steps, list):
            self.kept.append(Write(self._run_id, statement, None, bound))
            return
        for first in range(0, len(steps), AT_ONCE):
            portion = {**bound, "steps": steps[first : first + AT_ONCE]}
            self.kept.append(Write(self._run_id, statement, None, portion))


def stamp_of(tx: Reader, run_id: str) -> Row | None:
    """A value that differs after every change of the run; None if there is no such run."""
    rows = tx.all("stamp_of_run", run_id=run_id)
    return rows[0] if rows else None


def write_ahead(act: Act, run_id: str, ahead: BufferedWrites) -> bool:
    """Record the buffered writes as unfinished work of the run; False if the run has changed.

    For a run that has not ended, everything is written now.
    """
    locked = lock_runs(act.tx, [run_id])
    if any(act.tx.all("event_recorded", id=event["id"]) for event in ahead.events):
        return True  # it was written before, but the answer was lost
    if not locked:
        return False
    stamp = stamp_of(act.tx, run_id)
    if ahead.live is not None:
        if _changes_by_people(stamp) != _changes_by_people(ahead.stamp) or not ahead.live.catch_up(act):
            return False
    else:
        if not RunStatus(locked[0].status).is_final or stamp != ahead.stamp:
            return False
        refuse_unfinished(act.tx, run_id)
    for event in ahead.events:
        act.tx.later(_WRITTEN_AT_ONCE, **event)
        if act.journal is not None:
            act.journal.note(event["kind"], run_id, event["step"], detail=event["detail"], event_id=event["id"])
    if ahead.live is not None:
        ahead.live.write(act)
    leave(act, ahead.kept)
    return True


def _changes_by_people(stamp: Row | None) -> Row | None:
    """The part of a stamp that only people change: the number of discarded steps, and the latest event."""
    return stamp and stamp[-2:]
