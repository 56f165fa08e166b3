"""A psycopg connection that is lent to transactional tasks.

The session is the user's: nothing of Segue's is set in it while a task has it, and what one task leaves behind
(settings, temporary tables, advisory locks) is gone before the next. Only when the task has returned do Segue's
settings hold, to the end of that transaction.
"""

from __future__ import annotations

import os
import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any

import psycopg
from psycopg import errors, generators, pq
from psycopg.rows import TupleRow, tuple_row

from segue.errors import DefinitionError, StoreError, StoreUnavailableError
from segue.store import lent
from segue.store.dbclock import DatabaseClock
from segue.store.postgres_errors import translated
from segue.store.postgres_wire import Wire
from segue.store.protocol import Transaction

_SAVEPOINT = "with connection.transaction(): ..."
_RENEW = (
    "BEGIN; RESET ALL; SET SESSION AUTHORIZATION DEFAULT; UNLISTEN *; CLOSE ALL; DISCARD TEMP; DISCARD SEQUENCES; "
    "SELECT pg_advisory_unlock_all(); COMMIT"
)
# The mark ends with the transaction, so it tells whether that is still the one which was begun.
_BEGIN = "BEGIN ISOLATION LEVEL READ COMMITTED; SET LOCAL segue.transaction = 'lent'"
# Psycopg deallocates everything after a DROP, and a task may do so itself.
_LOOK = (
    "SELECT current_setting('segue.transaction', true) = 'lent', "
    "EXISTS (SELECT 1 FROM pg_prepared_statements WHERE name LIKE 'segue%')"
)
# What the pool's connections have for ever. The task may have changed its role, its schemas or its time zone.
_SETTINGS = (
    "SET LOCAL ROLE TO DEFAULT",
    "SET LOCAL search_path TO DEFAULT",
    "SET LOCAL TimeZone TO 'UTC'",
    "SET LOCAL plan_cache_mode TO force_generic_plan",
    "SET LOCAL jit TO off",
    "SET LOCAL enable_seqscan TO off",
    "SET LOCAL enable_hashjoin TO off",
    "SET LOCAL enable_mergejoin TO off",
    "SET LOCAL synchronous_commit TO on",
)
_OPEN = (pq.TransactionStatus.INTRANS, pq.TransactionStatus.INERROR)
_inherited: list[psycopg.Connection[TupleRow]] = []  # a fork must not even close what it inherited


class TaskConnection(lent.LentConnection, psycopg.Connection[TupleRow]):
    """What a transactional task is given: an ordinary connection that does not end its transaction."""

    savepoint = _SAVEPOINT


