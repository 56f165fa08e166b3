"""Segue's transactions in a Django project.

`ProjectStore` is a store like any other, except inside `transaction.atomic()`: there everything happens on Django's own
connection. What is started, cancelled or read there belongs to the project's transaction.

`ConnectionStore` has nothing but Django's connection. Tests use it, because their transaction is rolled back, their
database may be in memory, and no session of another library may be open when the test database is dropped.

Django's connections belong to threads: another thread sees what is committed.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from datetime import datetime
from typing import Any

from django.db import transaction

from segue.clock import Clock, SystemClock
from segue.contrib.django.addresses import connection_of, dialect_of, url_of
from segue.errors import ConfigError, DefinitionError
from segue.store import open_store
from segue.store.on_connection import conversions_of, statements_on
from segue.store.protocol import Conversions, Loan, Store, Transaction, Waker
from segue.store.sqlite_file import DatabaseFile


class ConnectionStore:
    """Everything on Django's connection. Each transaction is an atomic block, or a savepoint inside of one."""

    sends_commit_along = False
    file: DatabaseFile | None = None

    def __init__(self, alias: str, *, clock: Clock | None = None) -> None:
        self.alias = alias
        self.dialect = dialect_of(alias)
        self.conversions: Conversions = conversions_of(self.dialect)
        self.url = f"DATABASES[{alias!r}]"  # to be shown
        self._clock = clock or SystemClock()

    @property
    def joins(self) -> bool:
        """Whether this thread is inside an atomic block."""
        return bool(connection_of(self.alias).in_atomic_block)

    @contextmanager
    def transaction(self) -> Iterator[Transaction]:
        """An atomic block. A thread that had no connection has none afterwards, so that the database can be dropped."""
        connection = connection_of(self.alias)
        had_none = connection.connection is None
        try:
            with transaction.atomic(using=self.alias), self.adopt(connection) as tx:
                yield tx
        finally:
            if had_none and threading.current_thread() is not threading.main_thread():
                connection.close()

    def reading(self) -> AbstractContextManager[Transaction]:
        """The same."""
        return self.transaction()

    def adopt(self, connection: Any) -> AbstractContextManager[Transaction]:
        """Statements in the transaction that is open on Django's connection."""
        if connection is not connection_of(self.alias):
            raise ConfigError(f"connection= is not django.db.connections[{self.alias!r}]. Leave it out.")
        return statements_on(connection, self.dialect, self.now())

    def patience(self, seconds: float) -> AbstractContextManager[None]:
        """Does nothing: Django's settings say how long its connection waits."""
        return nullcontext()

    def reading_within(self, seconds: float) -> AbstractContextManager[None]:
        """Does nothing: so do they for its statements."""
        return nullcontext()

    def unsynced(self) -> AbstractContextManager[None]:
        """Does nothing."""
        return nullcontext()

    def loan(self) -> Loan:
        """Django's connection, for transactional tasks."""
        return SavepointLoan(self.alias, self.adopt)

    def now(self) -> datetime:
        """This machine's time, unless a test has a clock of its own."""
        return self._clock.now()

    def forget_clock(self) -> None:
        """Does nothing: the machine's clock is read each time."""

    def waker(self) -> Waker:
        """No hints: no other process can see what happens."""
        return Silence()

    def upgrade(self) -> list[int]:
        """Make or update the tables."""
        if self.dialect == "postgres":
            return open_store(url_of(self.alias)).upgrade()
        with self.transaction():
            return []  # the statements' first transaction makes them

    def schema_version(self) -> int:
        """The number of the latest migration in the database; 0 without tables."""
        with connection_of(self.alias).cursor() as cursor:
            if "segue_schema" not in connection_of(self.alias).introspection.table_names(cursor):
                return 0
            cursor.execute("SELECT max(version) FROM segue_schema")
            return int(cursor.fetchone()[0])

    def close(self) -> None:
        """Does nothing: the connection is Django's."""


