"""SQLite behind the store seam: one file, WAL, `synchronous=FULL`, one writer at a time.

Every transaction is `BEGIN IMMEDIATE`: it has the write lock from its first statement, so nothing it read can change
under it and no deadlock is possible; they are kept short. Each thread has its own connection. Since all processes that
share the file share a machine, the database's clock is the machine's.
"""

from __future__ import annotations

import errno
import os
import sqlite3
import threading
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import closing, contextmanager, suppress
from datetime import UTC, datetime
from functools import lru_cache
from pathlib import Path
from typing import Any, NoReturn

import msgspec

from segue.clock import Clock, SystemClock
from segue.errors import (
    ConfigError,
    SchemaError,
    StoreBusyError,
    StoreError,
    StoreFullError,
    StoreReadOnlyError,
    StoreUnavailableError,
)
from segue.observing.journal import Journal
from segue.store import migrate, named
from segue.store.adopted import dbapi_connection
from segue.store.protocol import Row, Waker
from segue.store.sqlite_finish import finish
from segue.store.sqlite_lent import SqliteLoan, TaskConnection
from segue.store.sqlite_wide import WIDTH, parameters, wide

BUSY_SECONDS = 30.0
_MINIMUM = (3, 35, 0)  # RETURNING
_TEXT_LENGTH = len("2026-01-31 12:34:56.123456")

_encode = msgspec.json.Encoder().encode
_decode_integers = msgspec.json.Decoder(list[int]).decode


class _Rows:
    __slots__ = ("_rows",)

    def __init__(self, rows: list[Row]) -> None:
        self._rows = rows

    def rows(self) -> list[Row]:
        return self._rows


class SqliteTransaction:
    """Statements on one connection inside an open transaction. Everything runs at once; `later` is never late."""

    journal: Journal | None = None
    ended_runs: list[str] | None = None

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection
        self._statements = named.load("sqlite")

    def all(self, statement: str, **parameters: Any) -> list[Row]:
        """Run a named statement and return its rows."""
        for name, value in parameters.items():
            kind = type(value)
            if kind is list:
                parameters[name] = _encode(value).decode()
            elif kind is tuple:
                parameters[name] = _fixed_array(value)
            elif kind is datetime:
                parameters[name] = _text(value)
        return self._connection.execute(self._statements[statement].sql, parameters).fetchall()

    def later(self, statement: str, **parameters: Any) -> _Rows:
        """Run a named statement now; its rows wait for whoever asks."""
        return _Rows(self.all(statement, **parameters))

    def each(self, statement: str, rows: Sequence[Row]) -> None:
        """Run a batch statement, whose parameters are `?1`, `?2` ... in the order of its columns, for each row."""
        text = self._statements[statement].sql
        many = wide(text) if len(rows) >= WIDTH else None
        whole = len(rows) - len(rows) % WIDTH if many else 0
        for first in range(0, whole, WIDTH):
            self._connection.execute(many or text, parameters(rows[first : first + WIDTH]))
        self._connection.executemany(text, rows[whole:])

    def finish(self, batch: Sequence[Any], now: datetime) -> Any:
        """Write final statuses and release the children, row by row (`sqlite_finish`)."""
        return finish(self._connection, self._statements, batch, now, _text)


