"""Segue's own sessions on a PostgreSQL server: their settings, and how long they wait.

Invariant: no setting of a server, a database, a role or a URL changes what a statement of Segue means. Every setting
that could is set here. So is the schema: the first session finds it along its search_path, and every later session uses
only that schema.

Every wait has an end. For a lock: `lock_timeout`. For a statement: `statement_timeout`. For a transaction of a frozen
process: `idle_in_transaction_session_timeout`, after which the server rolls it back and releases its locks. For an
answer that does not come: see `postgres_silence`.
"""

from __future__ import annotations

import os
import select
import time
import uuid
from typing import Any

import psycopg
from psycopg import errors, generators, pq

from segue.errors import ConfigError
from segue.store.postgres_address import Address
from segue.store.postgres_silence import bounded, is_working
from segue.store.postgres_wire import Pristine, Wire
from segue.store.protocol import Row

LOCK_SECONDS = 5.0
IDLE_IN_TRANSACTION_SECONDS = 4.0  # shorter, so that waiters get the lock of a frozen process in time
STATEMENT_SECONDS = 60.0

MEANINGS = {  # settings that decide what a statement means
    "DateStyle": "'ISO, YMD'",
    "IntervalStyle": "'postgres'",
    "TimeZone": "'UTC'",
    "array_nulls": "on",
    "backslash_quote": "safe_encoding",
    "bytea_output": "'hex'",
    "extra_float_digits": "1",
    "standard_conforming_strings": "on",
    "transform_null_equals": "off",
    "xmloption": "content",
    "row_security": "on",
}
_TRANSACTIONS = {
    "default_transaction_isolation": "'read committed'",
    "default_transaction_deferrable": "off",
    "synchronous_commit": "on",
    "exit_on_error": "off",
    "client_min_messages": "warning",
    "check_function_bodies": "on",
}
PLANS = {  # each statement is planned once, with indexes only, while the tables are still empty
    "plan_cache_mode": "force_generic_plan",
    "jit": "off",
    "enable_seqscan": "off",
    "enable_hashjoin": "off",
    "enable_mergejoin": "off",
    "enable_indexscan": "on",
    "enable_indexonlyscan": "on",
    "enable_bitmapscan": "on",
    "enable_nestloop": "on",
    "enable_sort": "on",
    "enable_hashagg": "on",
    "from_collapse_limit": "8",
    "join_collapse_limit": "8",
    "geqo": "on",
    # A helper process takes longer to start than most reads take, on a busy server much longer.
    "parallel_setup_cost": "100000",
}
# Never a temporary schema, even if it comes first. Every name is qualified: the search_path is not ours yet.
FIND_SCHEMA = """
SELECT (SELECT u.name FROM pg_catalog.unnest(pg_catalog.current_schemas(false)) WITH ORDINALITY AS u (name, place)
        WHERE pg_catalog.left(u.name, 3) <> 'pg_'
        ORDER BY pg_catalog.to_regclass(pg_catalog.quote_ident(u.name) || '.segue_schema') IS NULL, u.place LIMIT 1),
    pg_catalog.current_setting('search_path')
"""
_SINCE = {"idle_session_timeout": 140000, "transaction_timeout": 170000}
OLDEST_VERSION = 130000


def waits(*, lock: float, idle: float, statement: float, version: int) -> dict[str, str]:
    """The settings that end waits after these seconds (0: never), for a server of this version."""
    found = {
        "lock_timeout": f"{lock * 1000:.0f}",
        "idle_in_transaction_session_timeout": f"{idle * 1000:.0f}",
        "statement_timeout": f"{statement * 1000:.0f}",
        "idle_session_timeout": "0",
        "transaction_timeout": "0",
    }
    return {name: value for name, value in found.items() if version >= _SINCE.get(name, 0)}


