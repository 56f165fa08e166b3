"""Reopening a large run: worked out while it is not locked. One that has ended is written in parts.

To read a run of 100,000 steps, and to work out what begins anew, takes longer than a run may be locked. Of a run that
has ended nothing changes but by people. So the verb is said to a transaction that only looks, and keeps what is to be
written. Then the run is locked; when it is as it was, what was kept becomes what is left to do of it (`unfinished`).

Invariant: until all steps that begin anew are written, as blocked, the run stays ended. Then it goes on, and what may
start is armed by compare-and-set, so that a cancel between two parts is not undone.

A run that goes on changes meanwhile. What is worked out says itself what it depends on (`live`), and is written in one
transaction.
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
"""Steps; a smaller one is read and written under its lock."""

_SAID_AT_ONCE = "insert_event"  # so that the same act, said again, finds its event
_NOT_SAID = frozenset({"lock_ready_steps", "wake"})
_CHANGES = ("UPDATE", "INSERT", "DELETE")


class LargeRun(Exception):  # noqa: N818 - it says how the act is to be done, and is never seen outside of the engine
    """The act is to be worked out ahead."""

    def __init__(self, run_id: str, *, can_be_ahead: bool = True) -> None:
        super().__init__(run_id)
        self.run_id = run_id
        self.can_be_ahead = can_be_ahead  # if not, it is to be done under the run's lock


class _Known(NamedTuple):
    known: list[Row]

    def rows(self) -> list[Row]:
        return self.known


class Live(Protocol):
    """What was worked out of a run that goes on."""

    def catch_up(self, act: Act) -> bool:
        """Take in what went on meanwhile; False when it must be worked out again."""
        ...

    def write(self, act: Act) -> None:
        """Write it."""
        ...


class Looking(Protocol):
    """What looks at the database."""

    def all(self, statement: str, **parameters: Any) -> list[Row]:
        """The rows of a statement."""
        ...


class Glances:
    """Looks at a run that nobody changes: a transaction for each look, as a server ends one that idles for seconds."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def all(self, statement: str, **parameters: Any) -> list[Row]:
        """Look now."""
        with self._store.reading() as tx:
            return tx.all(statement, **parameters)


class Ahead(Transaction):
    """A transaction that looks at a run, and keeps what is to be written to it."""

    def __init__(self, store: Store, tx: Looking, run_id: str) -> None:
        self.dialect = store.dialect
        self._conversions = store.conversions
        self._tx = tx
        self._run_id = run_id
        self._statements = named.load(store.dialect)
        self.stamp = stamp_of(tx, run_id)
        self.kept: list[Item] = []
        self.events: list[dict[str, Any]] = []
        self.live: Live | None = None  # of a run that goes on

    @property
    def is_empty(self) -> bool:
        """Whether nothing is to be written."""
        return self.live is None and not self.kept and not self.events

    def all(self, statement: str, **parameters: Any) -> list[Row]:
        """Look now; what would change something is kept, and returns nothing."""
        if statement == "lock_runs":
            return self._tx.all("look_at_run", run_id=self._run_id)
        if statement in _NOT_SAID:
            return []
        if not self._statements[statement].sql.startswith(_CHANGES):
            return self._tx.all(statement, **parameters)
        if statement == _SAID_AT_ONCE:
            self.events.append(parameters)
        else:
            self._keep(statement, parameters)
        return []

    def later(self, statement: str, **parameters: Any) -> _Known:
        """The same."""
        return _Known(self.all(statement, **parameters))

    def each(self, statement: str, rows: Sequence[Row]) -> None:
        """Keep a batch, in portions."""
        for first in range(0, len(rows), AT_ONCE):
            self.kept.append(Write(self._run_id, statement, [list(row) for row in rows[first : first + AT_ONCE]], {}))

    def propagate(self, items: Sequence[Item]) -> None:
        """Keep what is to be settled when all is written."""
        self.kept += items

    def finish(self, batch: Sequence[Finish], now: datetime) -> LaterFinished:
        """Not while it is worked out."""
        raise NotImplementedError("nothing is finished before the run is locked")

    def tell(self, run_id: str, step: int, told: int, now: datetime) -> LaterFinished:
        """Not while it is worked out."""
        raise NotImplementedError("nothing is told before the run is locked")

    def time(self, moment: datetime) -> Any:
        """As the database binds it."""
        return self._conversions.time(moment)

    def datetime(self, value: Any) -> datetime | None:
        """As the database says it."""
        return self._conversions.datetime(value)

    def array(self, numbers: Iterable[int]) -> Any:
        """As the database binds it."""
        return self._conversions.array(numbers)

    def integers(self, value: Any) -> list[int]:
        """As the database says it."""
        return self._conversions.integers(value)

    def _keep(self, statement: str, parameters: dict[str, Any]) -> None:
        """Keep a statement; one about very many steps in portions."""
        said = {name: self.time(v) if isinstance(v, datetime) else v for name, v in parameters.items()}
        steps = said.get("steps")
        if not isinstance(steps, list):
            self.kept.append(Write(self._run_id, statement, None, said))
            return
        for first in range(0, len(steps), AT_ONCE):
            portion = {**said, "steps": steps[first : first + AT_ONCE]}
            self.kept.append(Write(self._run_id, statement, None, portion))


def stamp_of(tx: Looking, run_id: str) -> Row | None:
    """What is another one when the run was changed."""
    rows = tx.all("stamp_of_run", run_id=run_id)
    return rows[0] if rows else None


def write_ahead(act: Act, run_id: str, ahead: Ahead) -> bool:
    """Make what was worked out what is left to do of the run; False when the run is not as it was.

    Of a run that goes on it is all written now.
    """
    locked = lock_runs(act.tx, [run_id])
    if any(act.tx.all("event_recorded", id=event["id"]) for event in ahead.events):
        return True  # it was written, and the answer was lost
    if not locked:
        return False
    stamp = stamp_of(act.tx, run_id)
    if ahead.live is not None:
        if _people_of(stamp) != _people_of(ahead.stamp) or not ahead.live.catch_up(act):
            return False
    else:
        if not RunStatus(locked[0].status).is_final or stamp != ahead.stamp:
            return False
        refuse_unfinished(act.tx, run_id)
    for event in ahead.events:
        act.tx.later(_SAID_AT_ONCE, **event)
        if act.journal is not None:
            act.journal.note(event["kind"], run_id, event["step"], detail=event["detail"], event_id=event["id"])
    if ahead.live is not None:
        ahead.live.write(act)
    leave(act, ahead.kept)
    return True


def _people_of(stamp: Row | None) -> Row | None:
    """What people alone change of a run that goes on: the steps that were thrown away, and the latest event."""
    return stamp and stamp[-2:]
