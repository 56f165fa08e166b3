"""SQLite as a store: one file, WAL, `synchronous=FULL`, one writer at a time.

Every transaction is `BEGIN IMMEDIATE`: it has the write lock from its first statement, so what it has read cannot
change and deadlocks are impossible. Transactions are kept short. Each thread has its own connection. All processes that
share the file share a machine, so the machine's clock is the database's clock.
"""

from __future__ import annotations

import sqlite3
import threading
import time
from collections.abc import Iterator
from contextlib import AbstractContextManager, closing, contextmanager, suppress
from datetime import datetime
from typing import Any, TypeVar

from segue.clock import Clock, SystemClock
from segue.errors import ConfigError, StoreBusyError, StoreError
from segue.store import migrate
from segue.store.adopted import driver_of
from segue.store.protocol import Conversions, Waker
from segue.store.sqlite_errors import raise_ours, spoils, waits_for_lock
from segue.store.sqlite_file import DatabaseFile, Identity
from segue.store.sqlite_held import HeldConnection, HeldConnections, opening
from segue.store.sqlite_joined import joined, patience_of, plain_connection
from segue.store.sqlite_lent import SqliteLoan, TaskConnection
from segue.store.sqlite_path import path_of
from segue.store.sqlite_schema import applied, migrate_within
from segue.store.sqlite_transaction import SqliteConversions, SqliteTransaction, utc_text

BUSY_SECONDS = 30.0
LOOKS_AFTER = 10_000  # instructions of SQLite, some 0.1 ms: whether a reading has taken too long
WRITE = "BEGIN IMMEDIATE"
READ = "BEGIN DEFERRED"
_MINIMUM = (3, 35, 0)  # RETURNING
_OPEN_TRIES = 5  # while other processes replace the file
C = TypeVar("C", bound=sqlite3.Connection)


