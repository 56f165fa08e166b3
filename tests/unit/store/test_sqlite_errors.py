"""What SQLite's errors mean: all of them pass, but for those that say that this very row can never be written."""

from __future__ import annotations

import sqlite3
from pathlib import Path
from typing import Any

import pytest

from segue.errors import PASSING_ERRORS, SchemaError, StoreBusyError, StoreError, StoreFullError, StoreReadOnlyError
from segue.store import open_store
from segue.store.sqlite_errors import raise_ours

ABOUT_THE_ROW = ("SQLITE_CONSTRAINT", "SQLITE_TOOBIG", "SQLITE_MISMATCH", "SQLITE_RANGE")
CODES = [
    "SQLITE_ABORT", "SQLITE_ABORT_ROLLBACK", "SQLITE_AUTH", "SQLITE_BUSY", "SQLITE_BUSY_RECOVERY",
    "SQLITE_BUSY_SNAPSHOT", "SQLITE_BUSY_TIMEOUT", "SQLITE_CANTOPEN", "SQLITE_CANTOPEN_ISDIR", "SQLITE_CORRUPT",
    "SQLITE_CORRUPT_INDEX", "SQLITE_ERROR", "SQLITE_ERROR_SNAPSHOT", "SQLITE_FULL", "SQLITE_INTERNAL",
    "SQLITE_INTERRUPT", "SQLITE_IOERR", "SQLITE_IOERR_FSYNC", "SQLITE_IOERR_SHORT_READ", "SQLITE_IOERR_SHMMAP",
    "SQLITE_LOCKED", "SQLITE_LOCKED_SHAREDCACHE", "SQLITE_MISUSE", "SQLITE_NOLFS", "SQLITE_NOTADB", "SQLITE_NOTFOUND",
    "SQLITE_PERM", "SQLITE_PROTOCOL", "SQLITE_READONLY", "SQLITE_READONLY_DBMOVED", "SQLITE_READONLY_DIRECTORY",
    "SQLITE_SCHEMA", "SQLITE_CONSTRAINT", "SQLITE_CONSTRAINT_CHECK", "SQLITE_CONSTRAINT_NOTNULL", "SQLITE_TOOBIG",
    "SQLITE_CONSTRAINT_UNIQUE", "SQLITE_MISMATCH", "SQLITE_RANGE",
]  # fmt: skip


def meant(error: sqlite3.Error, code: str = "") -> StoreError:
    if code:
        error.sqlite_errorname = code
    with pytest.raises(StoreError) as caught:
        raise_ours(error, Path("/srv/segue.db"), 30.0)
    assert caught.value.__cause__ is error
    assert "/srv/segue.db" in str(caught.value)
    return caught.value


@pytest.mark.parametrize("code", CODES)
@pytest.mark.parametrize("kind", [sqlite3.OperationalError, sqlite3.DatabaseError])
def test_an_error_passes_unless_it_is_about_the_row(code: str, kind: type[sqlite3.Error]) -> None:
    assert isinstance(meant(kind("it broke"), code), PASSING_ERRORS) is not code.startswith(ABOUT_THE_ROW)


@pytest.mark.parametrize(
    "error, kind",
    [
        (sqlite3.ProgrammingError("Cannot operate on a closed database."), PASSING_ERRORS),
        (sqlite3.ProgrammingError("Error binding parameter 1: type 'dict' is not supported"), StoreError),
        (sqlite3.InterfaceError("bad parameter or other API misuse"), PASSING_ERRORS),
        (sqlite3.OperationalError("no such table: segue_runs"), SchemaError),
    ],
)
def test_an_error_without_a_code_is_known_by_its_words(error: sqlite3.Error, kind: Any) -> None:
    found = meant(error)
    assert isinstance(found, kind)
    assert isinstance(found, PASSING_ERRORS) is (kind is PASSING_ERRORS)


@pytest.mark.parametrize(
    "code, kind",
    [
        ("SQLITE_BUSY", StoreBusyError), ("SQLITE_LOCKED", StoreBusyError), ("SQLITE_FULL", StoreFullError),
        ("SQLITE_READONLY_DIRECTORY", StoreReadOnlyError),
    ],
)  # fmt: skip
def test_each_says_what_it_is(code: str, kind: type[StoreError]) -> None:
    assert type(meant(sqlite3.OperationalError("x"), code)) is kind


@pytest.mark.parametrize("value", [2**63, "\ud800"])
def test_a_value_that_cannot_be_held_is_about_the_row(tmp_path: Path, value: Any) -> None:
    store = open_store(f"sqlite:///{tmp_path}/x.db")
    with pytest.raises(StoreError, match="cannot store a value") as caught, store.transaction() as tx:
        tx.all("run_status", run_id=value)
    assert not isinstance(caught.value, PASSING_ERRORS)
    store.close()
