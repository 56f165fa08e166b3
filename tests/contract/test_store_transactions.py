"""Promise 12: a start on the caller's connection is all or nothing with the caller's own work."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import psycopg
import pytest
import sqlalchemy
from psycopg.rows import dict_row
from sqlalchemy.orm import Session

from segue.errors import ConfigError
from segue.model import Ref
from tests.contract.stage import Stage, connect, node, plan, value

# Joins, a condition and an empty plan: starting it runs every statement that a start can.
FLOWS = (plan(node("j", task=None, result=value(1)), node("a", 0), result=Ref(0)), plan(name="empty"))


class Caller:
    """Somebody's open transaction: what to pass as `connection=`, and how to write into it and end it."""

    def __init__(
        self, connection: Any, write: Callable[[str], Any], commit: Callable[[], Any], rollback: Callable[[], Any]
    ):
        self.connection = connection
        self.write = write
        self.commit = commit
        self.rollback = rollback


@contextmanager
def dbapi(url: str) -> Iterator[Caller]:
    with connect(url) as connection:
        yield Caller(connection, connection.execute, connection.commit, connection.rollback)


@contextmanager
def rows_as_mappings(url: str) -> Iterator[Caller]:
    with connect(url) as connection:
        connection.row_factory = sqlite3.Row if url.startswith("sqlite") else dict_row
        yield Caller(connection, connection.execute, connection.commit, connection.rollback)


@contextmanager
def explicit_block(url: str) -> Iterator[Caller]:
    """A connection in autocommit mode, with a transaction opened by hand."""
    if url.startswith("sqlite"):
        connection: Any = sqlite3.connect(url.removeprefix("sqlite:///"), isolation_level=None)
    else:
        connection = psycopg.connect(url, autocommit=True)
    connection.execute("BEGIN")
    execute = connection.execute
    yield Caller(connection, execute, lambda: execute("COMMIT"), lambda: execute("ROLLBACK"))
    connection.close()


def _alchemy_url(url: str) -> str:
    return url.replace("postgresql://", "postgresql+psycopg://", 1)


@contextmanager
def core(url: str) -> Iterator[Caller]:
    engine = sqlalchemy.create_engine(_alchemy_url(url))
    with engine.connect() as connection:
        yield Caller(
            connection, lambda sql: connection.execute(sqlalchemy.text(sql)), connection.commit, connection.rollback
        )
    engine.dispose()


@contextmanager
def orm(url: str) -> Iterator[Caller]:
    engine = sqlalchemy.create_engine(_alchemy_url(url))
    with Session(engine) as session:
        yield Caller(session, lambda sql: session.execute(sqlalchemy.text(sql)), session.commit, session.rollback)
    engine.dispose()


@contextmanager
def django(url: str) -> Iterator[Caller]:
    """Inside `transaction.atomic()`, as in a request."""
    from django.conf import settings
    from django.db.utils import ConnectionHandler

    if not settings.configured:
        settings.configure(USE_TZ=True)
    parts = sqlalchemy.engine.make_url(url)
    if url.startswith("sqlite"):
        database: dict[str, Any] = {"ENGINE": "django.db.backends.sqlite3", "NAME": parts.database}
    else:
        database = {
            "ENGINE": "django.db.backends.postgresql", "NAME": parts.database, "HOST": parts.host, "PORT": parts.port,
            "USER": parts.username, "PASSWORD": parts.password or "",
        }  # fmt: skip
    connection = ConnectionHandler({"default": database})["default"]
    connection.set_autocommit(False)
    with connection.cursor() as cursor:
        yield Caller(connection, cursor.execute, connection.commit, connection.rollback)
    connection.close()


CALLERS = [dbapi, rows_as_mappings, explicit_block, core, orm, django]


@pytest.fixture(params=CALLERS, ids=lambda caller: caller.__name__)
def caller(request: pytest.FixtureRequest, stage: Stage) -> Iterator[Caller]:
    with connect(stage.store.url) as connection:
        connection.execute("CREATE TABLE orders (id integer)")
        connection.commit()
    with stage.store.transaction():
        pass
    with request.param(stage.store.url) as caller:
        yield caller


def start(stage: Stage, caller: Caller, key: str | None = None) -> list[str]:
    return stage.engine.start([(flow, key) for flow in FLOWS], connection=caller.connection)


def orders(stage: Stage) -> int:
    with connect(stage.store.url) as connection:
        return len(connection.execute("SELECT id FROM orders").fetchall())


def test_a_commit_keeps_both(stage: Stage, caller: Caller) -> None:
    caller.write("INSERT INTO orders VALUES (1)")
    first, empty = start(stage, caller)
    caller.commit()
    assert orders(stage) == 1
    assert stage.statuses(first) == {"j": "succeeded", "a": "ready"}
    assert stage.run(empty).status == "succeeded"
    assert [job.name for job in stage.claim()] == ["a"]


