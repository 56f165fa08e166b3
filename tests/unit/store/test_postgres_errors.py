"""Which errors of PostgreSQL are for good: those that are about the values, and no others, whatever code comes."""

from __future__ import annotations

import psycopg
import pytest
from hypothesis import given
from hypothesis import strategies as st
from psycopg import errors as pg

from segue.errors import (
    PASSING_ERRORS,
    SchemaError,
    SegueError,
    StoreBusyError,
    StoreConflictError,
    StoreError,
    StoreFullError,
    StoreInterruptedError,
    StoreReadOnlyError,
    StoreUnavailableError,
)
from segue.store.postgres_address import address_of
from segue.store.postgres_errors import LostSessionError, code_of, translated, translation

CODES = sorted(
    {
        kind.sqlstate: kind
        for kind in vars(pg).values()
        if isinstance(kind, type) and isinstance(getattr(kind, "sqlstate", None), str)
    }.items()
)
ADDRESS = address_of("postgresql://me@db.example:5432/shop")
ABOUT_THE_VALUES = {
    "21": "cardinality", "22": "data", "23": "integrity", "44": "check option", "54": "program limits",
}  # fmt: skip
"""The classes of the standard whose errors say that a row can never be written."""


def raised(error: Exception) -> SegueError:
    with pytest.raises(SegueError) as caught, translated(ADDRESS):
        raise error
    return caught.value


@pytest.mark.parametrize("code, kind", CODES, ids=[code for code, _ in CODES])
def test_only_what_is_about_the_values_is_for_good(code: str, kind: type[psycopg.Error]) -> None:
    found = raised(kind("as the server says it"))
    assert isinstance(found, StoreError)
    if code[:2] in ABOUT_THE_VALUES:
        assert type(found) is StoreError
    elif code in ("42P01", "42703"):
        assert isinstance(found, SchemaError)
    else:
        assert isinstance(found, PASSING_ERRORS)
    assert "db.example:5432/shop" in str(found) or isinstance(found, StoreConflictError)
    assert "as the server says it" in str(found)


@given(code=st.text("0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ", min_size=5, max_size=5))
def test_a_code_of_the_next_version_is_judged_by_its_class(code: str) -> None:
    class UnknownError(Exception):
        sqlstate = code

    found = translation(UnknownError("new"), code_of(UnknownError("new")), "here")
    assert isinstance(found, PASSING_ERRORS) == (
        code[:2] not in ABOUT_THE_VALUES and code not in ("42P01", "42703")
    )  # fmt: skip


@pytest.mark.parametrize(
    "error, kind",
    [
        (pg.QueryCanceled("canceling statement due to statement timeout"), StoreBusyError),
        (pg.QueryCanceled("canceling statement due to user request"), StoreInterruptedError),
        (pg.LockNotAvailable("canceling statement due to lock timeout"), StoreBusyError),
        (pg.IdleInTransactionSessionTimeout("terminating connection"), StoreUnavailableError),
        (pg.TransactionTimeout("terminating connection"), StoreUnavailableError),
        (pg.AdminShutdown("terminating connection"), StoreUnavailableError),
        (pg.CannotConnectNow("the database system is starting up"), StoreUnavailableError),
        (pg.TooManyConnections("sorry, too many clients already"), StoreUnavailableError),
        (pg.OutOfMemory("out of shared memory"), StoreInterruptedError),
        (pg.DiskFull("could not extend file"), StoreFullError),
        (pg.IoError("could not read block"), StoreInterruptedError),
        (pg.InternalError_("cache lookup failed"), StoreInterruptedError),
        (pg.ReadOnlySqlTransaction("cannot execute INSERT"), StoreReadOnlyError),
        (pg.InsufficientPrivilege("permission denied"), StoreReadOnlyError),
        (pg.DeadlockDetected("deadlock detected"), StoreConflictError),
        (pg.InvalidSqlStatementName('prepared statement "segue_1" does not exist'), StoreUnavailableError),
        (pg.FeatureNotSupported("cached plan must not change result type"), StoreInterruptedError),
        (LostSessionError("gone"), StoreUnavailableError),
        (psycopg.OperationalError("server closed the connection unexpectedly"), StoreUnavailableError),
        (psycopg.InterfaceError("the connection is closed"), StoreUnavailableError),
        (psycopg.InternalError("unexpected"), StoreInterruptedError),
        (psycopg.DataError("cannot dump"), StoreError),
        (psycopg.ProgrammingError("cannot adapt type 'Thing'"), StoreError),
    ],
    ids=lambda value: value.__name__ if isinstance(value, type) else f"{type(value).__name__}: {value}",
)
def test_each_is_said_as_what_it_is(error: psycopg.Error, kind: type[StoreError]) -> None:
    assert type(raised(error)) is kind


@pytest.mark.parametrize("code", ["26000", "42P05"])
def test_lost_statements_name_the_pooler_and_the_remedy(code: str) -> None:
    found = str(translation(Exception("gone"), code, "here"))
    assert "PgBouncer" in found
    assert "pool_mode = session" in found


def test_another_drivers_code_counts_as_well() -> None:
    class OfPsycopg2Error(Exception):
        pgcode = "23505"

    assert code_of(OfPsycopg2Error()) == "23505"
    assert code_of(ValueError("no database at all")) is None
