"""PostgreSQL (13 or newer) as a store, through psycopg 3.

A transaction runs in libpq's pipeline mode: statements are sent at once, and answers are awaited only when the engine
needs them. Isolation is READ COMMITTED; the engine locks runs before it changes their steps. Every statement is
prepared once, with a generic plan that may only use indexes: the tables grow by orders of magnitude after it was
planned.
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext, suppress
from datetime import datetime
from functools import partial
from typing import TYPE_CHECKING, Any

import psycopg

from segue.clock import Clock
from segue.errors import StoreConflictError, StoreUnavailableError
from segue.store import postgres_schema
from segue.store.adopted import driver_of
from segue.store.awaited import Awaited
from segue.store.dbclock import DatabaseClock, GivenClock
from segue.store.postgres_address import address_of
from segue.store.postgres_adopted import adoptable, adopted
from segue.store.postgres_awaited import awaitable
from segue.store.postgres_errors import READ_ONLY, SESSION_IS_SPOILT, LostSessionError, translated
from segue.store.postgres_lent import PostgresLoan
from segue.store.postgres_pool import Pool
from segue.store.postgres_session import Session, open_session
from segue.store.postgres_transaction import PostgresConversions, PostgresTransaction
from segue.store.postgres_wire import Pending, Wire
from segue.store.protocol import Conversions, Waker

if TYPE_CHECKING:
    from segue.store.sqlite_file import DatabaseFile

MOST_CONNECTIONS = 10
_inherited: list[Session] = []  # a fork must not even close what it inherited in the middle of a transaction


class PostgresStore:
    """A PostgreSQL database. Its tables are created on first use."""

    dialect = "postgres"
    conversions: Conversions = PostgresConversions()
    file: DatabaseFile | None = None  # a server may be away for a while, but is never removed like a file

    def __init__(self, url: str, *, clock: Clock | None = None, max_connections: int = MOST_CONNECTIONS) -> None:
        self.url = url
        self._address = address_of(url)
        self._max_connections = max_connections
        self._clock = DatabaseClock() if clock is None else GivenClock(clock)
        self._pools: dict[int, Pool] = {}  # by process: a fork finds its parent's pool here, and does not touch it
        self._mine = threading.local()  # `wire`: of the transaction that this thread has open

    @property
    def sends_commit_along(self) -> bool:
        """Once it is connected, and not through a pooler: there, the answers must show that the session is the same."""
        pool = self._pools.get(os.getpid())
        return pool is not None and pool.is_checked and not pool.is_pooled

    @contextmanager
    def transaction(self) -> Iterator[PostgresTransaction]:
        """A transaction on a session of the pool, in pipeline mode."""
        with translated(self._address):
            pool = self._ready_pool()
            session = pool.get()
            pid = os.getpid()
            outer = getattr(self._mine, "wire", None)
            try:
                wire = self._mine.wire = session.wire
                try:
                    wire.open()
                    self._look_around(session)
                    yield PostgresTransaction(wire)
                    wire.commit()
                except BaseException as error:
                    if os.getpid() == pid:
                        _abandon(pool, session, error)
                    raise
            finally:
                self._mine.wire = outer
                if os.getpid() == pid:
                    pool.put(session)
                else:
                    _inherited.append(session)

    def reading(self) -> AbstractContextManager[PostgresTransaction]:
        """An ordinary transaction: on PostgreSQL, readers block nothing."""
        seconds: float | None = getattr(self._mine, "reading_seconds", None)
        return self.transaction() if seconds is None else self._reading_within(seconds)

    @contextmanager
    def _reading_within(self, seconds: float) -> Iterator[PostgresTransaction]:
        with self.transaction() as tx:
            wire: Wire = self._mine.wire
            wire.send(f"SELECT set_config('statement_timeout', '{seconds * 1000:.0f}', true)", ())
            yield tx

    @contextmanager
    def reading_within(self, seconds: float) -> Iterator[None]:
        """Inside the block, the server ends statements of this thread's readings that take longer."""
        outer = getattr(self._mine, "reading_seconds", None)
        self._mine.reading_seconds = seconds
        try:
            yield
        finally:
            self._mine.reading_seconds = outer

    @contextmanager
    def adopt(self, connection: Any) -> Iterator[PostgresTransaction]:
        """Statements inside the caller's transaction."""
        connection = driver_of(connection)
        joined = awaitable(connection) if isinstance(connection, Awaited) else adoptable(connection)
        with translated(self._address):
            pool = self._ready_pool()
        with adopted(joined, pool.schema or "", pool.database, self._address.place) as tx:
            yield tx

    def patience(self, seconds: float) -> AbstractContextManager[None]:
        """Does nothing: PostgreSQL has no lock on the whole database."""
        return nullcontext()

    def unsynced(self) -> AbstractContextManager[None]:
        """Does nothing: the server can fail while this process goes on."""
        return nullcontext()

    def loan(self) -> PostgresLoan:
        """A plain connection outside the pool, to be lent to tasks."""
        return PostgresLoan(self._address, self._clock, PostgresTransaction)

    def now(self) -> datetime:
        """The database's time at the last reading, plus the time that this process measured since."""
        if self._clock.is_stale():
            wire: Wire | None = getattr(self._mine, "wire", None)
            if wire is not None:  # waiting for another session while this thread holds one could deadlock
                self._clock.read(partial(_told, PostgresTransaction(wire)))
                return self._clock.now()
            try:
                self._read_clock()
            except StoreUnavailableError:  # one broken connection is not a reason to fail
                self._read_clock()
        return self._clock.now()

    def forget_clock(self) -> None:
        """Read the server's clock again at the next `now`."""
        self._clock.forget()

    def waker(self) -> Waker:
        """Listens on a separate connection."""
        with translated(self._address):
            session = open_session(self._address)
            try:
                session.run("LISTEN segue")
            except BaseException:
                session.close()
                raise
            return PostgresWaker(session)

    def schema_version(self) -> int:
        """The number of the latest migration in the database."""
        with translated(self._address):
            return postgres_schema.schema_version(self._address)

    def upgrade(self) -> list[int]:
        """Apply missing migrations in one transaction. An advisory lock keeps two upgrades apart.

        Repeated if it meets a transaction of a running worker in a deadlock.
        """
        tries_left = _UPGRADE_TRIES - 1
        while True:
            try:
                with translated(self._address):
                    return postgres_schema.upgrade(self._address)
            except StoreConflictError:
                if not tries_left:
                    raise
                time.sleep(0.1 * (_UPGRADE_TRIES - tries_left))
                tries_left -= 1

    def close(self) -> None:
        """Close the pool of this process."""
        pool = self._pools.pop(os.getpid(), None)
        if pool is not None:
            pool.close()

    def _ready_pool(self) -> Pool:
        pid = os.getpid()
        pool = self._pools.get(pid) or self._pools.setdefault(pid, Pool(self._address, self._max_connections))
        if not pool.is_checked:
            with pool.checking:
                if not pool.is_checked:
                    session = pool.get()
                    try:
                        postgres_schema.check_schema(session, self._address)
                    finally:
                        pool.put(session)
                    pool.is_checked = True
        return pool

    def _read_clock(self) -> None:
        with self.transaction() as tx:
            self._clock.read(partial(_told, tx))

    def _look_around(self, session: Session) -> None:
        """Check without a further round trip: is the clock still right, and the session still ours?"""
        looks_at_clock = self._clock.wants_a_glance()
        if not (looks_at_clock or session.is_pooled):
            return
        wire = session.wire
        asked_at = self._clock.stopwatch()
        pending: Pending = wire.send(_LOOK, ())

        def answered() -> None:
            [(told, mark)] = pending.rows()
            if mark != session.mark:
                raise LostSessionError("the settings of the session are gone")
            if looks_at_clock:
                self._clock.glance(told, asked_at, self._clock.stopwatch())

        wire.at_first_answer = answered


