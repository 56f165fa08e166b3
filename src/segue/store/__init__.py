"""Where all state lives: one SQL database behind one small seam.

`open_store(url)` gives a `Store`. A store opens transactions and speaks in named statements (`statements/*.sql`); what
the statements mean for a run is the engine's business. Driver errors leave here translated into `segue.errors`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from segue.errors import ConfigError

if TYPE_CHECKING:
    from segue.clock import Clock
    from segue.store.protocol import Store


def open_store(url: str, *, clock: Clock | None = None) -> Store:
    """The store behind `url`. Nothing is connected before the first transaction.

    `sqlite:///file.db` is relative to the working directory, `sqlite:////var/lib/segue.db` absolute;
    `postgresql://user@host:5432/name` is a PostgreSQL database (needs `pip install segue[postgres]`).
    """
    scheme = url.partition("://")[0]
    if scheme == "sqlite":
        from segue.store.sqlite import SqliteStore  # noqa: PLC0415 - each dialect loads its own driver only

        return SqliteStore(url, clock=clock)
    if scheme in {"postgresql", "postgres"}:
        try:
            from segue.store.postgres import PostgresStore  # noqa: PLC0415 - psycopg is optional
        except ImportError as error:
            raise ConfigError(
                f"{scheme}:// needs psycopg, which cannot be imported ({error}). Run: pip install 'segue[postgres]'"
            ) from error
        return PostgresStore(url, clock=clock)
    raise ConfigError(
        f"{url!r} is not a database URL that Segue knows. "
        "Use sqlite:///segue.db, sqlite:////absolute/path.db or postgresql://user@host/name."
    )


def absolute_url(url: str) -> str:
    """`url` for a process that may have another working directory."""
    from pathlib import Path  # noqa: PLC0415 - takes a millisecond; only SQLite's files have paths

    scheme, _, path = url.partition(":///")
    return f"sqlite:///{Path(path).absolute()}" if scheme == "sqlite" else url
