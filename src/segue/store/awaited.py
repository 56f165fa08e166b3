"""Connections of asynchronous drivers, for code that is not asynchronous: asyncpg, psycopg and aiosqlite.

Ordinary code runs the statements of a start, one after another. For each of them it waits until the caller's event loop
has run the statement on the caller's connection. There are two ways to wait. A thread of `AsyncSegue` waits for the
loop, which runs in another thread. Code inside SQLAlchemy's `run_sync` is in the loop's own thread: it waits in a
greenlet, as SQLAlchemy's own drivers do.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Coroutine
from typing import Any, NamedTuple

from segue.errors import ConfigError

Wait = Callable[[Coroutine[Any, Any, Any]], Any]
"""Waits until the event loop has run a coroutine, and returns its value."""

PASS = (
    "Pass a connection of asyncpg, psycopg or aiosqlite, or SQLAlchemy's AsyncConnection or AsyncSession, in whose "
    "open transaction the run begins."
)
CLOSED = "connection= is closed. Pass the connection in whose open transaction the run begins."
_DRIVERS = frozenset({"asyncpg", "psycopg", "aiosqlite"})
_COROUTINE = 0x80 | 0x200  # flags of the code of `async def` functions (inspect.CO_COROUTINE, CO_ASYNC_GENERATOR)


class Awaited(NamedTuple):
    """A connection of an asynchronous driver, and how to wait for it."""

    connection: Any
    wait: Wait

    @property
    def driver(self) -> str:
        """The package of the driver: "asyncpg", "psycopg" or "aiosqlite". Raises ConfigError for any other."""
        for kind in type(self.connection).__mro__:
            package = kind.__module__.partition(".")[0]
            if package in _DRIVERS:
                return package
        raise ConfigError(f"connection= is asynchronous, of {type(self.connection).__module__}. {PASS}")


def is_asynchronous(connection: Any) -> bool:
    """Whether a connection, or something that has one, must be awaited."""
    if _is_of_sqlalchemy(connection) or hasattr(connection, "run_sync"):
        return True
    for name in ("commit", "execute", "fetch"):
        code = getattr(getattr(type(connection), name, None), "__code__", None)
        if code is not None and code.co_flags & _COROUTINE:
            return True
    return any(kind.__module__.startswith("asyncpg.") for kind in type(connection).__mro__)


async def driver_connection(connection: Any) -> Any:
    """The driver's connection of an asynchronous one, with SQLAlchemy's transaction begun. Raises ConfigError."""
    if not _is_of_sqlalchemy(connection):
        if hasattr(connection, "getconn") or hasattr(connection, "acquire"):
            raise ConfigError(f"connection= is a pool ({type(connection).__name__}). {PASS}")
        return connection
    if not hasattr(connection, "get_raw_connection") and hasattr(connection, "connection"):
        connection = await connection.connection()  # of a session
    if not hasattr(connection, "get_raw_connection"):
        raise ConfigError(
            f"connection= is SQLAlchemy's {type(connection).__name__}, which has no transaction of its own. {PASS}"
        )
    if not connection.in_transaction():
        await connection.begin()
    await connection.exec_driver_sql(BEGINS)
    return (await connection.get_raw_connection()).driver_connection


BEGINS = "SELECT 1"
"""SQLAlchemy begins a transaction of asyncpg only with the first statement."""


def awaited_in_greenlet(connection: Any) -> Awaited:
    """The asynchronous connection below a synchronous Connection of SQLAlchemy: this runs inside `run_sync`."""
    connection.exec_driver_sql(BEGINS)
    return Awaited(connection.connection.driver_connection, sys.modules["sqlalchemy.util"].await_only)


def _is_of_sqlalchemy(connection: Any) -> bool:
    return any(kind.__module__.startswith("sqlalchemy.ext.asyncio") for kind in type(connection).__mro__)
