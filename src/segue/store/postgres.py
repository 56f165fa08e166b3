"""PostgreSQL (13 or newer) behind the store seam, through psycopg 3 and its pool.

A transaction runs in psycopg's pipeline mode: statements are sent as they come and answers are waited for only where
the engine needs them. Isolation is READ COMMITTED; the engine locks runs before it changes their steps. Every statement
is prepared once with a generic plan that may only use indexes, because the tables grow by orders of magnitude after the
first plan was made.
"""

from __future__ import annotations

import threading
from collections.abc import Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from datetime import UTC, datetime
from typing import Any

import psycopg
from psycopg import sql
from psycopg.rows import tuple_row
from psycopg_pool import ConnectionPool, PoolTimeout

from segue.clock import Clock
from segue.errors import ConfigError, StoreUnavailableError
from segue.observing.journal import Journal
from segue.store import migrate
from segue.store.adopted import dbapi_connection
from segue.store.dbclock import DatabaseClock
from segue.store.postgres_errors import place_of, translated
from segue.store.postgres_lent import PostgresLoan
from segue.store.postgres_sql import compiled
from segue.store.postgres_wire import Wire, wire_of
from segue.store.protocol import Finish, Finished, Follow, Later, Row, Waker

CONNECT_SECONDS = 10
GET_SECONDS = 1.0  # to wait for a connection of the pool, at each of
GET_TRIES = 5
_SETTINGS = (
    "SET TimeZone = 'UTC'; SET plan_cache_mode = force_generic_plan; SET jit = off; SET enable_seqscan = off; "
    "SET enable_hashjoin = off; SET enable_mergejoin = off; SET synchronous_commit = on"
)
_MIGRATION_LOCK = 7_361_736  # any number that nobody else in this database uses for an advisory lock


class _Finished:
    __slots__ = ("_pending",)

    def __init__(self, pending: Later) -> None:
        self._pending = pending

    def result(self) -> Finished:
        rows = self._pending.rows()
        _, recorded, started, _ = rows[0]
        return Finished(recorded, started, [Follow(*row) for row in rows[1:]])


class PostgresTransaction:
    """Statements on one connection inside an open transaction."""

    journal: Journal | None = None
    ended_runs: list[str] | None = None

    def __init__(self, wire: Wire) -> None:
        self._wire = wire

    def all(self, statement: str, **parameters: Any) -> list[Row]:
        """Run a named statement and return its rows."""
        return self.later(statement, **parameters).rows()

    def later(self, statement: str, **parameters: Any) -> Later:
        """Send a named statement; ask for its rows when they are needed."""
        text, order, _, _, _ = compiled(statement)
        return self._wire.send(text, [parameters[name] for name in order])

    def each(self, statement: str, rows: Sequence[Row]) -> None:
        """Run a batch statement once for all rows."""
        if rows:
            self.later(statement, **_columns(statement, rows))

    def finish(self, batch: Sequence[Finish], now: datetime) -> _Finished:
        """Write final statuses and release the children, in one statement."""
        if len(batch) == 1:
            return _Finished(self.later("finish_one", now=now, **dict(zip(Finish._fields, batch[0], strict=True))))
        return _Finished(self.later("finish", now=now, **_columns("finish", batch)))


class _CursorRows:
    __slots__ = ("_cursor", "_returns")

    def __init__(self, cursor: Any, returns: bool) -> None:
        self._cursor = cursor
        self._returns = returns

    def rows(self) -> list[Row]:
        return list(self._cursor.fetchall()) if self._returns else []


class _AdoptedTransaction(PostgresTransaction):
    """The same on somebody else's connection: any PostgreSQL driver with `%(name)s` parameters, any row factory."""

    def __init__(self, connection: Any) -> None:
        self._connection = connection

    def later(self, statement: str, **parameters: Any) -> Later:
        """Run a named statement at once, through a cursor."""
        if isinstance(self._connection, psycopg.Connection):
            cursor: Any = self._connection.cursor(row_factory=tuple_row)
        else:
            cursor = self._connection.cursor()
        found = compiled(statement)
        cursor.execute(found.named, parameters)
        return _CursorRows(cursor, found.returns)


