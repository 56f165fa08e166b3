"""Segue's statements in a caller's transaction, on a connection of psycopg or asyncpg that must be awaited."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import psycopg
from psycopg import sql
from psycopg.adapt import AdaptersMap
from psycopg.rows import tuple_row

from segue.errors import ConfigError, StoreError
from segue.store.awaited import CLOSED, PASS, Awaited, Wait
from segue.store.postgres_adopted import NO_TRANSACTION, AdoptedTransaction
from segue.store.postgres_wire import Pristine
from segue.store.protocol import Row


class _PlainAsyncCursor(psycopg.AsyncCursor[Row]):
    """Gives rows as tuples, and uses only the adapters that psycopg comes with."""

    def __init__(self, connection: psycopg.AsyncConnection[Any]) -> None:
        super().__init__(connection, row_factory=tuple_row)

    @property
    def adapters(self) -> AdaptersMap:
        return Pristine.adapters


class _AwaitedCursor:
    __slots__ = ("_cursor", "_wait")

    def __init__(self, cursor: _PlainAsyncCursor, wait: Wait) -> None:
        self._cursor = cursor
        self._wait = wait

    def fetchall(self) -> list[Row]:
        rows: list[Row] = self._wait(self._cursor.fetchall())
        return rows


class _AwaitedPsycopg(AdoptedTransaction):
    """Statements on a `psycopg.AsyncConnection`."""

    reads_encoding = True

    def __init__(self, awaited: Awaited) -> None:
        super().__init__(awaited.connection)
        self._wait = awaited.wait

    def execute(self, text: str, parameters: Mapping[str, Any] | None = None) -> _AwaitedCursor:
        """Run a statement; returns its cursor."""
        cursor = _PlainAsyncCursor(self._connection)
        self._wait(cursor.execute(text, parameters, prepare=False))
        return _AwaitedCursor(cursor, self._wait)


class _AwaitedAsyncpg(AdoptedTransaction):
    """Statements on a connection of asyncpg.

    It binds parameters in PostgreSQL's binary form, for which each must have the type that the server expects, and the
    caller may have changed how types are written. So values stand in the text of the statement, as psycopg writes them.
    """

    reads_encoding = False

    def __init__(self, awaited: Awaited) -> None:
        super().__init__(awaited.connection)
        self._wait = awaited.wait

    def execute(self, text: str, parameters: Mapping[str, Any] | None = None) -> _Records:
        """Run a statement; returns its rows."""
        if parameters:
            try:
                text %= {name: sql.Literal(value).as_string(Pristine()) for name, value in parameters.items()}
            except psycopg.DataError as error:  # a NUL, or half a character
                raise StoreError(f"connection= cannot store this value: {error}") from error
        return _Records(self._wait(self._fetch(text)))

    async def _fetch(self, text: str) -> list[Any]:
        statement = await self._connection.prepare(text)  # and not `fetch`: that would fill the caller's cache
        rows: list[Any] = await statement.fetch()
        return rows


class _Records:
    __slots__ = ("_records",)

    def __init__(self, records: list[Any]) -> None:
        self._records = records

    def fetchall(self) -> list[Row]:
        return [tuple(record.values()) for record in self._records]


def awaitable(awaited: Awaited) -> AdoptedTransaction:
    """The caller's transaction. Raises ConfigError unless this is a connection to PostgreSQL with an open one."""
    connection = awaited.connection
    match awaited.driver:
        case "psycopg":
            is_idle = connection.info.transaction_status == psycopg.pq.TransactionStatus.IDLE
            is_closed, lacks_transaction = connection.closed, connection.autocommit and is_idle
            joined: AdoptedTransaction = _AwaitedPsycopg(awaited)
        case "asyncpg":
            is_closed = connection.is_closed()
            lacks_transaction = not is_closed and not connection.is_in_transaction()
            joined = _AwaitedAsyncpg(awaited)
        case driver:
            raise ConfigError(f"connection= is of {driver}, but Segue's database is PostgreSQL. {PASS}")
    if is_closed:
        raise ConfigError(CLOSED)
    if lacks_transaction:
        raise ConfigError(NO_TRANSACTION.replace("with connection", "async with connection"))
    return joined
