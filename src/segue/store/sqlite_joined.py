"""A caller's connection of `sqlite3` or aiosqlite: Segue's statements run in its open transaction.

Promises: the connection may be configured in any way (row factory, text factory, cursor class, isolation level), and is
left unchanged; nothing is committed. Missing tables are created in that transaction, because no other connection could
create them while it holds the write lock.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from segue.errors import ConfigError
from segue.store import migrate
from segue.store.awaited import CLOSED, Awaited
from segue.store.sqlite_schema import applied, migrate_within

_CONVERTED = frozenset({"TEXT", "INTEGER", "REAL"})  # the types of Segue's columns


class PlainConnection:
    """Runs statements through the driver's own cursors, which return tuples."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self.connection = connection

    def execute(self, sql: str, parameters: Any = (), /) -> Any:
        """Run a statement. Returns its cursor."""
        return self._cursor().execute(sql, parameters)

    def executemany(self, sql: str, rows: Any, /) -> Any:
        """Run a statement for each row."""
        return self._cursor().executemany(sql, rows)

    def _cursor(self) -> sqlite3.Cursor:
        cursor = sqlite3.Connection.cursor(self.connection, sqlite3.Cursor)
        cursor.row_factory = None
        return cursor


class AwaitedPlainConnection(PlainConnection):
    """The same for a connection of aiosqlite. It belongs to a thread of aiosqlite, so each statement runs there."""

    def __init__(self, awaited: Awaited) -> None:
        super().__init__(_inside(awaited.connection))
        self._run = awaited.connection._execute
        self._wait = awaited.wait

    def execute(self, sql: str, parameters: Any = (), /) -> Any:
        """Run a statement and fetch its rows. Returns something like its cursor."""
        run = super().execute
        return self._wait(self._run(lambda: _Fetched(run(sql, parameters))))

    def executemany(self, sql: str, rows: Any, /) -> Any:
        """Run a statement for each row."""
        run = super().executemany
        return self._wait(self._run(lambda: _Fetched(run(sql, rows))))


class _Fetched:
    """What a cursor had to say. The cursor itself must not leave its thread."""

    def __init__(self, cursor: sqlite3.Cursor) -> None:
        self._rows = iter(cursor.fetchall())
        self.rowcount = cursor.rowcount

    def fetchall(self) -> list[Any]:
        return list(self._rows)

    def fetchone(self) -> Any:
        return next(self._rows, None)

    def __iter__(self) -> Iterator[Any]:
        return self._rows


def plain_connection(connection: Any, url: str) -> PlainConnection:
    """How to run statements on a caller's connection. Raises ConfigError if it is of another database."""
    if isinstance(connection, sqlite3.Connection):
        return PlainConnection(connection)
    if isinstance(connection, Awaited) and connection.driver == "aiosqlite":
        return AwaitedPlainConnection(connection)
    kind = type(connection.connection if isinstance(connection, Awaited) else connection)
    raise ConfigError(
        f"connection= is a {kind.__qualname__} (of {kind.__module__.partition('.')[0]}), but Segue's database is "
        f"{url}. Pass a connection to that same database: from sqlite3, aiosqlite, SQLAlchemy or Django."
    )


@contextmanager
def joined(plain: PlainConnection, path: Path | None, at: str) -> Iterator[PlainConnection]:
    """Yield the caller's connection in a transaction, with Segue's tables; raises ConfigError.

    Without a `path`, its database may be any, also one in memory.
    """
    connection = plain.connection
    try:
        text_factory = connection.text_factory
        plain.execute("SELECT 1")
    except sqlite3.ProgrammingError as error:
        raise ConfigError(f"connection= cannot be used here: {error}") from error
    connection.text_factory = str
    is_wary = plain.execute("PRAGMA trusted_schema").fetchone() == (0,)
    try:
        if is_wary:  # one of Segue's indexes uses `json_extract`
            plain.execute("PRAGMA trusted_schema = ON")
        if path is not None:
            _check_file(plain, path)
        _check_transaction(plain)
        if not applied(plain):
            migrate_within(plain, at)
        found = applied(plain)
        _check_values(plain, found)
        migrate.check_applied("sqlite", found)
        migrate.refuse_outdated("sqlite", found, "The database of connection=" if path is None else str(path))
        yield plain
    finally:
        connection.text_factory = text_factory
        if is_wary:
            plain.execute("PRAGMA trusted_schema = OFF")


def patience_of(plain: PlainConnection) -> float:
    """How many seconds the caller's connection waits for a lock."""
    try:
        return float(plain.execute("PRAGMA busy_timeout").fetchone()[0]) / 1000
    except sqlite3.Error:
        return 0.0


def _check_file(connection: PlainConnection, path: Path) -> None:
    databases = {name: file for _, name, file in connection.execute("PRAGMA database_list")}
    opened = databases.get("main") or ""
    if not _is_same_file(opened, path):
        beside = next((name for name, file in databases.items() if _is_same_file(file, path)), None)
        attached = "" if beside is None else f" (it is attached as {beside}, but two files do not commit as one)"
        raise ConfigError(
            f"connection= is open on {opened or 'a database in memory'}, but Segue's tables are in {path}{attached}. "
            "Both must be the same file to share a transaction."
        )


def _is_same_file(opened: str, path: Path) -> bool:
    try:
        return bool(opened) and Path(opened).samefile(path)
    except OSError:
        return False


def _inside(connection: Any) -> sqlite3.Connection:
    """The `sqlite3` connection that one of aiosqlite drives. Raises ConfigError if it is closed."""
    try:
        inside: sqlite3.Connection = connection._conn
    except ValueError:
        raise ConfigError(CLOSED) from None
    return inside


def _check_transaction(plain: PlainConnection) -> None:
    """Begin a transaction if there is none, as the driver would do with the first statement that writes."""
    connection = plain.connection
    if connection.in_transaction:
        return
    if connection.isolation_level is None or getattr(connection, "autocommit", -1) is True:
        raise ConfigError(
            "connection= is in autocommit mode with no transaction open, so there is nothing to join. "
            "Open one (`BEGIN`, or your library's transaction block) and start the run inside it."
        )
    plain.execute("BEGIN IMMEDIATE")


def _check_values(connection: PlainConnection, found: dict[int, str]) -> None:
    """Refuse a connection that changes what it reads: `register_converter` for one of Segue's column types."""
    converters: dict[str, Any] = getattr(sqlite3, "converters", {})
    if not _CONVERTED.isdisjoint(converters):
        plain = dict(connection.execute("SELECT version + 0, checksum || '' FROM segue_schema").fetchall())
        if plain != found:
            names = ", ".join(sorted(_CONVERTED & converters.keys()))
            raise ConfigError(
                f"connection= converts all columns declared as {names} (sqlite3.register_converter), Segue's too. "
                "Declare your columns with another type name, or connect without detect_types=PARSE_DECLTYPES."
            )