class SqliteStore:
    """A SQLite database file. The file and its tables are created on first use."""

    dialect = "sqlite"
    conversions: Conversions = SqliteConversions()
    sends_commit_along = False  # there is no server

    def __init__(self, url: str, *, clock: Clock | None = None) -> None:
        self.path = path_of(url)
        self.url = f"sqlite:///{self.path}"  # for processes with another working directory
        self._clock = clock or SystemClock()
        self._file = DatabaseFile(self.path)
        self.file: DatabaseFile | None = self._file
        self._local = threading.local()
        self._connections = HeldConnections()
        self._checked: Identity | None = None  # the file whose tables were checked

    def transaction(self) -> AbstractContextManager[SqliteTransaction]:
        """A write transaction on this thread's connection."""
        return _Opened(self, WRITE)

    def reading(self) -> AbstractContextManager[SqliteTransaction]:
        """A read transaction on this thread's connection; it blocks no writer."""
        return _Opened(self, READ)

    @contextmanager
    def adopt(self, connection: Any) -> Iterator[SqliteTransaction]:
        """Statements inside the caller's transaction on the same file."""
        plain = plain_connection(driver_of(connection), self.url)
        try:
            with joined(plain, self.path, utc_text(self.now())):
                yield SqliteTransaction(plain)
        except sqlite3.Error as error:
            raise_ours(error, self.path, patience_of(plain))

    @contextmanager
    def patience(self, seconds: float) -> Iterator[None]:
        """Inside the block this thread waits at most so long for the write lock."""
        self._local.busy_seconds = min(seconds, BUSY_SECONDS)
        try:
            self._set_busy_timeout()
            yield
        finally:
            self._local.__dict__.pop("busy_seconds", None)
            with suppress(StoreError):  # the file is gone, and its connection with it
                self._set_busy_timeout()

    @contextmanager
    def reading_within(self, seconds: float) -> Iterator[None]:
        """Inside the block, a reading of this thread that takes longer is interrupted."""
        outer = getattr(self._local, "reading_seconds", None)
        self._local.reading_seconds = seconds
        try:
            yield
        finally:
            self._local.reading_seconds = outer

    @contextmanager
    def unsynced(self) -> Iterator[None]:
        """Inside the block this thread's commits do not wait for the disk."""
        self._synchronise("NORMAL")
        try:
            yield
        finally:
            self._synchronise("FULL")

    def loan(self) -> SqliteLoan:
        """A plain connection to the file, to be lent to tasks."""
        return SqliteLoan(self._new_lent_connection, self._file.check, self._translated, SqliteTransaction)

    def now(self) -> datetime:
        """The machine's time."""
        return self._clock.now()

    def forget_clock(self) -> None:
        """Does nothing: the machine's clock is read each time."""

    def waker(self) -> Waker:
        """Watches the file for commits by other connections than this thread's."""
        with self._translated():
            held = self._taken()
            try:
                return SqliteWaker(self, held)
            finally:
                held.give_back()

    def schema_version(self) -> int:
        """The number of the latest migration in the file."""
        with self._translated(), closing(self._new_connection()[0]) as connection:
            return max(applied(connection), default=0)

    def upgrade(self) -> list[int]:
        """Apply missing migrations. SQLite's own write lock keeps two upgrades apart."""
        with self._translated(), closing(self._new_connection()[0]) as connection:
            connection.execute("BEGIN IMMEDIATE")
            done = migrate_within(connection, utc_text(self.now()))
            connection.execute("COMMIT")
        return done

    def close(self) -> None:
        """Close the connections of all threads; a connection in use is closed when its transaction ends."""
        self._connections.close()

    def _taken(self) -> HeldConnection:
        """This thread's connection to the file that is at the path now."""
        held = self._connections.mine()
        if held is None:
            with opening():
                return self._new_held()
        try:
            self._check(held)
        except BaseException:
            held.give_back()
            raise
        return held

    def _check(self, held: HeldConnection) -> None:
        """Close what is open on the old file and raise StoreUnavailableError if the file was replaced."""
        wants_a_look = held.wants_a_look_beside()
        folder = self._file.folder()
        if folder is not None and folder == held.quiet_folder and not wants_a_look:
            return
        held.quiet_folder = None
        found = self._file.identity()
        if found == held.identity:
            if self._file.beside() == held.beside if wants_a_look else self._file.has_both_beside():
                if folder is not None and folder.is_quiet() and not self._file.is_link():
                    held.quiet_folder = folder
                return
            held.is_doomed = True
            self._connections.close()
            raise self._file.parted()
        self._checked = None
        self._file.leave(held.beside.log)
        held.is_doomed = True
        self._connections.close(but=found)
        self._file.check(held.identity)

    def _new_held(self) -> HeldConnection:
        spared = self._connections.spared(self._checked and self._file.identity())
        if spared is not None:
            spared.connection.execute(f"PRAGMA busy_timeout = {self._busy_seconds * 1000:.0f}")
            return self._connections.keep(spared)
        connection, identity = self._new_connection()
        try:
            if self._checked != identity:
                self._check_schema(connection, identity)
            connection.execute("SELECT count(*) FROM sqlite_master").fetchone()  # opens the log
        except BaseException:
            connection.close()
            raise
        return self._connections.keep(HeldConnection(connection, identity, self._file.beside()))

    def _check_schema(self, connection: sqlite3.Connection, identity: Identity) -> None:
        found = applied(connection)
        if not found:
            self.upgrade()
        else:
            migrate.check_applied("sqlite", found)
            migrate.refuse_outdated("sqlite", found, str(self.path))
        self._checked = identity

    def _new_connection(self) -> tuple[sqlite3.Connection, Identity]:
        if sqlite3.sqlite_version_info < _MINIMUM:
            raise ConfigError(f"Segue needs SQLite 3.35 or newer, this Python has {sqlite3.sqlite_version}.")
        connection, identity = self._opened(
            sqlite3.Connection, creates=True, isolation_level=None, cached_statements=256
        )  # fmt: skip
        try:
            connection.execute("PRAGMA cache_size = -16000")
            connection.execute("PRAGMA temp_store = MEMORY")
        except BaseException:
            connection.close()
            raise
        return connection, identity

    def _new_lent_connection(self) -> TaskConnection:
        connection, identity = self._opened(TaskConnection, creates=False)
        connection.identity = identity
        return connection

    def _opened(self, kind: type[C], *, creates: bool, **settings: Any) -> tuple[C, Identity]:
        """Open a connection, and find out which file it opened."""
        for tries_left in range(_OPEN_TRIES - 1, -1, -1):
            identity = self._file.prepare(creates=creates)
            connection = sqlite3.connect(
                self.path, timeout=self._busy_seconds, check_same_thread=False, factory=kind, **settings
            )  # fmt: skip
            try:
                _make_durable(connection, self._busy_seconds)
                if tries_left == 0:
                    self._file.check(identity)
                if self._file.identity() == identity:
                    self._file.opened()
                    return connection, identity
            except BaseException as error:
                connection.close()
                if isinstance(error, sqlite3.Error) and self._checked is None:
                    raise_ours(error, self.path, self._busy_seconds, is_first=True)
                raise
            connection.close()
        raise AssertionError("unreachable")

    def _set_busy_timeout(self) -> None:
        with self._translated():
            held = self._connections.mine()
            if held is not None:  # a new connection gets it when it is opened
                try:
                    held.connection.execute(f"PRAGMA busy_timeout = {self._busy_seconds * 1000:.0f}")
                finally:
                    held.give_back()

    def _synchronise(self, how: str) -> None:
        """Say when this thread's connection, if it has one, waits for the disk. Without that, it is not used again."""
        with self._translated():
            held = self._connections.mine()
            if held is None:  # a new connection waits always
                return
            try:
                held.connection.execute(f"PRAGMA synchronous = {how}")
            except BaseException:
                held.is_doomed = True
                raise
            finally:
                held.give_back()

    @property
    def _busy_seconds(self) -> float:
        """How long this thread currently waits for the write lock."""
        return getattr(self._local, "busy_seconds", BUSY_SECONDS)

    @contextmanager
    def _translated(self) -> Iterator[None]:
        try:
            yield
        except sqlite3.Error as error:
            raise_ours(error, self.path, self._busy_seconds)


