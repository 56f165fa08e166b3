"""A psycopg connection that is lent to transactional tasks.

The session is the user's: while a task has it, Segue's settings are not set, and no time limit of Segue ends what the
task does. What one task leaves behind is removed before the next: in the session (settings, temporary tables, cursors,
prepared statements, advisory locks, LISTENs), and in Python, where each task gets a new connection object (adapters,
row factories, notice handlers). Segue's settings and limits apply only after the task has returned, until the end of
that transaction.
"""

from __future__ import annotations

import os
import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any

import psycopg
from psycopg import errors, generators, pq
from psycopg.rows import TupleRow

from segue.errors import DefinitionError, StoreError, StoreUnavailableError
from segue.store import lent
from segue.store.dbclock import DatabaseClock
from segue.store.postgres_address import Address
from segue.store.postgres_errors import SESSION_IS_SPOILT, code_of, translated
from segue.store.postgres_session import (
    IDLE_IN_TRANSACTION_SECONDS,
    LOCK_SECONDS,
    MEANINGS,
    PLANS,
    STATEMENT_SECONDS,
    check_server,
    schema_of,
    search_path,
    waits,
)
from segue.store.postgres_silence import bounded, is_working
from segue.store.postgres_wire import Wire
from segue.store.protocol import Transaction

_SAVEPOINT = "with connection.transaction(): ..."
_READ_ONLY = "SELECT current_setting('transaction_read_only') AS read_only"
_RENEW = (
    "BEGIN; RESET ALL; SET SESSION AUTHORIZATION DEFAULT; UNLISTEN *; CLOSE ALL; DISCARD TEMP; DISCARD SEQUENCES; "
    "SELECT pg_advisory_unlock_all(); SELECT name FROM pg_prepared_statements; "
    "SELECT current_setting('transaction_read_only') AS read_only; COMMIT"
)
# The mark ends with the transaction, so it shows whether that transaction is still open.
_BEGIN = "BEGIN ISOLATION LEVEL READ COMMITTED; SET LOCAL segue.transaction = 'lent'"
# Psycopg deallocates all prepared statements after a DROP, and so may a task.
_LOOK = "SELECT current_setting('segue.transaction', true) AS mark; SELECT name FROM pg_prepared_statements"
CANCEL_SECONDS = 3.0
_OPEN = (pq.TransactionStatus.INTRANS, pq.TransactionStatus.INERROR)
_inherited: list[psycopg.Connection[TupleRow]] = []  # a fork must not even close what it inherited


class TaskConnection(lent.LentConnection, psycopg.Connection[TupleRow]):
    """The connection that a transactional task receives: an ordinary one that refuses to end its transaction."""

    savepoint = _SAVEPOINT
    address: Address | None = None

    def wait(self, gen: Any, *args: Any, **kwargs: Any) -> Any:
        """Wait for an answer: for a task without limit, for Segue as long as the server works on it."""
        if self.is_lent or self.address is None:
            return super().wait(gen, *args, **kwargs)
        conninfo, pid = self.address.lent, self.info.backend_pid
        return super().wait(bounded(gen, lambda: is_working(conninfo, pid)), *args, **kwargs)


