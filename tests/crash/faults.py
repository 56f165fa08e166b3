"""A store in which something happens at the n-th point.

The points of a transaction, in order: before it begins, before each statement, before the commit, after the commit.
Those of a transaction that is lent to a task are called "lent:...", each statement of the task's own is one of them;
"lent:7" is the seventh of these alone. `FaultyStore` counts points through all transactions and calls `strike` at one
of them, or at all of a name. What may strike:

`lose`   the connection is reported lost; after the commit this is an unknown outcome
`die`    this process is as good as dead: nothing of it reaches the database any more (until the test is done with it)
`kill`   this process is dead
`cut`    the real connection is severed, as a failing network or server does
`deafen` the server hears everything, and its answers do not arrive: whether it committed stays unknown
"""

from __future__ import annotations

import os
import signal
import socket
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime
from functools import partial
from types import SimpleNamespace
from typing import Any, NoReturn

from segue.errors import StoreUnavailableError
from segue.store.protocol import Finish, Row

BEGIN, COMMIT, COMMITTED = "begin", "commit", "committed"
LENT = "lent:"
BY_THE_CLOCK = frozenset({"active_subscriptions", "binding_limits", "waiting_lanes"})
"""Statements that only look, said when some time has passed: how many there are differs from one time to the next, so
they are no points with numbers."""


class Died(BaseException):
    """Stands for the end of the process."""


class FaultyStore:
    """`store`, with `strike` at the points number `at`, from 1. `points` are the names of those passed."""

    def __init__(self, store: Any, strike: Callable[[Any], None] | None = None, *at: int | str) -> None:
        self._store = store
        self._strike = strike
        self._at = at
        self._is_dead = False
        self.points: list[str] = []
        self.lent = 0  # how many of them lie in transactions that were lent to tasks
        self.transactions = 0
        self.struck_in = 0  # the number of the transaction, of the first strike

    def __getattr__(self, name: str) -> Any:
        return getattr(self._store, name)

    @property
    def has_struck(self) -> bool:
        return self.struck_in > 0

    @contextmanager
    def transaction(self) -> Iterator[Any]:
        self.transactions += 1
        self.reach(BEGIN, None)
        with self._store.transaction() as tx:
            yield _Watched(tx, self)
            self.reach(COMMIT, tx)
        self.reach(COMMITTED, None)

    def loan(self) -> Any:
        return _FaultyLoan(self._store.loan(), self)

    def reach(self, point: str, tx: Any) -> None:
        if self._is_dead:
            raise Died
        if point in BY_THE_CLOCK:
            return
        self.points.append(point)
        names: set[int | str] = {len(self.points), point}
        if point.startswith(LENT):
            self.lent += 1
            names.add(f"{LENT}{self.lent}")
        if not names.isdisjoint(self._at) and self._strike is not None:
            self.struck_in = self.struck_in or self.transactions
            try:
                self._strike(tx)
            except Died:
                self._is_dead = True
                raise


class _FaultyLoan:
    """A connection that is lent to tasks."""

    def __init__(self, loan: Any, store: FaultyStore) -> None:
        self._loan = loan
        self._store = store

    def __getattr__(self, name: str) -> Any:
        return getattr(self._loan, name)

    def begin(self) -> Any:
        self._store.transactions += 1
        self._store.reach(LENT + BEGIN, None)
        self._connection = self._loan.begin()
        self._connection.execute = partial(self._execute, self._connection)
        return self._connection

    @contextmanager
    def recording(self) -> Iterator[Any]:
        del self._connection.execute
        with self._loan.recording() as tx:
            yield _Watched(tx, self._store, LENT)
            self._store.reach(LENT + COMMIT, tx)
        self._store.reach(LENT + COMMITTED, None)

    def rollback(self) -> Any:
        del self._connection.execute
        return self._loan.rollback()

    def _execute(self, connection: Any, statement: str) -> Any:
        wire = SimpleNamespace(_pgconn=getattr(connection, "pgconn", None))
        self._store.reach(f"{LENT}task", SimpleNamespace(_wire=wire))
        return type(connection).execute(connection, statement)


class _Watched:
    def __init__(self, tx: Any, store: FaultyStore, prefix: str = "") -> None:
        self._tx = tx
        self._store = store
        self._prefix = prefix

    def __getattr__(self, name: str) -> Any:
        return getattr(self._tx, name)

    def all(self, statement: str, **parameters: Any) -> list[Row]:
        self._store.reach(self._prefix + statement, self._tx)
        rows: list[Row] = self._tx.all(statement, **parameters)
        return rows

    def later(self, statement: str, **parameters: Any) -> Any:
        self._store.reach(self._prefix + statement, self._tx)
        return self._tx.later(statement, **parameters)

    def each(self, statement: str, rows: Sequence[Row]) -> None:
        self._store.reach(self._prefix + statement, self._tx)
        self._tx.each(statement, rows)

    def finish(self, batch: Sequence[Finish], now: datetime) -> Any:
        self._store.reach(f"{self._prefix}finish", self._tx)
        return self._tx.finish(batch, now)

    def release_more(self, run_id: str, step: int, released: int, now: datetime) -> Any:
        self._store.reach(f"{self._prefix}release_children", self._tx)
        return self._tx.release_more(run_id, step, released, now)


def lose(_: Any) -> NoReturn:
    raise StoreUnavailableError("the connection broke (says the test)")


def die(_: Any) -> NoReturn:
    raise Died


def kill(_: Any) -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def cut(tx: Any) -> None:
    """Sever the connection of a PostgreSQL transaction; where none is open, report it lost."""
    _shut(tx, socket.SHUT_RDWR)


def deafen(tx: Any) -> None:
    """Take the answers of a PostgreSQL transaction away, and let what it says through.

    What the system had received, or receives quickly, may still be read; then the connection breaks a little later.
    """
    _shut(tx, socket.SHUT_RD)


def _shut(tx: Any, how: int) -> None:
    if tx is None:
        lose(tx)
    with socket.socket(fileno=os.dup(tx._wire._pgconn.socket)) as theirs:
        theirs.shutdown(how)