def _columns(statement: str, rows: Sequence[Row]) -> dict[str, Any]:
    """An array for each column; none for one that is all NULL, which `unnest` makes of what is missing."""
    columns = zip(compiled(statement).columns, zip(*rows, strict=True), strict=True)
    return {name: None if values.count(None) == len(values) else list(values) for name, values in columns}


class PostgresStore:
    """A PostgreSQL database. Its tables are made on first use when it has none."""

    dialect = "postgres"

    def __init__(self, url: str, *, clock: Clock | None = None, max_connections: int = 10) -> None:
        self.url = url
        self._max_connections = max_connections
        self._clock = DatabaseClock(clock)
        self._pool: ConnectionPool[psycopg.Connection[Row]] | None = None
        self._lock = threading.Lock()

    @contextmanager
    def transaction(self) -> Iterator[PostgresTransaction]:
        """A transaction on a connection of the pool, in pipeline mode."""
        with translated(self.url):
            pool = self._ready_pool()
            connection = self._get(pool)
            try:
                wire = wire_of(connection)
                try:
                    wire.open()
                    yield PostgresTransaction(wire)
                    wire.commit()
                except Exception:
                    _abandon(connection, wire)
                    raise
                except BaseException:  # Ctrl-C, anywhere: nobody knows which answers are still on their way
                    connection.close()
                    raise
            finally:
                pool.putconn(connection)

    def reading(self) -> AbstractContextManager[PostgresTransaction]:
        """A transaction like any other: on PostgreSQL nobody waits for a reader."""
        return self.transaction()

    @contextmanager
    def adopt(self, connection: Any) -> Iterator[PostgresTransaction]:
        """Statements inside the caller's transaction."""
        connection = dbapi_connection(connection)
        if not hasattr(connection, "cursor") or type(connection).__module__.partition(".")[0] == "sqlite3":
            raise ConfigError(
                f"connection= is a {type(connection).__name__}, but Segue's database is PostgreSQL. "
                "Pass a psycopg, SQLAlchemy or Django connection to that same database."
            )
        if isinstance(connection, psycopg.Connection) and connection.autocommit and not _in_transaction(connection):
            raise ConfigError(
                "connection= is in autocommit mode with no transaction open, so there is nothing to join. "
                "Open one (`with connection.transaction():`) and start the run inside it."
            )
        with translated(self.url):
            self._ready_pool()
            yield _AdoptedTransaction(connection)

    def patience(self, seconds: float) -> AbstractContextManager[None]:
        """There is no such lock."""
        return nullcontext()

    def loan(self) -> PostgresLoan:
        """A plain connection outside of the pool, to be lent to tasks."""
        return PostgresLoan(self.url, self._clock, PostgresTransaction, connect_seconds=CONNECT_SECONDS)

    def now(self) -> datetime:
        """The database's time, as told at the last reading plus what this process measured since."""
        if self._clock.is_stale():
            with self.transaction() as tx:
                self._clock.read(lambda: tx.all("database_now")[0][0])
        return self._clock.now()

    def time(self, moment: datetime) -> datetime:
        """Psycopg binds aware datetimes."""
        return moment

    def datetime(self, value: Any) -> datetime | None:
        """Timestamptz comes back aware."""
        return None if value is None else value.astimezone(UTC)

    def array(self, numbers: Iterable[int]) -> str:
        """An array literal."""
        return "{" + ",".join(map(str, numbers)) + "}"

    def integers(self, value: Any) -> list[int]:
        """An array column comes back as a list."""
        return list(value)

    def waker(self) -> Waker:
        """Listens on a connection of its own."""
        with translated(self.url):
            connection = psycopg.connect(self.url, autocommit=True, connect_timeout=CONNECT_SECONDS)
            connection.execute("LISTEN segue")
            return PostgresWaker(connection)

    def schema_version(self) -> int:
        """The number of the latest migration in the database."""
        with translated(self.url), psycopg.connect(self.url, connect_timeout=CONNECT_SECONDS) as connection:
            return max(_applied(connection), default=0)

    def upgrade(self) -> list[int]:
        """Apply what is missing, in one transaction; an advisory lock keeps two upgrades apart."""
        done = []
        with translated(self.url), psycopg.connect(self.url, connect_timeout=CONNECT_SECONDS) as connection:
            connection.execute("SELECT pg_advisory_xact_lock(%s)", [_MIGRATION_LOCK])
            _check_server(connection)
            applied = _applied(connection)
            migrate.check_applied("postgres", applied)
            connection.execute(
                "CREATE TABLE IF NOT EXISTS segue_schema "
                "(version integer PRIMARY KEY, checksum text NOT NULL, applied_at timestamptz NOT NULL)"
            )
            for migration in migrate.pending("postgres", applied):
                connection.execute(sql.SQL(migration.sql))
                row = (migration.number, migration.checksum)
                connection.execute("INSERT INTO segue_schema VALUES (%s, %s, now())", row)
                done.append(migration.number)
        return done

    def close(self) -> None:
        """Close the pool."""
        with self._lock:
            if self._pool is not None:
                self._pool.close()
                self._pool = None

    def _ready_pool(self) -> ConnectionPool[psycopg.Connection[Row]]:
        if self._pool is None:
            with self._lock:
                if self._pool is None:
                    self._check_schema()
                    self._pool = self._new_pool()
        return self._pool

    def _check_schema(self) -> None:
        with psycopg.connect(self.url, connect_timeout=CONNECT_SECONDS) as connection:
            _check_server(connection)
            applied = _applied(connection)
        if not applied:
            self.upgrade()
        else:
            migrate.check_applied("postgres", applied)
            migrate.refuse_outdated("postgres", applied, place_of(self.url))

    def _new_pool(self) -> ConnectionPool[psycopg.Connection[Row]]:
        return ConnectionPool(
            self.url,
            min_size=1,
            max_size=self._max_connections,
            kwargs={"autocommit": True, "prepare_threshold": 0, "connect_timeout": CONNECT_SECONDS},
            configure=_configure,
            num_workers=1,
            timeout=CONNECT_SECONDS,
            reconnect_timeout=1,
            name="segue",
            open=True,
        )

    def _get(self, pool: ConnectionPool[psycopg.Connection[Row]]) -> psycopg.Connection[Row]:
        # Asked anew every second: a pool that has given up on a server that is away tries again when it is asked.
        for tries_left in range(GET_TRIES - 1, -1, -1):
            try:
                return pool.getconn(timeout=GET_SECONDS)
            except PoolTimeout as error:
                if not tries_left:
                    raise StoreUnavailableError(
                        f"No connection to PostgreSQL within {GET_TRIES * GET_SECONDS:g} s ({error}). "
                        "Is the server up, and does it allow another connection?"
                    ) from error
        raise AssertionError("unreachable")


