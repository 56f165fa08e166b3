"""Finds the driver's connection inside what a caller passes as `connection=`.

It recognises by its attributes, without importing a library: a DBAPI connection itself, a SQLAlchemy `Connection` or
ORM `Session`, Django's `django.db.connection`, and what `AsyncSegue` makes of an asynchronous connection. It refuses
anything else, and the error says what to pass instead.
"""

from __future__ import annotations

from typing import Any

from segue.errors import ConfigError
from segue.store.awaited import Awaited, awaited_in_greenlet, is_asynchronous


def driver_of(connection: Any) -> Any:
    """Return the driver's connection that `connection` is or wraps, in whose open transaction statements may run.

    An asynchronous one is `Awaited`. Raises ConfigError for anything else.
    """
    if isinstance(connection, Awaited):
        return connection
    _refuse_what_is_none(connection)
    module = type(connection).__module__
    try:
        if module.startswith("sqlalchemy."):
            return _of_sqlalchemy(connection)
        if hasattr(connection, "ensure_connection"):  # Django's wrapper
            connection.ensure_connection()
            return connection.connection
    except ConfigError:
        raise
    except Exception as error:
        raise ConfigError(f"connection= cannot be used: {type(error).__name__}: {error}") from error
    return connection


def _of_sqlalchemy(connection: Any) -> Any:
    is_session = type(connection).__module__.startswith("sqlalchemy.orm")
    if not hasattr(connection, "connection" if is_session else "in_transaction"):
        raise ConfigError(
            f"connection= is SQLAlchemy's {type(connection).__name__}, which has no transaction of its own. Pass a "
            "Connection (`with engine.begin() as connection:`) or a Session (`with Session(engine) as session:`)."
        )
    if is_session:
        connection = connection.connection()
    if not connection.in_transaction():
        connection.begin()
    if connection.dialect.is_async:
        return awaited_in_greenlet(connection)
    return connection.connection.driver_connection


def _refuse_what_is_none(connection: Any) -> None:
    kind = type(connection)
    if isinstance(connection, (str, bytes, int, float, list, tuple, dict, set, type)) or connection is None:
        raise ConfigError(
            f"connection= is a {kind.__name__}. Pass an open connection: of sqlite3, psycopg, SQLAlchemy or Django."
        )
    if is_asynchronous(connection):
        raise ConfigError(
            "connection= is asynchronous, and this Segue is not. Use `segue.AsyncSegue`, which takes it: "
            "`await segue.start(..., connection=connection)`."
        )
    if hasattr(connection, "getconn"):
        raise ConfigError(
            f"connection= is a pool ({kind.__name__}). Pass one of its connections: `with pool.connection() as "
            "connection:`."
        )
    if hasattr(connection, "fetchone") and hasattr(connection, "connection"):
        raise ConfigError("connection= is a cursor. Pass the connection that it belongs to: `cursor.connection`.")
