"""Finds the DBAPI connection inside what a caller passes as `connection=`.

Known by shape, so that neither library is imported: a DBAPI connection itself, a SQLAlchemy `Connection` or ORM
`Session`, Django's `django.db.connection`.
"""

from __future__ import annotations

from typing import Any

from segue.errors import ConfigError


def dbapi_connection(connection: Any) -> Any:
    """The DBAPI connection that `connection` is or wraps, in whose open transaction statements may run."""
    module = type(connection).__module__
    if module.startswith("sqlalchemy.ext.asyncio") or hasattr(connection, "run_sync"):
        raise ConfigError(
            "connection= is asynchronous; Segue's core is not. "
            "Inside `await connection.run_sync(...)` pass the synchronous connection that the function is given."
        )
    if module.startswith("sqlalchemy.orm"):
        connection = connection.connection()
        module = type(connection).__module__
    if module.startswith("sqlalchemy."):
        if not connection.in_transaction():
            connection.begin()
        return connection.connection.driver_connection
    if hasattr(connection, "ensure_connection"):  # Django's wrapper
        connection.ensure_connection()
        return connection.connection
    return connection
