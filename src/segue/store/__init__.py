"""Where all state lives: one SQL database behind a small interface.

`open_store(url)` returns a `Store`. A store opens transactions that run named statements (`statements/*.sql`). What the
statements mean for a run is up to the engine. The store translates driver errors into `segue.errors`.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from segue.config import install_command
from segue.errors import ConfigError

if TYPE_CHECKING:
    from segue.clock import Clock
    from segue.store.protocol import Store

_POSTGRES = re.compile(
    r"postgres(ql)?(\+\w+)?://|\w*(host|hostaddr|port|dbname|user|password|service|_timeout|sslmode|options)\s*=",
    re.IGNORECASE,
)
"""A URL, or the `name=value` pairs that libpq takes as well."""


def names_postgres(url: str) -> bool:
    """True for text that is meant to be a PostgreSQL address, even if it is malformed."""
    return _POSTGRES.match(url) is not None


def open_store(url: str, *, clock: Clock | None = None) -> Store:
    """The store behind `url`. Connects to nothing before the first transaction.

    `sqlite:///file.db` is relative to the current working directory, `sqlite:////var/lib/segue.db` is absolute.
    `postgresql://user@host:5432/name` is a PostgreSQL database (needs `pip install segue[postgres]`), in any form that
    libpq or SQLAlchemy accepts (`postgresql+psycopg://`).

    `clock` replaces the database's clock, for tests.
    """
    scheme = url.partition("://")[0].lower()
    if scheme.partition("+")[0] == "sqlite" and "://" in url:
        from segue.store.sqlite import SqliteStore  # noqa: PLC0415 - each dialect loads its own driver only

        return SqliteStore(url, clock=clock)
    if names_postgres(url):
        try:
            from segue.store.postgres import PostgresStore  # noqa: PLC0415 - psycopg is optional
        except ImportError as error:
            raise ConfigError(
                f"PostgreSQL needs psycopg, which cannot be imported ({error}). Run: {install_command('postgres')}"
            ) from error
        return PostgresStore(url, clock=clock)
    if re.fullmatch(r"[a-z][a-z0-9+.-]*", scheme) and "://" in url:
        what = f"{scheme}://..."
    else:  # may be a URL that lacks its scheme, password and all
        what = repr(url) if re.fullmatch(r"[\w./ -]*", url) else "This text"
    raise ConfigError(
        f"{what} is not a database URL that Segue supports. "
        "Use sqlite:///segue.db, sqlite:////absolute/path.db or postgresql://user@host/name."
    )


def absolute_url(url: str) -> str:
    """Makes `url` usable by a process with another working directory."""
    from segue.store.sqlite_path import names_sqlite, path_of  # noqa: PLC0415 - only SQLite's files have paths

    return f"sqlite:///{path_of(url)}" if names_sqlite(url) else url