class Session(psycopg.Connection[Row]):
    """One of Segue's own connections. It never waits forever, and knows whether it has changed."""

    address: Address
    wire: Wire
    line: select.poll  # tells whether something has arrived
    schema: str
    pid = 0  # of the server's process; a pooler reports its own in `info.backend_pid`
    is_long = False  # its statements may take any time
    database = ""  # the name of the database
    is_pooled = False  # a pooler with sessions of its own is in between
    mark = ""  # set in the server's session, to recognise another session behind a pooler
    made_at = 0.0
    generation = 0
    idle_since = 0.0

    def __del__(self, _: Any = None) -> None:
        """Does nothing: psycopg would warn. libpq closes the line, and only in the process that opened it."""

    def wait(self, gen: Any, *args: Any, **kwargs: Any) -> Any:
        """Wait for an answer as long as the server works on it."""
        try:
            return super().wait(bounded(gen, self._is_working, has_limit=not self.is_long), *args, **kwargs)
        except psycopg.OperationalError as error:
            if error.sqlstate is None:
                self.close()
            raise

    def close(self) -> None:
        """Close the line if this process opened it."""
        if self._of_process == os.getpid():
            super().close()

    def is_sound(self) -> bool:
        """False if the server ended the connection while it was idle; costs a system call."""
        if self.closed:
            return False
        if not self.line.poll(0):
            return True
        try:  # a notice, or the end
            self.run("SELECT")
        except psycopg.Error:
            return False
        return True

    def run(self, text: str) -> list[Any]:
        """Send statements as one message, and return libpq's results."""
        self.pgconn.send_query(text.encode())
        results: list[Any] = self.wait(generators.execute(self.pgconn))
        for result in results:
            if result.status == pq.ExecStatus.FATAL_ERROR:
                raise errors.error_from_result(result)
        return results

    _of_process = 0

    def _is_working(self) -> bool:
        return is_working(self.address.ours, self.pid or self.info.backend_pid)


def open_session(address: Address, schema: str | None = None, *, is_long: bool = False) -> Session:
    """Connect and set everything up. Finds the schema if it is None. `is_long`: statements may take any time."""
    session = Session.connect(address.ours, autocommit=True, prepare_threshold=None, context=Pristine())
    session.address, session._of_process, session.is_long = address, os.getpid(), is_long
    try:
        check_server(session)
        session.mark = uuid.uuid4().hex
        if schema is None:
            session.run(_set_up(session, is_long))
            schema = schema_of(session)
        session.schema = schema
        found = session.run(
            f"{_set_up(session, is_long)}; SET search_path = {search_path(schema)}; "
            "SELECT pg_backend_pid(), current_database()"
        )
        session.pid, session.database = int(found[-1].get_value(0, 0)), found[-1].get_value(0, 1).decode()
        session.is_pooled = session.pid != session.info.backend_pid
        session.wire = Wire(session)
        session.line = select.poll()
        session.line.register(session.pgconn.socket, select.POLLIN | select.POLLHUP | select.POLLERR)
        session.made_at = session.idle_since = time.monotonic()
    except BaseException:
        session.close()
        raise
    return session


def schema_of(connection: psycopg.Connection[Any]) -> str:
    """The schema for Segue's tables: the first one on the search_path that has them, otherwise its first."""
    found = connection.execute(FIND_SCHEMA).fetchone()
    assert found is not None
    return found_schema(*found)


def found_schema(schema: str | None, path: str) -> str:
    """The answer of FIND_SCHEMA. Raises ConfigError if there is no schema."""
    if schema is None:
        raise ConfigError(
            f"The search_path of this database's sessions is {path!r}, but no such schema exists or may be used. "
            "Create one (CREATE SCHEMA), or correct the search_path in the URL's options or of the role."
        )
    return schema


def quoted(name: str) -> str:
    """An identifier, quoted for SQL."""
    return '"' + name.replace('"', '""') + '"'


def search_path(schema: str) -> str:
    """The search_path that finds tables in one schema only: temporary ones come last."""
    return f"{quoted(schema)}, pg_temp"


def _set_up(session: Session, is_long: bool) -> str:
    version = session.info.server_version
    statement = 0 if is_long else STATEMENT_SECONDS
    idle = 0 if is_long else IDLE_IN_TRANSACTION_SECONDS
    ends = waits(lock=LOCK_SECONDS, idle=idle, statement=statement, version=version)
    settings = MEANINGS | _TRANSACTIONS | PLANS | ends | {"segue.session": f"'{session.mark}'"}
    return "; ".join(f"SET {name} = {value}" for name, value in settings.items())


def check_server(connection: psycopg.Connection[Any]) -> None:
    """Raise ConfigError if Segue cannot use the server or the database."""
    if connection.info.server_version < OLDEST_VERSION:
        raise ConfigError(
            f"Segue needs PostgreSQL 13 or newer, this server is {connection.info.server_version // 10000}. Upgrade it."
        )
    encoding = connection.info.parameter_status("server_encoding")
    if encoding != "UTF8":
        raise ConfigError(
            f"The database {connection.info.dbname!r} has the encoding {encoding}, which cannot store every text; "
            "Segue needs UTF8. Create a database for it: "
            "CREATE DATABASE ... ENCODING 'UTF8' TEMPLATE template0."
        )
