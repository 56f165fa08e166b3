"""Databases that exist only while something is measured in them.

Promises: nothing is ever written into a database that was there before. For SQLite a folder is made, beside the file
that a URL names or among the temporary files; for PostgreSQL a database is made beside the one that a URL names. Both
are removed.
"""

from __future__ import annotations

import os
import secrets
import shutil
import sqlite3
import tempfile
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit, urlunsplit

from segue.errors import ConfigError

SQLITE = "sqlite"
POSTGRES = "postgres"


class Scratch:
    """A database of our own. `run_sql` is for filling it: the store's own statements have no business with that."""

    def __init__(self, dialect: str, url: str, folder: Path) -> None:
        self.dialect = dialect
        self.url = url
        self.folder = folder  # for whatever belongs to it; on the same disk, if it is SQLite

    def run_sql(self, *statements: str) -> list[tuple[Any, ...]]:
        """Run statements one by one, each committed by itself; returns the rows of the last."""
        if self.dialect == SQLITE:
            with closing(sqlite3.connect(urlsplit(self.url).path[1:], isolation_level=None, timeout=60)) as connection:
                return [connection.execute(statement).fetchall() for statement in statements][-1]
        return run_on_server(self.url, *statements)


class Site:
    """Where scratch databases are made: a folder for SQLite files, or a PostgreSQL server."""

    def __init__(self, url: str | None) -> None:
        scheme = urlsplit(url).scheme if url else SQLITE
        if scheme not in (SQLITE, "postgres", "postgresql"):
            raise ConfigError(
                f"{url!r} is not a database that can be measured. Give postgresql://user@host/name, where the user may "
                "create databases, or sqlite:////folder/any.db for a scratch file in that folder."
            )
        self.dialect = SQLITE if scheme == SQLITE else POSTGRES
        self._url = url
        self._parent = Path(urlsplit(url).path[1:] or ".").parent if url and self.dialect == SQLITE else None

    @property
    def name(self) -> str:
        """How people call this kind of database."""
        return "SQLite" if self.dialect == SQLITE else "PostgreSQL"

    def describe(self) -> str:
        """Its version, and what decides how durable a commit is."""
        if self.dialect == SQLITE:
            return f"SQLite {sqlite3.sqlite_version}, WAL, synchronous=FULL"
        row = run_on_server(
            self._url,
            "SELECT current_setting('server_version'), current_setting('fsync'), current_setting('synchronous_commit')",
        )[0]
        return f"PostgreSQL {row[0].split()[0]}, fsync {row[1]}, synchronous_commit {row[2]}"

    @contextmanager
    def scratch(self) -> Iterator[Scratch]:
        """A new, empty database, removed at the end of the block."""
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
        yield urlunsplit(urlsplit(server_url)._replace(path=f"/{name}"))
    finally:
        run_on_server(server_url, f"DROP DATABASE IF EXISTS {name} WITH (FORCE)")


def run_on_server(url: str | None, *statements: str) -> list[tuple[Any, ...]]:
    """Run statements one by one on PostgreSQL, each committed by itself; returns the rows of the last."""
    try:
        import psycopg  # noqa: PLC0415 - optional: SQLite is measured without it
    except ImportError as error:
        raise ConfigError(f"measuring on {url} needs psycopg ({error}). Run: pip install 'segue[postgres]'") from error
    rows: list[tuple[Any, ...]] = []
    try:
        with psycopg.connect(str(url), autocommit=True, connect_timeout=10) as connection:
            for statement in statements:
                cursor = connection.execute(statement.encode())
                rows = cursor.fetchall() if cursor.description else []
    except psycopg.Error as error:
        raise ConfigError(
            f"PostgreSQL at {url} would not do what measuring needs: {str(error).strip()}. "
            "Name a server that runs, and a user who may create databases."
        ) from error
    return rows