class SqliteWaker:
    """Detects commits by other connections with `PRAGMA data_version`, which takes microseconds.

    It uses the connection of the thread that made it, so that thread's own commits are not news.
    """

    fd: int | None = None
    poll_seconds = 0.03

    def __init__(self, store: SqliteStore, held: HeldConnection) -> None:
        self._store = store
        self._held = held
        self._seen = self._look()

    def woken(self) -> bool:
        """True if the file changed since the last call."""
        held = self._held
        with self._store._translated():
            if not held.take():
                raise sqlite3.ProgrammingError("the connection was closed")
            try:
                self._store._check(held)
                seen, self._seen = self._seen, self._look()
            finally:
                held.give_back()
        return seen != self._seen

    def drain(self) -> None:
        """Nothing accumulates: a file only has changed or not."""

    def close(self) -> None:
        """Does nothing: the connection belongs to the thread."""

    def _look(self) -> int:
        version: int = self._held.connection.execute("PRAGMA data_version").fetchone()[0]
        return version


class _Opened:
    """A transaction on a thread's connection, which is closed afterwards if an error made it unusable.

    A class, because nested generators are slower, and every turn opens a transaction.
    """

    __slots__ = ("_begin", "_held", "_is_bound", "_store")

    def __init__(self, store: SqliteStore, begin: str) -> None:
        self._store = store
        self._begin = begin
        self._is_bound = False

    def __enter__(self) -> SqliteTransaction:
        try:
            held = self._held = self._store._taken()
            try:
                held.connection.execute(self._begin)
                if self._begin == READ:
                    self._bound(held.connection)
                return SqliteTransaction(held.connection)
            except BaseException as error:
                self._leave(error)
                raise
        except sqlite3.Error as error:
            raise_ours(error, self._store.path, self._store._busy_seconds)

    def _bound(self, connection: sqlite3.Connection) -> None:
        """Let a reading end in time, if this thread asked for that."""
        seconds = getattr(self._store._local, "reading_seconds", None)
        if seconds is not None:
            end = time.monotonic() + seconds
            connection.set_progress_handler(lambda: time.monotonic() > end, LOOKS_AFTER)
            self._is_bound = True

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: Any) -> None:
        try:
            self._leave(error)
            if isinstance(error, sqlite3.Error):
                raise error
        except sqlite3.Error as found:
            if self._is_bound and found.sqlite_errorcode == sqlite3.SQLITE_INTERRUPT:
                raise StoreBusyError(f"A reading of {self._store.path} took too long, and was ended.") from found
            raise_ours(found, self._store.path, self._store._busy_seconds)

    def _leave(self, error: BaseException | None) -> None:
        """Commit, or roll back after an error, and return the connection."""
        held = self._held
        if self._is_bound:
            held.connection.set_progress_handler(None, 0)
        try:
            try:
                if error is None:
                    held.connection.execute("COMMIT")
            except BaseException as failed:
                error = failed
                raise
            finally:
                if error is not None:
                    self._undo(held, error)
            if error is None and self._begin == WRITE:
                self._store._check(held)  # otherwise it may have been written to a file that was removed
        finally:
            held.give_back()

    def _undo(self, held: HeldConnection, error: BaseException) -> None:
        connection = held.connection
        try:
            if connection.in_transaction:
                connection.execute("ROLLBACK")
        except sqlite3.Error:
            held.is_doomed = True
            raise
        if isinstance(error, sqlite3.Error) and spoils(error):
            held.is_doomed = True


def _make_durable(connection: sqlite3.Connection, busy_seconds: float) -> None:
    _use_wal(connection, busy_seconds)
    connection.execute("PRAGMA synchronous = FULL")
    connection.execute(
        "PRAGMA trusted_schema = ON"
    )  # some builds default to OFF, which forbids an index by `json_extract`


def _use_wal(connection: sqlite3.Connection, busy_seconds: float) -> None:
    """Switch the file to WAL, once in its life.

    While others open the same new file, SQLite may report "locked" at once instead of waiting. So this waits itself.
    """
    give_up_at = time.monotonic() + busy_seconds
    while connection.execute("PRAGMA journal_mode").fetchone()[0] != "wal":
        try:
            mode = connection.execute("PRAGMA journal_mode = WAL").fetchone()[0]
        except sqlite3.OperationalError as error:
            if not waits_for_lock(error) or time.monotonic() >= give_up_at:
                raise
            time.sleep(0.01)
        else:
            if mode != "wal":
                raise ConfigError(
                    f"SQLite cannot switch this file to WAL; its journal mode stays {mode!r}. Put it on a local disk."
                )