class PostgresLoan:
    """One such connection, for one thread; opened when it is first lent, and again after it broke."""

    def __init__(self, address: Address, clock: DatabaseClock, transaction: Callable[[Wire], Transaction]) -> None:
        self._address = address
        self._clock = clock
        self._transaction = transaction
        self._settings: tuple[str, ...] = ()
        self._is_read_only: list[str] = []
        self._connection: TaskConnection | None = None
        self._pgconn: pq.abc.PGconn | None = None  # of the connection, whichever object represents it
        self._wire: Wire | None = None
        self._pid = os.getpid()

    def begin(self) -> TaskConnection:
        """Open a transaction in a session that is as good as new; see `Loan.begin`."""
        self._is_inherited()
        with translated(self._address):
            try:
                connection = self._renewed() or self._new_connection()
                _run(connection, _BEGIN)
            except BaseException:
                self.close()
                raise
        connection.is_lent, connection.refusal = True, None
        return connection

    @contextmanager
    def recording(self) -> Iterator[Transaction]:
        """Run Segue's statements, then commit; see `Loan.recording`."""
        try:
            connection, wire = self._taken_back()
        except BaseException:
            self.rollback()
            raise
        try:
            with translated(self._address):
                is_ours, prepared = _look(connection)
                if not is_ours:
                    raise lent.ended(_SAVEPOINT)
                if not wire.prepared <= prepared:
                    wire.forget()
                wire.join()
                for setting in self._settings:
                    wire.send(setting, ())
                tx = self._transaction(wire)
                if self._clock.is_stale():
                    self._clock.read(lambda: tx.all("database_now")[0][0])
                yield tx
                wire.flush()
            self._commit(wire)
        except Exception as error:
            self._abandon(connection, wire, error)
            raise
        except BaseException:  # interrupted: the answers still on their way are unknown
            self.close()
            raise

    def rollback(self) -> DefinitionError | None:
        """Undo what the task wrote; see `Loan.rollback`."""
        if self._connection is None or self._is_inherited():
            return None
        connection = self._replaced(self._connection)
        status = connection.pgconn.transaction_status
        if status == pq.TransactionStatus.IDLE:
            return lent.ended(_SAVEPOINT)
        try:
            if status in _OPEN and connection.pgconn.pipeline_status == pq.PipelineStatus.OFF:
                is_ours = status == pq.TransactionStatus.INERROR or _look(connection)[0]
                _run(connection, "ROLLBACK")
                return None if is_ours else lent.ended(_SAVEPOINT)
            if status == pq.TransactionStatus.ACTIVE:
                connection.cancel_safe(
                    timeout=CANCEL_SECONDS
                )  # otherwise the server would continue the statement, and keep its locks
        except psycopg.Error:
            pass
        self.close()
        return None

    def revoke(self) -> None:
        """Cut the line: the server rolls back, and anything that the other thread sends or waits for fails."""
        pgconn = self._pgconn
        if pgconn is not None and self._pid == os.getpid():
            with suppress(psycopg.Error, OSError), socket.socket(fileno=os.dup(pgconn.socket)) as line:
                line.shutdown(socket.SHUT_RDWR)

    def close(self) -> None:
        """Close the connection, which rolls back an open transaction."""
        connection, self._connection, self._wire, self._pgconn = self._connection, None, None, None
        if connection is not None and self._pid == os.getpid():
            connection.is_lent = False
            with suppress(psycopg.Error):
                connection.close()

    def _renewed(self) -> TaskConnection | None:
        """Return a fresh connection object on the present session, without what the last task left in it.

        Returns None if the connection broke.
        """
        if self._connection is None or self._wire is None:
            return None
        wire, connection = self._wire, self._replaced(self._connection)
        try:
            results = _run(connection, _RENEW)
            if _column(results, b"read_only") != self._is_read_only:  # it became a standby, or the primary again
                self.close()
                return None
            if set(_column(results, b"name")) != wire.prepared:
                _run(connection, "DEALLOCATE ALL")
                wire.forget()
            while connection.pgconn.notifies() is not None:
                pass
        except psycopg.Error:
            self.close()
            return None
        return connection

    def _replaced(self, former: TaskConnection) -> TaskConnection:
        """Create another object for the session, without the task's adapters and handlers, and unknown to the task."""
        connection = TaskConnection(former.pgconn)
        connection.address = self._address
        former.is_lent, former.pgconn = False, pq.PGconn()
        self._connection = connection
        if self._wire is not None:
            self._wire.move(connection)
        return connection

    def _new_connection(self) -> TaskConnection:
        connection = TaskConnection.connect(self._address.lent)
        self._connection, self._wire, self._pid = connection, Wire(connection), os.getpid()
        self._pgconn = connection.pgconn
        connection.address = self._address
        self._settings = _settings(connection)
        self._is_read_only = _column(
            _run(connection, "SELECT current_setting('transaction_read_only') AS read_only"), b"read_only"
        )
        return connection

    def _taken_back(self) -> tuple[TaskConnection, Wire]:
        if self._is_inherited() or self._connection is None or self._wire is None:
            raise lent.ended(_SAVEPOINT)
        refusal = self._connection.refusal
        connection = self._replaced(self._connection)
        if refusal is not None:
            raise refusal
        _check_open(connection)
        return connection, self._wire

    def _commit(self, wire: Wire) -> None:
        try:
            wire.commit()
        except psycopg.IntegrityError:  # a constraint that the task deferred: the task gets this error
            raise
        except psycopg.Error:
            with translated(self._address):
                raise

    def _abandon(self, connection: TaskConnection, wire: Wire, error: Exception) -> None:
        with suppress(psycopg.Error):
            wire.rollback()
        is_spoilt = code_of(error) in SESSION_IS_SPOILT or code_of(error.__cause__) in SESSION_IS_SPOILT
        if is_spoilt or connection.closed or connection.pgconn.transaction_status != pq.TransactionStatus.IDLE:
            self.close()

    def _is_inherited(self) -> bool:
        """True in a fork of the process that opened it: the fork never touches it."""
        if self._connection is not None and self._pid != os.getpid():
            _inherited.append(self._connection)
            self._connection = self._wire = self._pgconn = None
            return True
        return False


