"""A `sqlite3` connection that is lent to transactional tasks.

Promises: nothing that a task does to it in SQL commits; what was not recorded is not there. SQLite asks an *authorizer*
before it prepares a statement, and that one says no to COMMIT and ROLLBACK as long as a task has the connection.
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

_SAVEPOINT = "SAVEPOINT part; ...; RELEASE part"
_READS = frozenset(
    {sqlite3.SQLITE_SELECT, sqlite3.SQLITE_READ, sqlite3.SQLITE_FUNCTION, sqlite3.SQLITE_RECURSIVE}
)  # fmt: skip
_inherited: list[sqlite3.Connection] = []  # a fork must not even close what it inherited


class TaskConnection(lent.LentConnection, sqlite3.Connection):
    """What a transactional task is given: an ordinary connection that does not end its transaction."""

    savepoint = _SAVEPOINT
    _revoker = 0  # the thread that took it away

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.set_authorizer(self._authorize)

    def executescript(self, sql_script: str, /) -> sqlite3.Cursor:
        """Refused while a task has it: Python's `sqlite3` commits before it runs a script."""
        self.refuse("connection.executescript()")
        return super().executescript(sql_script)

    @property
    def is_revoked(self) -> bool:
        """Whether it was taken away."""
        return self._revoker != 0

    def revoke(self) -> None:
        """Undo everything, in spite of another thread; nothing can be written through it any more."""
        self._revoker = threading.get_ident()
        self.interrupt()
        # Before the rollback: a recording that is under way must stop, and not go on in a transaction of its own.
        super().execute("PRAGMA query_only = ON")
        sqlite3.Connection.rollback(self)  # the driver's own, which is not refused

    def _authorize(self, action: int, what: str | None, *_: str | None) -> int:
        if not self.is_lent or threading.get_ident() == self._revoker:
            return sqlite3.SQLITE_OK
        if action == sqlite3.SQLITE_TRANSACTION and what != "BEGIN":
            self.refusal = lent.refused(str(what), _SAVEPOINT)
            return sqlite3.SQLITE_DENY
        # SQLite itself may have ended the transaction (INSERT OR ROLLBACK, a full disk): nothing is written after that.
        return sqlite3.SQLITE_OK if self.in_transaction or action in _READS else sqlite3.SQLITE_DENY


class SqliteLoan:
    """One such connection, for one thread; opened when it is first lent."""

    def __init__(
        self,
        connect: Callable[[type[TaskConnection]], TaskConnection],
        translated: Callable[[], AbstractContextManager[None]],
        transaction: Callable[[sqlite3.Connection], Transaction],
    ) -> None:
        self._connect = connect
        self._translated = translated
        self._transaction = transaction
        self._connection: TaskConnection | None = None
        self._pid = os.getpid()

    def begin(self) -> TaskConnection:
        """Open a transaction with the write lock, so that what the task reads cannot change under it."""
        self._is_inherited()
        if self._connection is not None and self._connection.is_revoked:  # after its commit, so it was of no use
            self.close()
        with self._translated():
            connection = self._connection or self._new_connection()
            connection.row_factory, connection.text_factory = None, str
            connection.execute("BEGIN IMMEDIATE")
        connection.is_lent, connection.refusal = True, None
        return connection

    @contextmanager
    def recording(self) -> Iterator[Transaction]:
        """Segue's statements, then the commit; see `Loan.recording`."""
        connection = self._taken_back()
        try:
            if connection.refusal is not None:
                raise connection.refusal
            if not connection.in_transaction:
                raise lent.ended(_SAVEPOINT)
            connection.row_factory, connection.text_factory = None, str
            with self._translated():
                yield self._transaction(connection)
            self._commit(connection)
        except BaseException:
            self.rollback()
            raise

    def rollback(self) -> None:
        """Undo everything: while it was lent nothing was committed."""
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
        """End what the task has running, undo what it wrote, and let it write no more; it still may read."""
        connection = self._connection
        if connection is not None and self._pid == os.getpid():
            with suppress(sqlite3.Error):
                connection.revoke()

    def close(self) -> None:
        """Close the connection, which rolls back what is open."""
        connection, self._connection = self._connection, None
        if connection is not None and self._pid == os.getpid():
            connection.is_lent = False
            with suppress(sqlite3.Error):
                connection.close()

    def _new_connection(self) -> TaskConnection:
        self._connection, self._pid = self._connect(TaskConnection), os.getpid()
        return self._connection

    def _taken_back(self) -> TaskConnection:
        if self._is_inherited() or self._connection is None:
            raise lent.ended(_SAVEPOINT)
        self._connection.is_lent = False
        return self._connection

    def _commit(self, connection: TaskConnection) -> None:
        try:
            connection.commit()
        except sqlite3.IntegrityError:  # a constraint that the task deferred: its own affair
            raise
        except sqlite3.Error:
            with self._translated():
                raise

    def _is_inherited(self) -> bool:
        """True in a fork of the process that opened it, which leaves it alone for ever."""
        if self._connection is not None and self._pid != os.getpid():
            _inherited.append(self._connection)
            self._connection = None
            return True
        return False
