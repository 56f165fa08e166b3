"""A `sqlite3` connection that is lent to transactional tasks.

Promises: SQL that a task runs cannot commit; what was not recorded does not persist. SQLite asks an *authorizer* before
it prepares a statement; it denies COMMIT and ROLLBACK while a task has the connection. What one task sets up in the
connection (functions, collations, PRAGMAs, attached files, temporary tables) is removed before the next.
"""

from __future__ import annotations

import os
import sqlite3
import threading
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, suppress
from typing import Any

from segue.store import lent
from segue.store.protocol import Transaction
from segue.store.sqlite_errors import code_of
from segue.store.sqlite_file import Identity

_SAVEPOINT = "SAVEPOINT part; ...; RELEASE part"
_READS = frozenset(
    {sqlite3.SQLITE_SELECT, sqlite3.SQLITE_READ, sqlite3.SQLITE_FUNCTION, sqlite3.SQLITE_RECURSIVE}
)  # fmt: skip
_SETS_UP = frozenset(
    {
        sqlite3.SQLITE_PRAGMA, sqlite3.SQLITE_ATTACH, sqlite3.SQLITE_DETACH, sqlite3.SQLITE_CREATE_TEMP_TABLE,
        sqlite3.SQLITE_CREATE_TEMP_VIEW, sqlite3.SQLITE_CREATE_TEMP_TRIGGER, sqlite3.SQLITE_CREATE_TEMP_INDEX,
    }
)  # fmt: skip
_SETTERS = (
    "create_function", "create_aggregate", "create_window_function", "create_collation", "set_progress_handler",
    "set_trace_callback", "enable_load_extension", "load_extension", "setlimit", "setconfig", "deserialize",
)  # fmt: skip
_inherited: list[sqlite3.Connection] = []  # a fork must not even close what it inherited


class TaskConnection(lent.LentConnection, sqlite3.Connection):
    """The connection that a transactional task receives: an ordinary one that refuses to end its transaction."""

    savepoint = _SAVEPOINT
    identity: Identity  # the file that it has open
    _revoker = 0  # the thread that revoked it
    _is_set_up = False  # a task set something that outlives its transaction

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._functions: list[tuple[str, int]] = []
        self._isolation_level = self.isolation_level
        super().set_authorizer(self._authorize)

    def __getattribute__(self, name: str) -> Any:
        if name in _SETTERS and self.is_lent:
            self._is_set_up = True
        return super().__getattribute__(name)

    def create_function(self, name: str, narg: int, func: Any, **kwargs: Any) -> None:
        """Register a function as usual, and remember it: Segue's own statements run without it."""
        super().create_function(name, narg, func, **kwargs)
        self._functions.append((name, narg))

    def set_authorizer(self, authorizer_callback: Any) -> None:
        """Refused while the connection is lent: the authorizer keeps the transaction together."""
        self.refuse("connection.set_authorizer()")
        super().set_authorizer(authorizer_callback)

    @property
    def is_as_new(self) -> bool:
        """Whether no change by a task is left; its factories are set at each use."""
        return (
            not self._is_set_up
            and self.isolation_level == self._isolation_level
            and getattr(self, "autocommit", -1) == -1
        )

    def make_plain(self) -> None:
        """Let Segue's statements run on it, whatever a task has changed."""
        self.row_factory, self.text_factory = None, str
        if self._is_set_up:
            super().set_progress_handler(None, 0)
            super().set_trace_callback(None)
            super().execute("PRAGMA query_only = OFF")
            for name, narg in self._functions:  # it may have the name of one of SQLite's own
                with suppress(sqlite3.Error):
                    super().create_function(name, narg, None)

    def executescript(self, sql_script: str, /) -> sqlite3.Cursor:
        """Refused while the connection is lent: Python's `sqlite3` commits before it runs a script."""
        self.refuse("connection.executescript()")
        return super().executescript(sql_script)

    @property
    def is_revoked(self) -> bool:
        """Whether the connection was revoked."""
        return self._revoker != 0

    def revoke(self) -> None:
        """Undo everything, regardless of another thread; nothing more can be written through it."""
        self._revoker = threading.get_ident()
        self.interrupt()
        # Before the rollback: a recording in progress must stop, and not continue in a transaction of its own.
        super().execute("PRAGMA query_only = ON")
        sqlite3.Connection.rollback(self)  # the driver's own, which is not refused

    def _authorize(self, action: int, what: str | None, *_: str | None) -> int:
        if not self.is_lent or threading.get_ident() == self._revoker:
            return sqlite3.SQLITE_OK
        if action in _SETS_UP:
            self._is_set_up = True
        if action == sqlite3.SQLITE_TRANSACTION and what != "BEGIN":
            self.refusal = lent.refused(str(what), _SAVEPOINT)
            return sqlite3.SQLITE_DENY
        # SQLite itself may have ended the transaction (INSERT OR ROLLBACK, a full disk): then nothing more is written.
        return sqlite3.SQLITE_OK if self.in_transaction or action in _READS else sqlite3.SQLITE_DENY


