"""Databases that exist only for a measurement.

Promises: an existing database is never written to. For SQLite a folder is created, beside the file that a URL names or
in the folder for temporary files. For PostgreSQL a database is created beside the one that a URL names. Both are
removed.
"""

from __future__ import annotations

import os
import re
import secrets
import shutil
import sqlite3
import tempfile
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

from segue.config import install_command, without_password
from segue.errors import ConfigError
from segue.store import names_postgres
from segue.store.sqlite_path import names_sqlite, path_of

SQLITE = "sqlite"
POSTGRES = "postgres"


class Scratch:
    """A scratch database. `run_sql` is for filling it, which the store's own statements do not support."""

    def __init__(self, dialect: str, url: str, folder: Path) -> None:
        self.dialect = dialect
        self.url = url
        self.folder = folder  # for files that belong to it; for SQLite on the same disk

    def run_sql(self, *statements: str) -> list[tuple[Any, ...]]:
        """Run statements one by one, each in its own transaction; returns the rows of the last."""
        if self.dialect == SQLITE:
            with closing(sqlite3.connect(path_of(self.url), isolation_level=None, timeout=60)) as connection:
                return [connection.execute(statement).fetchall() for statement in statements][-1]
        return run_on_server(self.url, *statements)


class Site:
    """Where scratch databases are created: a folder for SQLite files, or a PostgreSQL server."""

    def __init__(self, url: str | None) -> None:
        if url and not names_sqlite(url) and not names_postgres(url):
            raise ConfigError(
                f"{without_password(url)!r} is not a database that can be measured. Give postgresql://user@host/name, "
                "where the user may create databases, or sqlite:////folder/any.db for a scratch file in that folder."
            )
        self.dialect = POSTGRES if url and names_postgres(url) else SQLITE
        self._url = url
        self._parent = path_of(url).parent if url and self.dialect == SQLITE else None

    @property
    def name(self) -> str:
        """The display name of this kind of database."""
        return "SQLite" if self.dialect == SQLITE else "PostgreSQL"

    def describe(self) -> str:
        """Its version, and the settings that decide how durable a commit is."""
        if self.dialect == SQLITE:
            return f"SQLite {sqlite3.sqlite_version}, WAL, synchronous=FULL"
        row = run_on_server(
            self._url,
            "SELECT current_setting('server_version'), current_setting('fsync'), current_setting('synchronous_commit')",
        )[0]
        return f"PostgreSQL {row[0].split()[0]}, fsync {row[1]}, synchronous_commit {row[2]}"

    @contextmanager
    def scratch(self) -> Iterator[Scratch]:
        """Create an empty database, removed at the end of the block."""
        folder = Path(tempfile.mkdtemp(prefix="segue-bench-", dir=self._parent))
        try:
            if self.dialect == SQLITE:
                yield Scratch(SQLITE, f"sqlite:///{folder / 'bench.db'}", folder)
            else:
                with _database(str(self._url)) as url:
                    yield Scratch(POSTGRES, url, folder)
        finally:
            shutil.rmtree(folder, ignore_errors=True)


@contextmanager
def _database(server_url: str) -> Iterator[str]:
    name = f"segue_bench_{os.getpid()}_{secrets.token_hex(3)}"
    run_on_server(server_url, f"CREATE DATABASE {name}")
    try:
        yield _beside(server_url, name)
    finally:
        run_on_server(server_url, f"DROP DATABASE IF EXISTS {name} WITH (FORCE)")


def _beside(url: str, name: str) -> str:
    """The URL of another database on the same server, parsed by libpq, since a password may have any character."""
    scheme, mark, rest = url.partition("://")
    if not mark:
        return f"{url} dbname={name}"
    found = re.match(r"[^@/]*@", rest)
    user = found[0] if found else ""
    place, question, query = rest[len(user) :].partition("?")
    return f"{scheme}://{user}{place.partition('/')[0]}/{name}{question}{query}"


def run_on_server(url: str | None, *statements: str) -> list[tuple[Any, ...]]:
    """Run statements one by one on PostgreSQL, each in its own transaction; returns the rows of the last."""
    try:
        import psycopg  # noqa: PLC0415 - optional: SQLite is measured without it
    except ImportError as error:
        raise ConfigError(f"PostgreSQL needs psycopg ({error}). Run: {install_command('postgres')}") from error
    from segue.store.postgres_address import address_of  # noqa: PLC0415 - needs psycopg, too
    from segue.store.postgres_errors import silence  # noqa: PLC0415 - needs psycopg, too

    address = address_of(str(url))
    rows: list[tuple[Any, ...]] = []
    try:
        with psycopg.connect(address.lent, autocommit=True) as connection:
            for statement in statements:
                cursor = connection.execute(statement.encode())
                rows = cursor.fetchall() if cursor.description else []
    except psycopg.Error as error:
        if address.has_doubtful_password:
            silence(error)
        raise ConfigError(
            f"{address.place} refused what measuring needs: {str(error).strip()}. "
            "Name a running server, and a user who may create databases."
        ) from error
    return rows