_UPGRADE_TRIES = 5
_LOOK = "SELECT clock_timestamp(), current_setting('segue.session', true)"


class PostgresWaker:
    """LISTENs for the notifications that `wake` sends. `fd` becomes readable when one arrives."""

    poll_seconds = 1.0

    def __init__(self, session: Session) -> None:
        self._session = session
        self.fd: int | None = session.fileno()

    def woken(self) -> bool:
        """True if notifications have arrived since the last call."""
        try:
            return self._fetched()
        except psycopg.Error as error:
            raise StoreUnavailableError(f"the connection for wake-ups broke: {str(error).strip()}") from error

    def drain(self) -> None:
        """Read and discard the notifications that have arrived."""
        with suppress(psycopg.Error):
            self._fetched()

    def close(self) -> None:
        """Close the connection if this process opened it."""
        self._session.close()

    def _fetched(self) -> bool:
        pgconn = self._session.pgconn
        pgconn.consume_input()
        has_come = False
        while pgconn.notifies() is not None:
            has_come = True
        return has_come


def _told(tx: PostgresTransaction) -> datetime:
    moment: datetime = tx.all("database_now")[0][0]
    return moment


def _abandon(pool: Pool, session: Session, error: BaseException) -> None:
    """Roll back. Closes a session that cannot roll back, or has changed; the pool then opens another."""
    code = error.sqlstate if isinstance(error, psycopg.Error) else None
    if not isinstance(error, Exception) or code in SESSION_IS_SPOILT or isinstance(error, LostSessionError):
        session.close()  # Ctrl-C can come anywhere: the answers still on their way are unknown
    else:
        try:
            session.wire.rollback()
        except psycopg.Error:
            session.close()
    if code == READ_ONLY:  # the server may no longer be the primary, for other sessions, too
        pool.renew()
