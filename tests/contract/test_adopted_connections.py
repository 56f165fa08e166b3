"""A start on the caller's own PostgreSQL connection, whatever the caller made of it, and what cannot be joined."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from typing import Any

import psycopg
import psycopg2
import psycopg2.extras
import pytest
import sqlalchemy
from psycopg.rows import dict_row, namedtuple_row, scalar_row
from sqlalchemy.orm import Session, scoped_session, sessionmaker

from segue.errors import ConfigError, SegueError, StoreError, StoreInterruptedError
from segue.model import Ref
from tests.contract.odd_adapters import Nonsense, Shouting
from tests.contract.stage import Stage, connect, node, plan, value
from tests.servers import postgres

FLOW = plan(node("j", task=None, result=value("ä\\'{}")), node("a", 0), result=Ref(0))
SETTINGS = {
    "DateStyle": "SQL, DMY", "IntervalStyle": "sql_standard", "TimeZone": "Asia/Tokyo", "array_nulls": "off",
    "standard_conforming_strings": "off", "transform_null_equals": "on", "search_path": "pg_temp, elsewhere",
    "extra_float_digits": "-5",
}  # fmt: skip


@pytest.fixture
def database_url(postgres_url: str) -> str:
    return postgres_url


class Fussy(psycopg.Cursor[Any]):
    def execute(self, *args: Any, **kwargs: Any) -> Any:
        raise AssertionError("this cursor is for the caller alone")


def pairs(cursor: Any) -> Any:
    names = [column.name for column in cursor.description or []]
    return lambda values: dict(zip(names, values, strict=True))


def with_attributes(**attributes: Any) -> Callable[[str], Any]:
    def make(url: str) -> Any:
        connection = psycopg.connect(url)
        for name, what in attributes.items():
            setattr(connection, name, what)
        return connection

    return make


def with_adapters(url: str) -> Any:
    connection = psycopg.connect(url)
    for name in ("uuid", "text", "json", "jsonb", "int4", "int8", "timestamptz", "bool"):
        connection.adapters.register_loader(name, Nonsense)
    connection.adapters.register_dumper(str, Shouting)
    return connection


def with_settings(url: str) -> Any:
    connection = psycopg.connect(url)
    for name, what in SETTINGS.items():
        connection.execute("SELECT set_config(%s, %s, false)", (name, what))
    return connection


def in_latin1(url: str) -> Any:
    return psycopg.connect(url, client_encoding="latin1")


def of_psycopg2(**options: Any) -> Callable[[str], Any]:
    return lambda url: psycopg2.connect(url, **options)


def with_uuids_of_psycopg2(url: str) -> Any:
    connection = psycopg2.connect(url)
    psycopg2.extras.register_uuid(conn_or_curs=connection)
    return connection


def settings_of_psycopg2(url: str) -> Any:
    connection = psycopg2.connect(url)
    with connection.cursor() as cursor:
        for name, what in SETTINGS.items():
            cursor.execute("SELECT set_config(%s, %s, false)", (name, what))
    return connection


CALLERS: dict[str, Callable[[str], Any]] = {
    "dicts": with_attributes(row_factory=dict_row),
    "named tuples": with_attributes(row_factory=namedtuple_row),
    "scalars": with_attributes(row_factory=scalar_row),
    "pairs": with_attributes(row_factory=pairs),
    "own cursors": with_attributes(cursor_factory=Fussy, server_cursor_factory=psycopg.ServerCursor),
    "client cursors": with_attributes(cursor_factory=psycopg.ClientCursor),
    "prepares all": with_attributes(prepare_threshold=0),
    "prepares nothing": with_attributes(prepare_threshold=None),
    "serializable": with_attributes(isolation_level=psycopg.IsolationLevel.SERIALIZABLE),
    "adapters": with_adapters,
    "settings": with_settings,
    "latin1": in_latin1,
    "psycopg2": of_psycopg2(),
    "psycopg2, dicts": of_psycopg2(cursor_factory=psycopg2.extras.RealDictCursor),
    "psycopg2, named tuples": of_psycopg2(cursor_factory=psycopg2.extras.NamedTupleCursor),
    "psycopg2, uuids": with_uuids_of_psycopg2,
    "psycopg2, settings": settings_of_psycopg2,
}


@pytest.fixture(scope="module")
def lasting_url(postgres_server_url: str) -> Iterator[str]:
    """One database for all callers, with a table of our name in another schema."""
    url = postgres.create_database(postgres_server_url)
    with connect(url) as plain:
        plain.execute("CREATE SCHEMA elsewhere; CREATE TABLE elsewhere.segue_runs (id int)")
        plain.commit()
    yield url
    postgres.drop_database(url)


def all_settings(connection: Any) -> set[tuple[str, str]]:
    text = "SELECT name, setting FROM pg_settings WHERE name NOT LIKE 'transaction%'"
    if isinstance(connection, psycopg.Connection):
        cursor: Any = psycopg.Cursor(connection, row_factory=psycopg.rows.tuple_row)
        if connection.adapters.get_loader(psycopg.adapters.types["text"].oid, psycopg.pq.Format.TEXT) is Nonsense:
            return set()
    else:
        cursor = connection.cursor(cursor_factory=psycopg2.extensions.cursor)
    cursor.execute(text)
    return set(cursor.fetchall())


@pytest.mark.parametrize("caller", sorted(CALLERS))
def test_a_start_joins_whatever_the_caller_made_of_the_connection(lasting_url: str, caller: str) -> None:
    stage, connection = Stage(lasting_url), CALLERS[caller](lasting_url)
    before = all_settings(connection)
    for _ in range(7):  # often enough for psycopg to prepare, if it does
        first, again = (stage.engine.start([(FLOW, caller)], connection=connection)[0] for _ in range(2))
    assert first == again
    assert uuid.UUID(first)
    assert all_settings(connection) == before
    connection.rollback()
    assert stage.engine.start([(FLOW, caller)], connection=connection) != [first]
    connection.commit()
    [job] = stage.claim()
    assert job.run_id != first
    assert stage.statuses(job.run_id) == {"j": "succeeded", "a": "running"}
    connection.close()
    stage.close()


def test_inside_a_savepoint(stage: Stage) -> None:
    stage.start(FLOW)
    with psycopg.connect(stage.store.url) as connection:
        with connection.transaction():
            kept = stage.engine.start([(FLOW, None)], connection=connection)[0]
        with connection.transaction() as savepoint:
            undone = stage.engine.start([(FLOW, None)], connection=connection)[0]
            raise psycopg.Rollback(savepoint)
    assert set(stage.statuses(kept)) == {"j", "a"}
    with pytest.raises(LookupError):
        stage.run(undone)


def test_in_a_pipeline(stage: Stage) -> None:
    stage.start(FLOW)
    with psycopg.connect(stage.store.url) as connection, connection.pipeline():
        connection.execute("SELECT 1")
        started = stage.engine.start([(FLOW, None)], connection=connection)[0]
    assert set(stage.statuses(started)) == {"j", "a"}


# What cannot be joined ------------------------------------------------------------------------------------------------


def refused(stage: Stage, connection: Any) -> str:
    with pytest.raises(SegueError) as caught:
        stage.engine.start([(FLOW, None)], connection=connection)
    return str(caught.value)


def test_a_transaction_that_has_failed(stage: Stage) -> None:
    stage.start(FLOW)
    for driver in (psycopg, psycopg2):
        connection = driver.connect(stage.store.url)
        with pytest.raises(driver.Error):
            connection.cursor().execute("SELECT nonsense")
        with pytest.raises(StoreInterruptedError, match=r"had already failed.*Roll it back"):
            stage.engine.start([(FLOW, None)], connection=connection)
        connection.close()


def test_errors_of_any_driver_are_segues(stage: Stage) -> None:
    """The tables are gone, as they may be in another database."""
    stage.start(FLOW)
    with connect(stage.store.url) as plain:
        plain.execute("ALTER TABLE segue_runs RENAME TO segue_walks")
        plain.commit()
    for driver in (psycopg, psycopg2):
        connection = driver.connect(stage.store.url)
        with pytest.raises(StoreError, match="segue_runs"):
            stage.engine.start([(FLOW, None)], connection=connection)
        connection.close()
    with connect(stage.store.url) as plain:
        plain.execute("ALTER TABLE segue_walks RENAME TO segue_runs")
        plain.commit()


@pytest.mark.parametrize("driver", [psycopg, psycopg2])
def test_autocommit(stage: Stage, driver: Any) -> None:
    stage.start(FLOW)
    connection = driver.connect(stage.store.url)
    connection.autocommit = True
    assert "autocommit" in refused(stage, connection)
    connection.cursor().execute("BEGIN")
    assert len(stage.engine.start([(FLOW, None)], connection=connection)) == 1
    connection.close()
    assert "closed" in refused(stage, connection)


def test_asynchronous_ones(stage: Stage) -> None:
    async def ask() -> str:
        connection = await psycopg.AsyncConnection.connect(stage.store.url)
        try:
            return refused(stage, connection)
        finally:
            await connection.close()

    assert "asynchronous" in asyncio.run(ask())

    class Connection:
        __module__ = "asyncpg.connection"

        def cursor(self) -> None: ...

    assert "asynchronous" in refused(stage, Connection())


@contextmanager
def alchemy(stage: Stage) -> Iterator[sqlalchemy.Engine]:
    engine = sqlalchemy.create_engine(stage.store.url.replace("postgresql://", "postgresql+psycopg://"))
    yield engine
    engine.dispose()


def test_what_makes_connections_is_none(stage: Stage) -> None:
    stage.start(FLOW)
    with psycopg.connect(stage.store.url) as connection:
        for thing in (connection.cursor(), object(), 7, stage.store.url, {}):
            with pytest.raises(ConfigError, match="connection="):
                stage.engine.start([(FLOW, None)], connection=thing)


def test_sessions_of_sqlalchemy(stage: Stage) -> None:
    stage.start(FLOW)
    with alchemy(stage) as engine:
        for session in (Session(engine), scoped_session(sessionmaker(engine))):
            started = stage.engine.start([(FLOW, None)], connection=session)[0]
            session.commit()
            session.close()
            assert set(stage.statuses(started)) == {"j", "a"}


def test_another_database(stage: Stage, make_postgres_url: Callable[[], str]) -> None:
    """Also where that one has tables of Segue."""
    other = Stage(make_postgres_url())
    other.start(FLOW)
    for driver in (psycopg, psycopg2):
        connection = driver.connect(other.store.url)
        assert "that same database" in refused(stage, connection)
        connection.close()
    assert len(other.claim()) == 1
    other.close()


@pytest.mark.parametrize("text", ["a\0b", "€"])
def test_a_text_that_the_connection_cannot_take(stage: Stage, text: str) -> None:
    stage.start(FLOW)
    flow = plan(node("a"), name=text)
    with psycopg.connect(stage.store.url) as connection, pytest.raises(SegueError) if "\0" in text else nullcontext():
        stage.engine.start([(flow, None)], connection=connection)
    connection = psycopg2.connect(stage.store.url)
    connection.set_client_encoding("LATIN1")
    with pytest.raises(StoreError, match="cannot store this value"):
        stage.engine.start([(flow, None)], connection=connection)
    connection.close()
