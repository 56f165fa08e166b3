"""Segue's statements in a caller's transaction, on the caller's own connection.

The connection stays the caller's: its row and cursor factories, its registered adapters, its settings, its schemas. So
the statements use plain cursors of the driver. Settings that would change what a statement means are set for the
duration of the statements, and then restored.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from typing import Any

import psycopg
from psycopg.adapt import AdaptersMap
from psycopg.rows import tuple_row

from segue.errors import ConfigError, SegueError, StoreError
from segue.store.awaited import CLOSED
from segue.store.postgres_errors import code_of, translation
from segue.store.postgres_session import FIND_SCHEMA, MEANINGS, found_schema, search_path
from segue.store.postgres_sql import Compiled, compiled
from segue.store.postgres_transaction import PostgresTransaction
from segue.store.postgres_wire import Pristine
from segue.store.protocol import Later, Row

_LEFT_ALONE = {"backslash_quote", "bytea_output", "row_security", "xmloption"}
_SET = """
SELECT pg_catalog.current_database(), s.name, s.before, CASE WHEN s.before IS DISTINCT FROM s.wanted THEN
    pg_catalog.set_config(s.name, s.wanted, true) END
FROM (SELECT v.name, v.wanted, pg_catalog.current_setting(v.name) AS before
      FROM unnest(%(names)s::text[], %(values)s::text[]) AS v (name, wanted) OFFSET 0) AS s
"""
NO_TRANSACTION = (
    "connection= is in autocommit mode with no transaction open, so there is nothing to join. "
    "Open one (`with connection.transaction():`) and start the run inside it."
)
_OTHER_DRIVERS = {"aiopg", "pg8000", "sqlite3", "_sqlite3", "mysql", "MySQLdb", "pymysql", "oracledb"}


class _PlainCursor(psycopg.Cursor[Row]):
    """Gives rows as tuples, and uses only the adapters that psycopg comes with."""

    def __init__(self, connection: psycopg.Connection[Any]) -> None:
        super().__init__(connection, row_factory=tuple_row)

    @property
    def adapters(self) -> AdaptersMap:
        return Pristine.adapters


class _CursorRows:
    __slots__ = ("_cursor", "_returns")

    def __init__(self, cursor: Any, returns: bool) -> None:
        self._cursor = cursor
        self._returns = returns

    def rows(self) -> list[Row]:
        return _tuples(self._cursor) if self._returns else []


class AdoptedTransaction(PostgresTransaction):
    """Statements on a caller's connection: psycopg, or any PostgreSQL driver with `%(name)s` parameters."""

    def __init__(self, connection: Any) -> None:
        self._connection = connection

    @property
    def reads_encoding(self) -> bool:
        """Whether the driver looks up the encoding for each text; others remember it."""
        return isinstance(self._connection, psycopg.Connection)

    def later(self, statement: str, **parameters: Any) -> Later:
        """Run a named statement at once, through a cursor."""
        return self._run(compiled(statement), parameters)

    def _run(self, statement: Compiled, parameters: Mapping[str, Any]) -> Later:
        bound = {name: list(value) if type(value) is tuple else value for name, value in parameters.items()}
        return _CursorRows(self.execute(statement.named, bound), statement.returns)  # drivers bind a tuple as a row

    def execute(self, text: str, parameters: Mapping[str, Any] | None = None) -> Any:
        """Run a statement; returns its cursor."""
        connection = self._connection
        if isinstance(connection, psycopg.Connection):
            cursor: Any = _PlainCursor(connection)
            cursor.execute(text, parameters, prepare=False)
            return cursor
        plain = getattr(sys.modules.get("psycopg2.extensions"), "cursor", None) if _is_psycopg2(connection) else None
        cursor = connection.cursor() if plain is None else connection.cursor(cursor_factory=plain)
        try:
            cursor.execute(text, parameters)
        except ValueError as error:  # a NUL, or a character that the connection's encoding lacks
            raise StoreError(f"connection= cannot store this value: {error}") from error
        return cursor


@contextmanager
def adopted(
    tx: AdoptedTransaction, schema: str | None, database: str | None, place: str
) -> Iterator[AdoptedTransaction]:  # fmt: skip
    """Run statements in the caller's transaction, and then restore its settings.

    Without a `schema`, it is found along the caller's own search_path. The connection is to be open on `database`, if
    that is given.
    """
    with _translated(place):
        if schema is None:
            schema = found_schema(*_tuples(tx.execute(FIND_SCHEMA))[0])
        before = _set(tx, _wanted(tx, schema), database)
        try:
            yield tx
        except BaseException:
            with suppress(Exception):  # a failed transaction restores them itself
                _set(tx, before, database)
            raise
        _set(tx, before, database)


def adoptable(connection: Any) -> AdoptedTransaction:
    """The caller's transaction. Raises ConfigError unless this is a connection to PostgreSQL with an open one."""
    module = type(connection).__module__.partition(".")[0]
    if module in _OTHER_DRIVERS or not (hasattr(connection, "cursor") and hasattr(connection, "commit")):
        raise ConfigError(
            f"connection= is a {type(connection).__qualname__} (of {module}), but Segue's database is PostgreSQL. "
            "Pass a psycopg, SQLAlchemy or Django connection to that same database."
        )
    if getattr(connection, "closed", False):
        raise ConfigError(CLOSED)
    if _is_autocommitting(connection):
        raise ConfigError(NO_TRANSACTION)
    return AdoptedTransaction(connection)


def _is_autocommitting(connection: Any) -> bool:
    if isinstance(connection, psycopg.Connection):
        return connection.autocommit and connection.info.transaction_status == psycopg.pq.TransactionStatus.IDLE
    if _is_psycopg2(connection):
        return bool(connection.autocommit) and connection.get_transaction_status() == 0
    return False


def _is_psycopg2(connection: Any) -> bool:
    return any(kind.__module__.partition(".")[0] == "psycopg2" for kind in type(connection).__mro__)


def _wanted(tx: AdoptedTransaction, schema: str) -> dict[str, str]:
    wanted = {name: value.strip("'") for name, value in MEANINGS.items() if name not in _LEFT_ALONE}
    wanted["search_path"] = search_path(schema)
    if tx.reads_encoding:
        wanted["client_encoding"] = "UTF8"
    return wanted


def _set(tx: AdoptedTransaction, wanted: Mapping[str, str], database: str | None) -> dict[str, str]:
    """Set what differs from what is needed, at most until the end of the transaction; returns the old values."""
    if not wanted:
        return {}
    rows = _tuples(tx.execute(_SET, {"names": list(wanted), "values": list(wanted.values())}))
    there = rows[0][0]
    if database is not None and there != database:
        raise ConfigError(
            f"connection= is open on the database {there!r}, but Segue's tables are in {database!r}. "
            "Pass a connection to that same database."
        )
    return {name: before for _, name, before, now in rows if now is not None}


def _tuples(cursor: Any) -> list[Row]:
    """Rows as tuples, even if a driver's cursor gives mappings."""
    rows: Sequence[Any] = cursor.fetchall()
    if rows and isinstance(rows[0], Mapping):
        names = [column[0] for column in cursor.description]
        return [tuple(row[name] for name in names) for row in rows]
    return [tuple(row) for row in rows]


@contextmanager
def _translated(place: str) -> Iterator[None]:
    """Translate the errors of any driver: psycopg's, and those with a PostgreSQL code."""
    try:
        yield
    except SegueError:
        raise
    except Exception as error:
        if code_of(error) is None and not isinstance(error, psycopg.Error):
            raise
        raise translation(error, code_of(error), place) from error