class SqliteLoan:
    """One such connection, for one thread; opened when it is first lent."""

    def __init__(
        self,
        connect: Callable[[], TaskConnection],
        check_file: Callable[[Identity], None],
        translated: Callable[[], AbstractContextManager[None]],
        transaction: Callable[[sqlite3.Connection], Transaction],
    ) -> None:
        self._connect = connect
        self._check_file = check_file
        self._translated = translated
        self._transaction = transaction
        self._connection: TaskConnection | None = None
        self._pid = os.getpid()

    def begin(self) -> TaskConnection:
        """Open a transaction with the write lock, so that what the task has read cannot change."""
        self._is_inherited()
        with self._translated():
            connection = self._renewed() or self._new_connection()
            connection.row_factory, connection.text_factory = None, str
            try:
                connection.execute("BEGIN IMMEDIATE")
            except sqlite3.OperationalError as error:
                if code_of(error) != "SQLITE_BUSY_SNAPSHOT":
                    raise
                self.close()  # a cursor of the last task is still open: it would see an old snapshot
                connection = self._new_connection()
                connection.execute("BEGIN IMMEDIATE")
        connection.is_lent, connection.refusal = True, None
        return connection

    @contextmanager
    def recording(self) -> Iterator[Transaction]:
        """Run Segue's statements, then commit; see `Loan.recording`."""
        connection = self._taken_back()
        try:
            if connection.refusal is not None:
                raise connection.refusal
            if not connection.in_transaction:
                raise lent.ended(_SAVEPOINT)
            with self._translated():
                connection.make_plain()
                yield self._transaction(connection)
            self._commit(connection)
            self._check_file(connection.identity)  # otherwise it may have been written to a file that was removed
        except BaseException:
            self.rollback()
            raise

    def rollback(self) -> None:
        """Undo everything: nothing was committed while it was lent."""
        connection = self._connection
        if connection is None or self._is_inherited():
            return
        connection.is_lent = False
        if connection.is_revoked:
            self.close()
            return
        try:
            connection.rollback()
        except sqlite3.Error:
            self.close()

    def revoke(self) -> None:
        """Stop what the task runs, undo what it wrote, and let it write no more; it can still read."""
        connection = self._connection
        if connection is not None and self._pid == os.getpid():
            with suppress(sqlite3.Error):
                connection.revoke()

    def close(self) -> None:
        """Close the connection, which rolls back an open transaction."""
        connection, self._connection = self._connection, None
        if connection is not None and self._pid == os.getpid():
            connection.is_lent = False
            with suppress(sqlite3.Error):
                connection.close()

    def _renewed(self) -> TaskConnection | None:
        """Return the present connection; None if it is not as new, or open on another file than the present one."""
        connection = self._connection
        if connection is None:
            return None
        if connection.is_revoked or not connection.is_as_new:
            self.close()
            return None
        try:
            self._check_file(connection.identity)
        except BaseException:
            self.close()
            raise
        return connection

    def _new_connection(self) -> TaskConnection:
        self._connection, self._pid = self._connect(), os.getpid()
        return self._connection

    def _taken_back(self) -> TaskConnection:
        if self._is_inherited() or self._connection is None:
            raise lent.ended(_SAVEPOINT)
        self._connection.is_lent = False
        return self._connection

    def _commit(self, connection: TaskConnection) -> None:
        try:
            connection.execute("COMMIT")  # `commit()` does nothing in autocommit mode, which the task may have chosen
        except sqlite3.IntegrityError:  # a constraint that the task deferred: the task gets this error
            raise
        except sqlite3.Error:
            with self._translated():
                raise

    def _is_inherited(self) -> bool:
        """True in a fork of the process that opened it: the fork never touches it."""
        if self._connection is not None and self._pid != os.getpid():
            _inherited.append(self._connection)
            self._connection = None
            return True
        return False