class ProjectStore:
    """A store that joins the transaction which Django has open in this thread."""

    def __init__(self, own: Store, alias: str) -> None:
        self._own = own
        self._alias = alias
        self.dialect, self.url, self.conversions, self.file = own.dialect, own.url, own.conversions, own.file

    @property
    def joins(self) -> bool:
        """Whether this thread is inside an atomic block."""
        return bool(connection_of(self._alias).in_atomic_block)

    @property
    def sends_commit_along(self) -> bool:
        """Never in the project's transaction."""
        return self._own.sends_commit_along and not self.joins

    def transaction(self) -> AbstractContextManager[Transaction]:
        """A transaction of its own, or a savepoint in that of the project."""
        return self._joined() if self.joins else self._own.transaction()

    def reading(self) -> AbstractContextManager[Transaction]:
        """The same for reading."""
        return self._joined() if self.joins else self._own.reading()

    @contextmanager
    def _joined(self) -> Iterator[Transaction]:
        with transaction.atomic(using=self._alias), self._own.adopt(connection_of(self._alias)) as tx:
            yield tx

    def adopt(self, connection: Any) -> AbstractContextManager[Transaction]:
        """Statements in a transaction of the caller."""
        return self._own.adopt(connection)

    def patience(self, seconds: float) -> AbstractContextManager[None]:
        """How long this thread waits for the write lock."""
        return self._own.patience(seconds)

    def reading_within(self, seconds: float) -> AbstractContextManager[None]:
        """How long a reading of this thread may take."""
        return self._own.reading_within(seconds)

    def unsynced(self) -> AbstractContextManager[None]:
        """Commits that do not wait for the disk."""
        return nullcontext() if self.joins else self._own.unsynced()

    def loan(self) -> Loan:
        """A connection for transactional tasks."""
        return SavepointLoan(self._alias, self.adopt) if self.joins else self._own.loan()

    def now(self) -> datetime:
        """The database's time."""
        return self._own.now()

    def forget_clock(self) -> None:
        """Read the database's clock again."""
        self._own.forget_clock()

    def waker(self) -> Waker:
        """Hints of other processes, which see nothing of a transaction that is open."""
        return Silence() if self.joins else self._own.waker()

    def upgrade(self) -> list[int]:
        """Make or update the tables."""
        return self._own.upgrade()

    def schema_version(self) -> int:
        """The number of the latest migration in the database."""
        return self._own.schema_version()

    def close(self) -> None:
        """Close Segue's own connections."""
        self._own.close()


class SavepointLoan:
    """Django's connection, lent to a transactional task of a run that is worked in the project's own transaction."""

    def __init__(self, alias: str, adopt: Any) -> None:
        self._alias = alias
        self._adopt = adopt
        self._atomic: Any = None

    def begin(self) -> Any:
        """Set a savepoint; returns the driver's connection."""
        self._atomic = transaction.atomic(using=self._alias)
        self._atomic.__enter__()
        return connection_of(self._alias).connection

    @contextmanager
    def recording(self) -> Iterator[Transaction]:
        """Segue's own statements after those of the task."""
        try:
            with self._adopt(connection_of(self._alias)) as tx:
                yield tx
        except BaseException:
            self.rollback()
            raise
        self._leave()

    def rollback(self) -> DefinitionError | None:
        """Back to the savepoint."""
        if self._atomic is not None:
            transaction.set_rollback(True, using=self._alias)
            self._leave()
        return None

    def revoke(self) -> None:
        """Does nothing: the task runs in the thread that would revoke."""

    def close(self) -> None:
        """Does nothing: the connection is Django's."""

    def _leave(self) -> None:
        atomic, self._atomic = self._atomic, None
        if atomic is not None:
            atomic.__exit__(None, None, None)


class Silence:
    """No hints."""

    fd: int | None = None
    poll_seconds = 0.05

    def woken(self) -> bool:
        """Always false."""
        return False

    def drain(self) -> None:
        """Does nothing."""

    def close(self) -> None:
        """Does nothing."""