class SqliteStore:
    """A SQLite database file. Made on first use, with its tables."""

    dialect = "sqlite"

    def __init__(self, url: str, *, clock: Clock | None = None) -> None:
        self.url = url
        self.path = _path(url)
        self._clock = clock or SystemClock()
        self._local = threading.local()
        self._open: list[sqlite3.Connection] = []
        self._lock = threading.Lock()
        self._checked = False
        self._pid = os.getpid()

    @contextmanager
    def transaction(self) -> Iterator[SqliteTransaction]:
        """A write transaction on this thread's connection."""
        with self._begun("BEGIN IMMEDIATE") as tx:
            yield tx

    @contextmanager
    def reading(self) -> Iterator[SqliteTransaction]:
        """A read transaction on this thread's connection; writers go on beside it."""
        with self._begun("BEGIN DEFERRED") as tx:
            yield tx

    @contextmanager
    def _begun(self, begin: str) -> Iterator[SqliteTransaction]:
        with self._translated():
            connection = self._connect()
            connection.execute(begin)
            try:
                yield SqliteTransaction(connection)
                connection.execute("COMMIT")
            except BaseException:
                if connection.in_transaction:
                    connection.execute("ROLLBACK")
                raise

    @contextmanager
    def adopt(self, connection: Any) -> Iterator[SqliteTransaction]:
        """Statements inside the caller's transaction on this same file."""
        connection = dbapi_connection(connection)
        if not isinstance(connection, sqlite3.Connection):
            raise ConfigError(
                f"connection= is a {type(connection).__name__}, but Segue's database is {self.url}. "
                "Pass a connection to that same database."
            )
        with self._translated():
            self._connect()  # makes and checks the tables
            attached = next((row[2] for row in connection.execute("PRAGMA database_list") if row[1] == "main"), "")
            if not attached or not Path(attached).samefile(self.path):
                raise ConfigError(
                    f"connection= is open on {attached or 'a database in memory'}, Segue's tables are in {self.path}. "
                    "Both must be the same file to share a transaction."
                )
            if not connection.in_transaction:
                if connection.isolation_level is None or getattr(connection, "autocommit", -1) is True:
                    raise ConfigError(
                        "connection= is in autocommit mode with no transaction open, so there is nothing to join. "
                        "Open one (`BEGIN`, or your library's transaction block) and start the run inside it."
                    )
                connection.execute("BEGIN IMMEDIATE")
            factory, connection.row_factory = connection.row_factory, None
            try:
                yield SqliteTransaction(connection)
            finally:
                connection.row_factory = factory

    @contextmanager
    def patience(self, seconds: float) -> Iterator[None]:
        """Within the block this thread waits at most so long for the write lock."""
        with self._translated():
            connection = self._connect()
        self._local.busy_seconds = min(seconds, BUSY_SECONDS)
        connection.execute(f"PRAGMA busy_timeout = {self._local.busy_seconds * 1000:.0f}")
        try:
            yield
        finally:
            self._local.__dict__.pop("busy_seconds", None)
            with suppress(sqlite3.ProgrammingError):  # closed meanwhile
                connection.execute(f"PRAGMA busy_timeout = {BUSY_SECONDS * 1000:.0f}")

    def loan(self) -> SqliteLoan:
        """A plain connection to the file, to be lent to tasks."""
        return SqliteLoan(self._new_lent_connection, self._translated, SqliteTransaction)

    def now(self) -> datetime:
        """The machine's time."""
        return self._clock.now()

    def time(self, moment: datetime) -> str:
        """Fixed-width text, so that it sorts as time does."""
        return _text(moment)

    def datetime(self, value: Any) -> datetime | None:
        """Back from text."""
        return None if value is None else datetime.fromisoformat(value).replace(tzinfo=UTC)

    def array(self, numbers: Iterable[int]) -> str:
        """A JSON list."""
        return _encode(list(numbers)).decode()

    def integers(self, value: Any) -> list[int]:
        """Back from a JSON list."""
        return _decode_integers(value)

    def waker(self) -> Waker:
        """Watches the file for commits of connections other than this thread's."""
        with self._translated():
            return SqliteWaker(self._connect(), self.path)

    def schema_version(self) -> int:
        """The number of the latest migration in the file."""
        with self._translated(), closing(self._new_connection(keep=False)) as connection:
            return max(_applied(connection), default=0)

    def upgrade(self) -> list[int]:
        """Apply what is missing; SQLite's own write lock keeps two upgrades apart."""
        done = []
        with self._translated():
            connection = self._new_connection(keep=False)
            try:
                connection.execute("BEGIN IMMEDIATE")
                applied = _applied(connection)
                migrate.check_applied("sqlite", applied)
                connection.execute(
                    "CREATE TABLE IF NOT EXISTS segue_schema "
                    "(version INTEGER PRIMARY KEY, checksum TEXT NOT NULL, applied_at TEXT NOT NULL)"
                )
                for migration in migrate.pending("sqlite", applied):
                    for statement in _split(migration.sql):
                        connection.execute(statement)
                    row = (migration.number, migration.checksum, _text(self.now()))
                    connection.execute("INSERT INTO segue_schema VALUES (?, ?, ?)", row)
                    done.append(migration.number)
                connection.execute("COMMIT")
            finally:
                connection.close()
        return done

    def close(self) -> None:
        """Close the connections of every thread."""
        with self._lock:
            for connection in self._open:
                connection.close()
            self._open.clear()
            self._local = threading.local()

    def _connect(self) -> sqlite3.Connection:
        if self._pid != os.getpid():  # a connection must not cross a fork
            self._pid, self._local, self._open = os.getpid(), threading.local(), []
        connection: sqlite3.Connection | None = getattr(self._local, "connection", None)
        if connection is None:
            if not self._checked:
                self._check_schema()
            connection = self._local.connection = self._new_connection()
        return connection

    def _check_schema(self) -> None:
        connection = self._new_connection(keep=False)
        try:
            applied = _applied(connection)
        finally:
            connection.close()
        if not applied:
            self.upgrade()
        else:
            migrate.check_applied("sqlite", applied)
            migrate.refuse_outdated("sqlite", applied, str(self.path))
        self._checked = True

    def _new_connection(self, *, keep: bool = True) -> sqlite3.Connection:
        if sqlite3.sqlite_version_info < _MINIMUM:
            raise ConfigError(f"Segue needs SQLite 3.35 or newer, this Python has {sqlite3.sqlite_version}.")
        connection = sqlite3.connect(
            self.path, timeout=BUSY_SECONDS, isolation_level=None, check_same_thread=False, cached_statements=256
        )
        _make_durable(connection)
        connection.execute("PRAGMA cache_size = -16000")
        connection.execute("PRAGMA temp_store = MEMORY")
        if keep:
            with self._lock:
                self._open.append(connection)
        return connection

    def _new_lent_connection(self, kind: type[TaskConnection]) -> TaskConnection:
        connection = sqlite3.connect(self.path, timeout=BUSY_SECONDS, check_same_thread=False, factory=kind)
        _make_durable(connection)
        return connection

    @contextmanager
    def _translated(self) -> Iterator[None]:
        try:
            yield
        except sqlite3.Error as error:
            _raise(error, self.path, getattr(self._local, "busy_seconds", BUSY_SECONDS))


