"""A store in which something happens at the n-th point.

The points of a transaction, in order: before it begins, before each statement, before the commit, after the commit.
`FaultyStore` counts them through all transactions and calls `strike` at one of them. What may strike:

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
from typing import Any, NoReturn

from segue.errors import StoreUnavailableError
from segue.store.protocol import Finish, Row

BEGIN, COMMIT, COMMITTED = "begin", "commit", "committed"


class Died(BaseException):
    """Stands for the end of the process."""


class FaultyStore:
    """`store`, with `strike` at the points number `at`, from 1. `points` are the names of those passed."""

    def __init__(self, store: Any, strike: Callable[[Any], None] | None = None, *at: int) -> None:
        self._store = store
        self._strike = strike
        self._at = at
        self._is_dead = False
        self.points: list[str] = []
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

    def reach(self, point: str, tx: Any) -> None:
        if self._is_dead:
            raise Died
        self.points.append(point)
        if len(self.points) in self._at and self._strike is not None:
            self.struck_in = self.struck_in or self.transactions
            try:
                self._strike(tx)
            except Died:
                self._is_dead = True
                raise


class _Watched:
    def __init__(self, tx: Any, store: FaultyStore) -> None:
        self._tx = tx
        self._store = store

    def all(self, statement: str, **parameters: Any) -> list[Row]:
        self._store.reach(statement, self._tx)
        rows: list[Row] = self._tx.all(statement, **parameters)
        return rows

    def later(self, statement: str, **parameters: Any) -> Any:
        self._store.reach(statement, self._tx)
        return self._tx.later(statement, **parameters)

    def each(self, statement: str, rows: Sequence[Row]) -> None:
        self._store.reach(statement, self._tx)
        self._tx.each(statement, rows)

    def finish(self, batch: Sequence[Finish], now: datetime) -> Any:
        self._store.reach("finish", self._tx)
        return self._tx.finish(batch, now)


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