def test_a_rollback_leaves_neither(stage: Stage, caller: Caller) -> None:
    caller.write("INSERT INTO orders VALUES (1)")
    start(stage, caller, key="k")
    caller.rollback()
    assert orders(stage) == 0
    with connect(stage.store.url) as connection:
        for table in ("runs", "steps"):
            assert connection.execute(f"SELECT count(*) FROM segue_{table}").fetchall() == [(0,)]
    fresh = stage.start(FLOWS[0], key="k")
    assert stage.run(fresh).status == "running" or stage.run(fresh).status == "pending"


def test_a_start_before_any_other_statement_joins_too(stage: Stage, caller: Caller) -> None:
    first, _ = start(stage, caller)
    caller.write("INSERT INTO orders VALUES (1)")
    with connect(stage.store.url) as connection:
        assert connection.execute("SELECT count(*) FROM segue_runs").fetchall() == [(0,)]
    caller.commit()
    assert orders(stage) == 1
    assert set(stage.statuses(first)) == {"j", "a"}


def test_a_key_is_honoured_inside_a_transaction(stage: Stage, caller: Caller) -> None:
    taken = [stage.start(flow, key="k") for flow in FLOWS]
    assert start(stage, caller, key="k") == taken
    caller.commit()


def test_what_the_caller_reads_afterwards_is_as_he_left_it(stage: Stage, caller: Caller) -> None:
    """A row factory, a cursor: nothing of the caller's connection is changed."""
    if not isinstance(caller.connection, (sqlite3.Connection, psycopg.Connection)):
        pytest.skip("a library stands between, which sets these itself")
    before = caller.connection.row_factory
    start(stage, caller)
    assert caller.connection.row_factory is before
    caller.commit()


# What cannot be joined ------------------------------------------------------------------------------------------------


def test_a_connection_to_another_database_is_refused(stage: Stage, fresh_url: Callable[[], str]) -> None:
    if stage.store.dialect == "postgres":
        pytest.skip("its own tables are missing there, which the server says itself")
    with connect(fresh_url()) as connection, pytest.raises(ConfigError, match="same file"):
        stage.engine.start([(FLOWS[0], None)], connection=connection)


def test_a_connection_of_another_kind_is_refused(stage: Stage) -> None:
    strange: Any = object() if stage.store.dialect == "sqlite" else sqlite3.connect(":memory:")
    with pytest.raises(ConfigError, match="connection= is a"):
        stage.engine.start([(FLOWS[0], None)], connection=strange)


def test_what_is_no_connection_is_refused_with_what_to_pass(stage: Stage) -> None:
    engine = sqlalchemy.create_engine(_alchemy_url(stage.store.url))
    with connect(stage.store.url) as connection:
        strange_ones: list[tuple[Any, str]] = [
            (engine, r"engine\.begin\(\)"), (connection.cursor(), r"cursor\.connection"),
            (stage.store.url, "Pass an open connection"), (7, "Pass an open connection"),
        ]  # fmt: skip
        for strange, remedy in strange_ones:
            with pytest.raises(ConfigError, match=remedy):
                stage.engine.start([(FLOWS[0], None)], connection=strange)
    engine.dispose()


def test_autocommit_without_a_transaction_is_refused(stage: Stage) -> None:
    """There is nothing to join: the start would be committed at once, or never."""
    stage.start(FLOWS[1])
    if stage.store.dialect == "sqlite":
        connection: Any = sqlite3.connect(stage.store.path, isolation_level=None)
    else:
        connection = psycopg.connect(stage.store.url, autocommit=True)
    with pytest.raises(ConfigError, match="autocommit"):
        stage.engine.start([(FLOWS[0], None)], connection=connection)
    connection.close()


def test_an_asynchronous_connection_is_refused(stage: Stage) -> None:
    class AsyncLike:
        def run_sync(self) -> None: ...

    with pytest.raises(ConfigError, match="asynchronous"):
        stage.engine.start([(FLOWS[0], None)], connection=AsyncLike())


def test_commits_that_need_not_wait_for_the_disk_are_seen_by_others(stage: Stage) -> None:
    """Only on SQLite do they not wait: there, a loss of power ends all processes. Afterwards all commits wait again."""

    def waits() -> list[Any]:
        if stage.store.dialect == "postgres":
            return []
        with stage.store.reading() as tx:
            return [tx._connection.execute("PRAGMA synchronous").fetchone()[0]]

    stage.start(FLOWS[1])
    before = waits()
    with stage.store.unsynced():
        stage.start(FLOWS[1])
        assert waits() == [1 for _ in before]
    assert waits() == before == [2 for _ in before]
    with connect(stage.store.url) as connection:
        assert connection.execute("SELECT count(*) FROM segue_runs").fetchone() == (2,)
    with pytest.raises(RuntimeError), stage.store.unsynced():
        raise RuntimeError
    assert waits() == before
