"""Segue's statements on a connection of the caller, wherever it is open: it alone says which database that is.

`Store.adopt` is for a caller beside a store, and refuses a connection to another database. This is for a caller who has
only the connection, as in a test: its database may be in memory, and nothing else connects.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import Any

from segue.store.adopted import driver_of
from segue.store.protocol import Conversions, Transaction

PLACE = "the database of the connection"


@contextmanager
def statements_on(connection: Any, dialect: str, at: datetime) -> Iterator[Transaction]:
    """Statements in the transaction that the caller has open on `connection`, which only the caller ends.

    `at` is the time now. On SQLite missing tables are made. Raises ConfigError for a connection that cannot be used.
    """
    raw = driver_of(connection)
    if dialect == "sqlite":
        with _on_sqlite(raw, at) as tx:
            yield tx
        return
    from segue.store import postgres_adopted  # noqa: PLC0415 - psycopg is optional

    with postgres_adopted.adopted(postgres_adopted.adoptable(raw), None, None, PLACE) as tx:
        yield tx


def conversions_of(dialect: str) -> Conversions:
    """How a dialect binds values."""
    if dialect == "sqlite":
        from segue.store.sqlite_transaction import SqliteConversions  # noqa: PLC0415 - each dialect loads its own driver

        return SqliteConversions()
    from segue.store.postgres_transaction import PostgresConversions  # noqa: PLC0415 - psycopg is optional

    return PostgresConversions()


@contextmanager
def _on_sqlite(raw: Any, at: datetime) -> Iterator[Transaction]:
    import sqlite3  # noqa: PLC0415 - each dialect loads its own driver

    from segue.store.sqlite_errors import raise_ours  # noqa: PLC0415 - see above
    from segue.store.sqlite_joined import joined, patience_of, plain_connection  # noqa: PLC0415 - see above
    from segue.store.sqlite_transaction import SqliteTransaction, utc_text  # noqa: PLC0415 - see above

    plain = plain_connection(raw, PLACE)
    try:
        with joined(plain, None, utc_text(at)):
            yield SqliteTransaction(plain)
    except sqlite3.Error as error:
        raise_ours(error, Path(PLACE), patience_of(plain))
