"""psycopg's errors as Segue's, in one place, each with what to do."""

from __future__ import annotations

import errno
from collections.abc import Iterator
from contextlib import contextmanager
from urllib.parse import urlsplit

import psycopg
from psycopg import errors as pg

from segue.errors import (
    SchemaError,
    StoreConflictError,
    StoreError,
    StoreFullError,
    StoreReadOnlyError,
    StoreUnavailableError,
)


@contextmanager
def translated(url: str) -> Iterator[None]:
    """Raise `segue.errors` for what psycopg raises inside the block."""
    try:
        yield
    except psycopg.Error as error:
        raise _translate(error, place_of(url)) from error


def _translate(error: psycopg.Error, where: str) -> StoreError:
    text = str(error).strip() or type(error).__name__
    match error:
        case pg.DeadlockDetected() | pg.SerializationFailure():
            return StoreConflictError(f"PostgreSQL ended a transaction on {where} in favour of another: {text}")
        case pg.ReadOnlySqlTransaction() | pg.InsufficientPrivilege():
            return StoreReadOnlyError(
                f"{where} cannot be written: {text}. Connect to the primary server, as a user who may write."
            )
        case pg.DiskFull():
            return StoreFullError(errno.ENOSPC, f"The disk of {where} is full: {text}. Free space; nothing was written")
        case pg.UndefinedTable() | pg.UndefinedColumn():
            return SchemaError(f"{where} lacks tables or columns of Segue: {text}. Run: segue db check")
        case pg.InvalidCatalogName():
            return StoreUnavailableError(f"{where}: {text}. Create the database (createdb), or correct the URL.")
        case pg.InvalidPassword() | pg.InvalidAuthorizationSpecification():
            return StoreUnavailableError(f"{where} refused the login: {text}. Correct the user or password in the URL.")
        case pg.TooManyConnections():
            return StoreUnavailableError(
                f"{where} has no connection left: {text}. Raise max_connections, or use fewer processes."
            )
        case pg.QueryCanceled():
            return StoreError(f"{where} cancelled a statement: {text}")
        case psycopg.OperationalError() if error.sqlstate is None and " does not exist" in text:
            return StoreUnavailableError(f"{where}: {text}. Create it (createdb, createuser), or correct the URL.")
        case psycopg.OperationalError() if error.sqlstate is None and "authentication failed" in text:
            return StoreUnavailableError(f"{where} refused the login: {text}. Correct the user or password in the URL.")
        case psycopg.OperationalError() | psycopg.InterfaceError():
            return StoreUnavailableError(f"{where} cannot be reached, or the connection broke: {text}")
        case _:
            return StoreError(f"{where} refused a statement: {text}")


def place_of(url: str) -> str:
    """The URL without its password."""
    parts = urlsplit(url)
    if not parts.scheme:
        return url
    return f"{parts.hostname or 'local PostgreSQL'}{f':{parts.port}' if parts.port else ''}{parts.path}"