class SqliteWaker:
    """Sees that another connection committed, by `PRAGMA data_version`: microseconds a look.

    It looks through the connection of the thread that made it, so that thread's own commits are no news to it.
    """

    fd: int | None = None
    poll_seconds = 0.03

    def __init__(self, connection: sqlite3.Connection, path: Path) -> None:
        self._connection = connection
        self._path = path
        self._seen = self._look()

    def woken(self) -> bool:
        """True when the file changed since the last look."""
        seen, self._seen = self._seen, self._look()
        return seen != self._seen

    def close(self) -> None:
        """Nothing to close: the connection is the thread's."""

    def _look(self) -> int:
        try:
            version: int = self._connection.execute("PRAGMA data_version").fetchone()[0]
        except sqlite3.Error as error:
            _raise(error, self._path)
        return version


def _make_durable(connection: sqlite3.Connection) -> None:
    _use_wal(connection)
    connection.execute("PRAGMA synchronous = FULL")


def _use_wal(connection: sqlite3.Connection) -> None:
    """Switch the file to WAL, once in its life.

    While others open the same new file SQLite may answer "locked" at once, without waiting: so this does.
    """
    give_up_at = time.monotonic() + BUSY_SECONDS
    while connection.execute("PRAGMA journal_mode").fetchone()[0] != "wal":
        try:
            connection.execute("PRAGMA journal_mode = WAL").fetchone()
        except sqlite3.OperationalError:
            if time.monotonic() >= give_up_at:
                raise
            time.sleep(0.01)


def _path(url: str) -> Path:
    rest = url.removeprefix("sqlite://")
    if not rest.startswith("/") or rest in {"", "/", "/:memory:"}:
        raise ConfigError(
            f"{url!r} names no file. Use sqlite:///segue.db or sqlite:////absolute/path.db; "
            "a database in memory cannot be shared by processes, so Segue has none."
        )
    return Path(rest[1:].partition("?")[0])


@lru_cache(maxsize=256)  # a worker says its tasks with every claim
def _fixed_array(values: tuple[Any, ...]) -> str:
    return _encode(values).decode()


def _text(moment: datetime) -> str:
    return _utc_text(moment if moment.tzinfo is UTC else moment.astimezone(UTC))


@lru_cache(maxsize=64)  # a batch says the same moment again and again; in other zones two moments may be equal
def _utc_text(moment: datetime) -> str:
    return moment.isoformat(" ", "microseconds")[:_TEXT_LENGTH]  # strftime takes twice as long


def _applied(connection: sqlite3.Connection) -> dict[int, str]:
    present = connection.execute("SELECT 1 FROM sqlite_master WHERE name = 'segue_schema'").fetchone()
    if present is None:
        return {}
    return dict(connection.execute("SELECT version, checksum FROM segue_schema").fetchall())


def _split(sql: str) -> Iterator[str]:
    pending = ""
    for line in sql.splitlines():
        pending += line + "\n"
        if sqlite3.complete_statement(pending):
            yield pending
            pending = ""


def _raise(error: sqlite3.Error, path: Path, busy_seconds: float | None = None) -> NoReturn:
    code = getattr(error, "sqlite_errorname", "") or ""
    text = str(error)
    if code.startswith(("SQLITE_BUSY", "SQLITE_LOCKED")):
        raise StoreBusyError(
            f"{path} stayed locked by another process for {busy_seconds or BUSY_SECONDS:g} s. "
            "Look for a long transaction on it (a backup, an open database shell, a transactional task), end it, and "
            "try again."
        ) from error
    if code.startswith("SQLITE_READONLY") or code == "SQLITE_PERM":
        raise StoreReadOnlyError(
            f"{path} cannot be written ({text}). Give this user write permission on the file and on its folder."
        ) from error
    if code.startswith("SQLITE_FULL"):
        raise StoreFullError(
            errno.ENOSPC, f"The disk that holds {path} is full ({text}). Free space and go on"
        ) from error
    if code.startswith("SQLITE_CANTOPEN"):
        why = (
            "its folder does not exist"
            if not path.parent.exists()
            else "check the permissions of the file and its folder"
        )
        raise StoreUnavailableError(f"{path} cannot be opened: {why}.") from error
    if code.startswith(("SQLITE_NOTADB", "SQLITE_CORRUPT")):
        raise StoreError(
            f"{path} is not a sound SQLite database ({text}). Restore a backup, or name another file."
        ) from error
    if code.startswith("SQLITE_IOERR"):
        raise StoreUnavailableError(f"Reading or writing {path} failed ({text}). Look at the disk.") from error
    if "no such table: segue_" in text or "no such column" in text:
        raise SchemaError(f"{path} lacks tables or columns of Segue ({text}). Run: segue db check") from error
    raise StoreError(f"SQLite refused a statement on {path}: {text} ({code or type(error).__name__}).") from error
