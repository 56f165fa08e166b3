"""PostgreSQL databases that have Segue's tables already, and are used again: making one takes longer than most tests.

The first one is made by Segue; the others are copies of it. A database that a test gives back is emptied if nothing but
rows has changed in it, and removed otherwise. So a test gets what it would find in a new database.
"""

from __future__ import annotations

import time
from typing import Any, NamedTuple

import psycopg

from segue.store import open_store
from tests.servers.postgres import create_database, database_of, drop_database

MOST_USES = 50
"""Deleted rows stay in the tables until they are vacuumed: a database that was used so often is replaced."""
LARGEST_BYTES = 1_000_000
"""A table that has grown larger than this would make the next test slower, or other plans for it."""
EXIT_GRACE_SECONDS = 0.3
"""How long a session may take to end after its client has closed it. One that stays belongs to somebody."""

CLEANER = "cleaner of the tests"
"""The name of the session that stays open on each database, because opening one takes longer than emptying the tables.
Tests that count sessions leave it out."""
SESSIONS = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()"
CATALOGS = (
    "pg_attrdef", "pg_attribute", "pg_class", "pg_constraint", "pg_default_acl", "pg_event_trigger", "pg_extension",
    "pg_index", "pg_largeobject_metadata", "pg_namespace", "pg_policy", "pg_proc", "pg_publication", "pg_rewrite",
    "pg_trigger", "pg_type",
)  # fmt: skip
STRUCTURE = (
    " UNION ALL ".join(
        # A row that was changed has the number of the transaction that changed it, which is the largest there is.
        [f"SELECT '{name}', concat(count(*), ' ', max(xmin::text::bigint)) FROM {name}" for name in CATALOGS]
    )
    + f"""
    UNION ALL SELECT 'settings', count(*)::text FROM pg_db_role_setting
        WHERE setdatabase = (SELECT oid FROM pg_database WHERE datname = current_database())
    UNION ALL SELECT 'rights', concat(datacl, datconnlimit, datallowconn) FROM pg_database
        WHERE datname = current_database()
    UNION ALL SELECT 'sequences', string_agg(concat(sequencename, last_value), ' ' ORDER BY sequencename)
        FROM pg_sequences
    UNION ALL SELECT 'statistics', count(*)::text FROM pg_class
        WHERE reltuples >= 0 AND relnamespace = 'public'::regnamespace
    UNION ALL SELECT 'large tables', count(*)::text FROM pg_class
        WHERE relkind = 'r' AND relnamespace = 'public'::regnamespace AND pg_relation_size(oid) > {LARGEST_BYTES}"""
)
TABLES = "SELECT tablename FROM pg_tables WHERE schemaname = 'public' ORDER BY tablename"


class _Blueprint(NamedTuple):
    """What a database with Segue's tables and without a run looks like."""

    tables: frozenset[str]
    structure: dict[str, str]
    rows: dict[str, str]
    """The contents of those tables that are not empty."""


class ReadyDatabases:
    """The ready databases of one server, for one process of the tests.

    Example::

        databases = ReadyDatabases(server_url)
        url = databases.take()
        databases.give_back(url)
        databases.close()
    """

    def __init__(self, server_url: str) -> None:
        self._server_url = server_url
        self._template: str | None = None
        self._blueprint: _Blueprint | None = None
        self._ready: list[str] = []
        self._uses: dict[str, int] = {}
        self._cleaners: dict[str, psycopg.Connection[Any]] = {}

    def take(self) -> str:
        """The URL of a database with Segue's tables and nothing in them."""
        url = self._ready.pop() if self._ready else self._make()
        self._uses[url] = self._uses.get(url, 0) + 1
        return url

    def give_back(self, url: str) -> None:
        """Take a database back, whatever was done to it."""
        if self._uses[url] < MOST_USES and self._is_as_new(url):
            self._ready.append(url)
        else:
            self._remove(url)

    def close(self) -> None:
        """Remove all databases that are not in use."""
        for url in [*self._ready, *([self._template] if self._template else [])]:
            self._remove(url)

    def _remove(self, url: str) -> None:
        if url in self._cleaners:
            self._cleaners.pop(url).close()
        drop_database(url)

    def _make(self) -> str:
        if self._template is None:
            self._template = create_database(self._server_url)
            store = open_store(self._template)
            store.upgrade()
            store.close()
        url = create_database(self._server_url, template=database_of(self._template))
        if self._blueprint is None:
            with psycopg.connect(url, autocommit=True) as connection:
                tables = [name for (name,) in connection.execute(TABLES)]
                rows = {name: text for name in tables if (text := _rows(connection, name))}
                self._blueprint = _Blueprint(frozenset(tables), dict(connection.execute(STRUCTURE).fetchall()), rows)
        return url

    def _is_as_new(self, url: str) -> bool:
        """Empty the database; False when that does not make it what it was."""
        try:
            cleaner = self._cleaner(url)
            return _is_left_alone(cleaner) and self._emptied(cleaner)
        except psycopg.OperationalError:
            return False

    def _cleaner(self, url: str) -> psycopg.Connection[Any]:
        """The session on this database that is kept; another one when the test has ended it."""
        try:
            self._cleaners[url].execute("SELECT 1")
        except (KeyError, psycopg.OperationalError):
            self._cleaners[url] = psycopg.connect(
                url, autocommit=True, application_name=CLEANER, prepare_threshold=None
            )
        return self._cleaners[url]

    def _emptied(self, connection: psycopg.Connection[Any]) -> bool:
        assert self._blueprint is not None
        before = self._blueprint
        tables = {name for (name,) in connection.execute(TABLES)}
        drops = [f'DROP TABLE "{name}";' for name in tables - before.tables]
        if drops:
            connection.execute("".join(drops).encode())
        if dict(connection.execute(STRUCTURE).fetchall()) != before.structure:
            return False
        connection.execute("".join(f'DELETE FROM "{name}";' for name in before.tables - before.rows.keys()).encode())
        return all(_rows(connection, name) == text for name, text in before.rows.items())


def _is_left_alone(connection: psycopg.Connection[Any]) -> bool:
    """Wait a moment for the sessions that were closed; False when one stays open."""
    deadline = time.monotonic() + EXIT_GRACE_SECONDS
    while connection.execute(SESSIONS).fetchone() != (0,):
        if time.monotonic() > deadline:
            return False
        time.sleep(0.005)
    return True


def _rows(connection: psycopg.Connection[Any], table: str) -> str:
    """All rows of a table as text."""
    found = connection.execute(f"SELECT string_agg(t::text, E'\\n' ORDER BY t::text) FROM \"{table}\" t".encode())
    text: str | None = found.fetchall()[0][0]
    return text or ""
