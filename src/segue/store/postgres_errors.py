"""Translates psycopg's errors into Segue's, in one place. Each message says what to do.

Promise: a database error is treated as temporary (`segue.errors.PASSING_ERRORS`) unless it says that these values can
never be written, or that Segue's tables are missing. So this file lists the permanent errors. An error that is not
listed, from this version of PostgreSQL or the next, is retried and costs no result.
"""

from __future__ import annotations

import errno
import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import psycopg

from segue.errors import (
    SchemaError,
    StoreBusyError,
    StoreConflictError,
    StoreError,
    StoreFullError,
    StoreInterruptedError,
    StoreReadOnlyError,
    StoreUnavailableError,
)
from segue.store.postgres_address import Address

PERMANENT_CLASSES = frozenset({"21", "22", "23", "44", "54"})
"""The first two characters of the codes that mean: these values can never be written. Rows of a batch that conflict,
data of the wrong type, constraints, checks of a view, values that are too large for an index or nested too deeply."""

MISSING_TABLES = frozenset({"42P01", "42703"})
SESSION_IS_SPOILT = frozenset({"0A000", "25006", "25P03", "25P04", "26000", "42P05"})
"""A session with such an error is closed: it stays read-only, was ended, or has lost its prepared statements."""

LOST_STATEMENTS = frozenset({"26000", "42P05"})
READ_ONLY = "25006"
_FULL = re.compile("too many (clients|connections)|connection slots are reserved|no more connections allowed")
_LOGIN = re.compile("authentication failed|not permitted to log in|no pg_hba.conf entry|no password supplied")
POOLER = (
    "A connection pooler in transaction mode is in between (PgBouncer's pool_mode = transaction): it gives each "
    "transaction another session. Set pool_mode = session for this database, or connect to PostgreSQL directly"
)


class LostSessionError(psycopg.OperationalError):
    """The session that answers is not the session that was set up."""


@contextmanager
def translated(address: Address) -> Iterator[None]:
    """Translate psycopg's errors inside the block into `segue.errors`."""
    try:
        yield
    except psycopg.Error as error:
        if address.has_doubtful_password:
            silence(error)
        raise translation(error, code_of(error), address.place) from error


def silence(error: BaseException | None) -> None:
    """Remove the text of an error and its causes: psycopg quotes the URL, and with it perhaps the password."""
    while error is not None:
        error.args = ("PostgreSQL cannot be reached. The driver's message is omitted: it may quote the password",)
        error = error.__cause__ or error.__context__


def code_of(error: Any) -> str | None:
    """The SQLSTATE of an error of any driver, if it has one."""
    code = getattr(error, "sqlstate", None) or getattr(error, "pgcode", None)
    return code if isinstance(code, str) else None


def is_full(error: Exception) -> bool:
    """Whether a server or a pooler refuses this user a further connection. Such an error has no code."""
    return _FULL.search(str(error)) is not None


def translation(error: Exception, code: str | None, where: str) -> StoreError:
    """Translate one error of a driver."""
    text = _said(error)
    if code is None:
        return _without_a_code(error, text, where)
    if code[:2] in PERMANENT_CLASSES:
        return StoreError(f"{where} can never store this value: {text}")
    if code in MISSING_TABLES:
        return SchemaError(f"{where} lacks tables or columns of Segue: {text}. Run: segue db check")
    return _passing(code, text, where)


def _said(error: Exception) -> str:
    """The server's message, on one line and without the excerpt of the statement."""
    told = getattr(error, "diag", None)
    primary = getattr(told, "message_primary", None)
    if primary:
        detail = getattr(told, "message_detail", None)
        return f"{primary} ({detail})" if detail else str(primary)
    return " ".join(str(error).split()) or type(error).__name__


def _without_a_code(error: Exception, text: str, where: str) -> StoreError:
    """Translate an error without a code: from the driver itself, or from libpq if no server answers."""
    if isinstance(error, LostSessionError):
        return StoreUnavailableError(f"{where} lost the settings of a session. {POOLER}.")
    if not isinstance(error, psycopg.OperationalError | psycopg.InterfaceError) and isinstance(error, psycopg.Error):
        if isinstance(error, psycopg.InternalError):
            return StoreInterruptedError(f"{where} interrupted a statement: {text}")
        return StoreError(f"{where} cannot accept this value: {text}")
    if " does not exist" in text:
        return StoreUnavailableError(f"{where}: {text}. Create it (createdb, createuser), or correct the URL.")
    if is_full(error):
        return _no_connection_left(text, where)
    if _LOGIN.search(text):
        return StoreUnavailableError(f"{where} refused the login: {text}. Correct the user or password in the URL.")
    return StoreUnavailableError(f"{where} cannot be reached, or the connection broke: {text}")


def _no_connection_left(text: str, where: str) -> StoreError:
    return StoreUnavailableError(
        f"{where} has no free connection: {text}. Raise the limit (max_connections, CONNECTION LIMIT), or use fewer "
        "processes."
    )


def _passing(code: str, text: str, where: str) -> StoreError:
    match code[:2], code:
        case _, "42501":
            return StoreReadOnlyError(
                f"{where} does not give its user this permission: {text}. Grant what docs/running.md lists under "
                "PostgreSQL. `segue db upgrade` creates the tables; run it as a user who may create them."
            )
        case "40", _:
            return StoreConflictError(f"PostgreSQL ended a transaction on {where} in favour of another: {text}")
        case _, "25006":
            return StoreReadOnlyError(
                f"{where} is read-only: {text}. Connect to the primary server, as a user who may write."
            )
        case _, "53100":
            return StoreFullError(errno.ENOSPC, f"The disk of {where} is full: {text}. Free space; nothing was written")
        case _, "53300":
            return _no_connection_left(text, where)
        case _, "55P03":
            return StoreBusyError(f"{where}: another session held a lock for too long: {text}. Nothing was written.")
        case _, "57014" if "timeout" in text:
            return StoreBusyError(f"{where} cancelled a statement: {text}. Nothing was written.")
        case _, "3D000":
            return StoreUnavailableError(f"{where}: {text}. Create the database (createdb), or correct the URL.")
        case "28", _:
            return StoreUnavailableError(f"{where} refused the login: {text}. Correct the user or password in the URL.")
        case _, "26000" | "42P05":
            return StoreUnavailableError(f"{where} lost the settings of a session ({text}). {POOLER}.")
        case "08", _:
            return StoreUnavailableError(f"{where} cannot be reached, or the connection broke: {text}")
        case _, "57P01" | "57P02" | "57P03" | "57P04" | "57P05" | "25P03" | "25P04":
            return StoreUnavailableError(f"{where} ended the connection: {text}")
        case _, "25P02":
            return StoreInterruptedError(
                f"{where}: the transaction had already failed ({text}). Roll it back and begin another."
            )
        case _:
            return StoreInterruptedError(f"{where} interrupted a statement (code {code}): {text}")