class PostgresWaker:
    """LISTENs for the notifications that `wake` sends. `fd` is readable when one has come."""

    poll_seconds = 1.0

    def __init__(self, connection: psycopg.Connection[Any]) -> None:
        self._connection = connection
        self.fd: int | None = connection.fileno()

    def woken(self) -> bool:
        """True when notifications came since the last look."""
        with translated("the notification connection"):
            return any(True for _ in self._connection.notifies(timeout=0))

    def close(self) -> None:
        """Close the connection."""
        self._connection.close()


def _configure(connection: psycopg.Connection[Row]) -> None:
    connection.execute(_SETTINGS, prepare=False)


def _check_server(connection: psycopg.Connection[Any]) -> None:
    if connection.info.server_version < 130000:
        raise ConfigError(
            f"Segue needs PostgreSQL 13 or newer, this server is {connection.info.server_version // 10000}. Upgrade it."
        )


def _applied(connection: psycopg.Connection[Any]) -> dict[int, str]:
    if connection.execute("SELECT to_regclass('segue_schema')").fetchone() == (None,):
        return {}
    return dict(connection.execute("SELECT version, checksum FROM segue_schema").fetchall())


def _in_transaction(connection: psycopg.Connection[Any]) -> bool:
    return connection.info.transaction_status != psycopg.pq.TransactionStatus.IDLE


def _abandon(connection: psycopg.Connection[Any], wire: Wire) -> None:
    """Roll back; a connection that cannot is closed, and the pool replaces it."""
    try:
        wire.rollback()
    except psycopg.Error:
        connection.close()