class PostgresLoan:
    """One such connection, for one thread; opened when it is first lent, and again when it broke."""

    def __init__(
        self, url: str, clock: DatabaseClock, transaction: Callable[[Wire], Transaction], *, connect_seconds: int
    ) -> None:
        self._url = url
        self._clock = clock
        self._transaction = transaction
        self._connect_seconds = connect_seconds
        self._connection: TaskConnection | None = None
        self._wire: Wire | None = None
        self._pid = os.getpid()

    def begin(self) -> TaskConnection:
        """Open a transaction in a session as good as new; see `Loan.begin`."""
        self._is_inherited()
        with translated(self._url):
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
        """Segue's statements, then the commit; see `Loan.recording`."""
        try:
            connection, wire = self._taken_back()
        except BaseException:
            self.rollback()
            raise
        try:
            with translated(self._url):
                is_ours, is_prepared = _look(connection)
                if not is_ours:
                    raise lent.ended(_SAVEPOINT)
                if not is_prepared:
                    wire.forget()
                wire.join()
                for setting in _SETTINGS:
                    wire.send(setting, ())
                tx = self._transaction(wire)
                if self._clock.is_stale():
                    self._clock.read(lambda: tx.all("database_now")[0][0])
                yield tx
                wire.flush()
            self._commit(wire)
        except Exception:
            self._abandon(connection, wire)
            raise
        except BaseException:  # interrupted: nobody knows which answers are still on their way
            self.close()
            raise

    def rollback(self) -> DefinitionError | None:
        """Undo what the task wrote; see `Loan.rollback`."""
        connection = self._connection
        if connection is None or self._is_inherited():
            return None
        connection.is_lent = False
        status = connection.pgconn.transaction_status
        if status == pq.TransactionStatus.IDLE:
            return lent.ended(_SAVEPOINT)
        try:
            if status in _OPEN and connection.pgconn.pipeline_status == pq.PipelineStatus.OFF:
                is_ours = status == pq.TransactionStatus.INERROR or _look(connection)[0]
                _run(connection, "ROLLBACK")
                return None if is_ours else lent.ended(_SAVEPOINT)
            if status == pq.TransactionStatus.ACTIVE:
                connection.cancel()  # or the server would go on with it, and keep its locks, though nobody listens
        except psycopg.Error:
            pass
        self.close()
        return None

    def revoke(self) -> None:
        """Cut the line: the server rolls back, and whatever the other thread says or waits for fails."""
        connection = self._connection
        if connection is not None and self._pid == os.getpid():
            with suppress(psycopg.Error, OSError), socket.socket(fileno=os.dup(connection.fileno())) as line:
                line.shutdown(socket.SHUT_RDWR)

    def close(self) -> None:
        """Close the connection, which rolls back what is open."""
        connection, self._connection, self._wire = self._connection, None, None
        if connection is not None and self._pid == os.getpid():
            connection.is_lent = False
            with suppress(psycopg.Error):
                connection.close()

    def _renewed(self) -> TaskConnection | None:
        """The connection that is there, rid of what the last task left in its session; None when it broke."""
        connection = self._connection
        if connection is None:
            return None
        connection.row_factory, connection.cursor_factory = tuple_row, psycopg.Cursor
        try:
            _run(connection, _RENEW)
        except psycopg.OperationalError:
            self.close()
            return None
        return connection

    def _new_connection(self) -> TaskConnection:
        connection = TaskConnection.connect(self._url, connect_timeout=self._connect_seconds)
        self._connection, self._wire, self._pid = connection, Wire(connection), os.getpid()
        return connection

    def _taken_back(self) -> tuple[TaskConnection, Wire]:
        if self._is_inherited() or self._connection is None or self._wire is None:
            raise lent.ended(_SAVEPOINT)
        connection = self._connection
        connection.is_lent = False
        if connection.refusal is not None:
            raise connection.refusal
        _check_open(connection)
        return connection, self._wire

    def _commit(self, wire: Wire) -> None:
        try:
            wire.commit()
        except psycopg.IntegrityError:  # a constraint that the task deferred: its own affair
            raise
        except psycopg.Error:
            with translated(self._url):
                raise

    def _abandon(self, connection: TaskConnection, wire: Wire) -> None:
        with suppress(psycopg.Error):
            wire.rollback()
        if connection.closed or connection.pgconn.transaction_status != pq.TransactionStatus.IDLE:
            self.close()

    def _is_inherited(self) -> bool:
        """True in a fork of the process that opened it, which leaves it alone for ever."""
        if self._connection is not None and self._pid != os.getpid():
            _inherited.append(self._connection)
            self._connection = self._wire = None
            return True
        return False


def _check_open(connection: TaskConnection) -> None:
    """Refuse to record in a transaction that cannot be committed, or is not there any more."""
    status = connection.pgconn.transaction_status
    if connection.closed or status == pq.TransactionStatus.UNKNOWN:
        raise StoreUnavailableError(
            "The connection of a transactional task broke before its outcome was recorded; nothing that it wrote stays."
        )
    if status == pq.TransactionStatus.IDLE:
        raise lent.ended(_SAVEPOINT)
    if status == pq.TransactionStatus.INERROR:
        raise StoreError(
            "A statement of a transactional task failed and the task went on, but PostgreSQL undoes the whole "
            f"transaction then. Put what may fail into a savepoint: {_SAVEPOINT}"
        )
    if status == pq.TransactionStatus.ACTIVE or connection.pgconn.pipeline_status != pq.PipelineStatus.OFF:
        raise StoreError(
            "A transactional task returned while its connection was still busy (a COPY, a stream or a pipeline). "
            "End that before it returns: leave its `with` block."
        )


def _look(connection: TaskConnection) -> tuple[bool, bool]:
    """Whether the transaction is the one that was begun, and whether Segue's statements are prepared in the session."""
    [result] = _run(connection, _LOOK)
    return result.get_value(0, 0) == b"t", result.get_value(0, 1) == b"t"


def _run(connection: TaskConnection, text: str) -> list[Any]:
    """Send statements as one message, as psycopg itself would not in a transaction of its own."""
    connection.pgconn.send_query(text.encode())
    results: list[Any] = connection.wait(generators.execute(connection.pgconn))
    for result in results:
        if result.status == pq.ExecStatus.FATAL_ERROR:
            raise errors.error_from_result(result)
    return results