def _settings(connection: TaskConnection) -> tuple[str, ...]:
    """The settings that apply while Segue records, as in its own sessions. The task may have changed any of them."""
    check_server(connection)
    ends = waits(
        lock=LOCK_SECONDS, idle=IDLE_IN_TRANSACTION_SECONDS, statement=STATEMENT_SECONDS,
        version=connection.info.server_version,
    )  # fmt: skip
    path = search_path(schema_of(connection))
    connection.rollback()
    settings = MEANINGS | PLANS | ends | {"synchronous_commit": "on", "client_encoding": "'UTF8'", "search_path": path}
    return ("SET LOCAL ROLE TO DEFAULT", *(f"SET LOCAL {name} TO {value}" for name, value in settings.items()))


def _check_open(connection: TaskConnection) -> None:
    """Refuse to record if the transaction cannot be committed or no longer exists."""
    status = connection.pgconn.transaction_status
    if connection.closed or status == pq.TransactionStatus.UNKNOWN:
        raise StoreUnavailableError(
            "The connection of a transactional task broke before its outcome was recorded. Nothing that it wrote stays."
        )
    if status == pq.TransactionStatus.IDLE:
        raise lent.ended(_SAVEPOINT)
    if status == pq.TransactionStatus.INERROR:
        raise StoreError(
            "A statement of a transactional task failed and the task went on, but PostgreSQL then undoes the whole "
            f"transaction. Put what may fail into a savepoint: {_SAVEPOINT}"
        )
    if status == pq.TransactionStatus.ACTIVE or connection.pgconn.pipeline_status != pq.PipelineStatus.OFF:
        raise StoreError(
            "A transactional task returned while its connection was still busy (a COPY, a stream or a pipeline). "
            "End that before the task returns: leave its `with` block."
        )


def _look(connection: TaskConnection) -> tuple[bool, set[str]]:
    """Whether the transaction is still the same, and the names of the session's prepared statements."""
    results = _run(connection, _LOOK)
    return _column(results, b"mark") == ["lent"], set(_column(results, b"name"))


def _column(results: list[Any], name: bytes) -> list[str]:
    """The values of the column of that name, from the result that has it."""
    [result] = [result for result in results if result.nfields == 1 and result.fname(0) == name]
    return [(result.get_value(row, 0) or b"").decode() for row in range(result.ntuples)]


def _run(connection: TaskConnection, text: str) -> list[Any]:
    """Send statements as one message, which psycopg itself would not do in a transaction of its own."""
    connection.pgconn.send_query(text.encode())
    results: list[Any] = connection.wait(generators.execute(connection.pgconn))
    for result in results:
        if result.status == pq.ExecStatus.FATAL_ERROR:
            raise errors.error_from_result(result)
    return results
