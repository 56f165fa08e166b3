"""Translates sqlite3's errors into Segue's, in one place. Each message says what to do.

Every error is treated as temporary, so that no work is given up, unless it says that this row can never be written.
"""

from __future__ import annotations

import errno
import sqlite3
from pathlib import Path
from typing import NoReturn

from segue.errors import (
    SchemaError,
    StoreBusyError,
    StoreError,
    StoreFullError,
    StoreReadOnlyError,
    StoreUnavailableError,
)

_ABOUT_THE_ROW = ("SQLITE_CONSTRAINT", "SQLITE_TOOBIG", "SQLITE_MISMATCH", "SQLITE_RANGE")
_LOCKED = ("SQLITE_BUSY", "SQLITE_LOCKED", "SQLITE_PROTOCOL")
_BROKEN = ("SQLITE_NOTADB", "SQLITE_CORRUPT", "SQLITE_IOERR", "SQLITE_CANTOPEN", "SQLITE_READONLY", "SQLITE_MISUSE")


def code_of(error: sqlite3.Error) -> str:
    """SQLite's own name of the error, such as SQLITE_BUSY; empty for an error of Python's driver."""
    return getattr(error, "sqlite_errorname", "") or ""


def spoils(error: sqlite3.Error) -> bool:
    """Whether the connection with this error should be replaced."""
    return code_of(error).startswith(_BROKEN) or (not code_of(error) and isinstance(error, sqlite3.ProgrammingError))


def waits_for_lock(error: sqlite3.Error) -> bool:
    """Whether another connection holds the lock."""
    return code_of(error).startswith(_LOCKED)


def raise_ours(error: sqlite3.Error, path: Path, busy_seconds: float, *, is_first: bool = False) -> NoReturn:
    """Raise Segue's error for `error`. `is_first`: the file has not been used before, so it may be the wrong one."""
    code = code_of(error)
    text = str(error)
    if code == "SQLITE_BUSY_SNAPSHOT":
        raise StoreBusyError(
            f"The transaction on {path} read before another process wrote, so it can no longer write. Roll back, and "
            "begin with BEGIN IMMEDIATE."
        ) from error
    if code.startswith(_LOCKED):
        raise StoreBusyError(
            f"{path} stayed locked by another process for {busy_seconds:g} s. "
            "Find the long transaction on it (a backup, an open database shell, a transactional task, a second "
            "connection of this program), end it, and try again."
        ) from error
    if code == "SQLITE_READONLY_DBMOVED":
        raise StoreUnavailableError(f"{path} was removed or replaced while it was in use. Put it back.") from error
    if code.startswith("SQLITE_READONLY") or code == "SQLITE_PERM":
        raise StoreReadOnlyError(
            f"{path} cannot be written ({text}). Give this user write permission on the file and on its folder."
        ) from error
    if code.startswith("SQLITE_FULL"):
        raise StoreFullError(
            errno.ENOSPC, f"The disk that holds {path} is full ({text}). Free space and go on"
        ) from error
    if code.startswith("SQLITE_CANTOPEN"):
        raise StoreUnavailableError(f"{path} cannot be opened: {_why_not(path)}.") from error
    if code.startswith(("SQLITE_NOTADB", "SQLITE_CORRUPT")):
        kind = StoreError if is_first else StoreUnavailableError
        raise kind(
            f"{path} is not a sound SQLite database ({text}). Restore a backup, or name another file."
        ) from error
    if code.startswith("SQLITE_IOERR"):
        raise StoreUnavailableError(f"Reading or writing {path} failed ({text}). Check the disk.") from error
    if "no such table: segue_" in text or "no such column" in text:
        raise SchemaError(f"{path} lacks tables or columns of Segue ({text}). Run: segue db check") from error
    if (
        code.startswith(_ABOUT_THE_ROW)
        or text.startswith("Error binding parameter")
        or isinstance(error, sqlite3.IntegrityError | sqlite3.DataError)
    ):
        raise StoreError(f"SQLite refused a row for {path}: {text} ({code or type(error).__name__}).") from error
    raise StoreUnavailableError(
        f"SQLite interrupted a statement on {path}: {text} ({code or type(error).__name__})."
    ) from error


def _is_about_the_row(error: sqlite3.Error, code: str) -> bool:
    if isinstance(error, sqlite3.IntegrityError | sqlite3.DataError) or code.startswith(_ABOUT_THE_ROW):
        return True
    return str(error).startswith("Error binding parameter")


def refuse_value(error: Exception) -> NoReturn:
    """Raise for a value that SQLite cannot store; Python's driver reports it with errors of other classes."""
    raise StoreError(
        f"SQLite cannot store a value: {error}. Integers have 64 bits; text must be valid Unicode."
    ) from error


def _why_not(path: Path) -> str:
    if not path.parent.exists():
        return "its folder does not exist"
    if path.is_dir():
        return "it is a folder. Name a file in it"
    return "check the permissions of the file and its folder"
