"""A session that is lent to a task is as new, whatever the task before did to it: on the server and in Python."""

from __future__ import annotations

import datetime
import uuid
from collections.abc import Callable
from typing import Any

import psycopg
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from psycopg.rows import dict_row, namedtuple_row

from segue.engine.transactional import TaskTransactions
from segue.errors import StoreReadOnlyError
from segue.model import Verdict
from tests.contract.lending import ATTEMPT, Orders
from tests.contract.odd_adapters import Nonsense, Shouting
from tests.contract.stage import Stage, connect, node, plan, succeeded
from tests.servers.postgres import database_of


@pytest.fixture
def database_url(postgres_url: str) -> str:
    return postgres_url


class Mine(psycopg.Cursor[Any]):
    pass


def says(*statements: str) -> Callable[[Any], None]:
    def mischief(connection: Any) -> None:
        for statement in statements:
            connection.execute(statement)

    return mischief


def prepared_by_use(connection: Any) -> None:
    for number in range(20):  # with a cursor of psycopg's own, whatever this connection makes by now
        psycopg.Cursor(connection).execute("SELECT %s::int + 1", (number,))


def register(connection: Any) -> None:
    for name in ("uuid", "text", "int4", "timestamptz", "bool"):
        connection.adapters.register_loader(name, Nonsense)
    connection.adapters.register_dumper(str, Shouting)


def assign(**values: Any) -> Callable[[Any], None]:
    def mischief(connection: Any) -> None:
        for name, value in values.items():
            setattr(connection, name, value)

    return mischief


def handle(connection: Any) -> None:
    connection.add_notice_handler(lambda _: 1 / 0)
    connection.add_notify_handler(lambda _: 1 / 0)


def savepoint(connection: Any) -> None:
    with connection.transaction():
        connection.execute("SELECT 1")
    connection.execute("SAVEPOINT mine")


MISCHIEF: dict[str, Callable[[Any], None]] = {
    "settings": says("SET DateStyle = 'German'", "SET TimeZone = 'Asia/Tokyo'", "SET array_nulls = off"),
    "limits": says("SET statement_timeout = '1min'", "SET lock_timeout = '1min'", "SET work_mem = '1MB'"),
    "client encoding": says("SET client_encoding = 'LATIN1'"),
    "own setting": says("SET my.own = 'x'"),
    "search_path": says("SET search_path = pg_temp"),
    "role": says("SET ROLE pg_monitor"),
    "characteristics": says("SET SESSION CHARACTERISTICS AS TRANSACTION ISOLATION LEVEL SERIALIZABLE"),
    "session user": says("SET SESSION AUTHORIZATION DEFAULT"),
    "temporary table": says("CREATE TEMP TABLE scrap (id integer)"),
    "temporary view": says("CREATE TEMP VIEW segue_steps AS SELECT 1 AS id"),
    "prepared": says("PREPARE mine AS SELECT 1"),
    "prepared under our names": says("PREPARE segue_mine AS SELECT 1"),
    "prepared by use": prepared_by_use,
    "deallocated": says("DEALLOCATE ALL"),
    "cursor": says("DECLARE mine CURSOR WITH HOLD FOR SELECT 1"),
    "locks": says("SELECT pg_advisory_lock(1)", "SELECT pg_advisory_lock_shared(2)"),
    "listens": says("LISTEN mine", "LISTEN segue"),
    "notifies": says("LISTEN mine", "NOTIFY mine"),
    "row factory": assign(row_factory=dict_row),
    "cursor factory": assign(cursor_factory=Mine, server_cursor_factory=psycopg.ServerCursor),
    "binary cursor": assign(cursor_factory=psycopg.RawCursor, row_factory=namedtuple_row),
    "prepare threshold": assign(prepare_threshold=0, prepared_max=1),
    "own attribute": assign(mine="x"),
    "adapters": register,
    "handlers": handle,
    "savepoint": savepoint,
}


def state(connection: Any) -> dict[str, Any]:
    """All that a task can find out about its session, read with cursors of psycopg's own."""
    ids = "SELECT 'a-b'::text, 7, true, gen_random_uuid(), now(), %s"
    plain = connection.cursor()
    row = plain.execute(ids, ("quiet",)).fetchone()
    rows = {
        name: sorted(map(repr, plain.execute(text).fetchall()))
        for name, text in {
            "settings": "SELECT name, setting FROM pg_settings WHERE name <> 'transaction_isolation'",
            "own": "SELECT nullif(current_setting('my.own', true), '')",
            "prepared": "SELECT name FROM pg_prepared_statements WHERE name NOT SIMILAR TO 'segue\\_[0-9]+'",
            "cursors": "SELECT name FROM pg_cursors WHERE is_holdable",
            "temporary": "SELECT relname FROM pg_class WHERE relnamespace = pg_my_temp_schema()",
            "locks": "SELECT objid FROM pg_locks WHERE locktype = 'advisory' AND pid = pg_backend_pid()",
            "listens": "SELECT * FROM pg_listening_channels()",
            "who": "SELECT current_user, session_user, current_schemas(false)::text",
        }.items()
    }
    return {
        **rows,
        "row": (type(row), row[:3], type(row[3]), type(row[4]), row[5:]),
        "python": sorted(name for name in vars(connection) if not name.startswith("_")),
        "factories": (connection.row_factory, connection.cursor_factory, connection.server_cursor_factory),
        "modes": (connection.autocommit, connection.isolation_level, connection.read_only, connection.deferrable),
        "preparing": (connection.prepare_threshold, connection.prepared_max),
        "handlers": (len(connection._notice_handlers), len(connection._notify_handlers)),
        "news": connection.pgconn.notifies(),
    }


@settings(max_examples=40)
@given(names=st.lists(st.sampled_from(sorted(MISCHIEF)), max_size=6, unique=True), is_recorded=st.booleans())
@example(names=sorted(set(MISCHIEF) - {"role", "search_path"}), is_recorded=True)
@example(names=["role", "search_path", "deallocated"], is_recorded=True)
@example(names=["adapters", "handlers", "row factory"], is_recorded=False)
@example(names=["deallocated", "prepared under our names"], is_recorded=True)
def test_the_next_task_finds_nothing(
    stage: Stage, orders: Orders, transactions: TaskTransactions, names: list[str], is_recorded: bool
) -> None:
    transaction = transactions.begin(ATTEMPT)
    expected = state(TaskTransactions(lambda: stage.store).begin(ATTEMPT).connection)
    before = transaction.connection
    for name in names:
        MISCHIEF[name](before)
    if is_recorded:
        run_id = stage.start(plan(node("a")))
        [job] = stage.claim()
        if "temporary view" in names:  # ours come first, as in every session of Segue's
            before.execute("SET search_path = pg_temp, public")
        assert transaction.record(succeeded(job, output="ä€")).verdict == Verdict.RECORDED
        assert stage.run(run_id).finished_at == stage.store.now()
    else:
        transaction.undo()
    following = transactions.begin(ATTEMPT)
    assert following.connection is not before
    assert state(following.connection) == expected
    following.undo()


def test_who_keeps_a_connection_has_nothing_in_his_hands(
    stage: Stage, orders: Orders, transactions: TaskTransactions
) -> None:
    """A task that stored its connection somewhere cannot write into the transaction of the next."""
    stage.start(plan(node("a"), node("b")))
    first, second = stage.claim()
    transaction = transactions.begin(ATTEMPT)
    kept = transaction.connection
    transaction.record(succeeded(first))
    transaction = transactions.begin(ATTEMPT)
    for act in (lambda: kept.execute("INSERT INTO orders VALUES (1)"), kept.commit, kept.rollback):
        with pytest.raises(psycopg.OperationalError, match="closed"):
            act()
    kept.close()
    transaction.connection.execute("INSERT INTO orders VALUES (2)")
    assert transaction.record(succeeded(second)).verdict == Verdict.RECORDED
    assert orders() == [2]


def test_the_session_is_used_again(stage: Stage, orders: Orders, transactions: TaskTransactions) -> None:
    pids = set()
    for _ in range(3):
        transaction = transactions.begin(ATTEMPT)
        pids.add(transaction.connection.info.backend_pid)
        transaction.undo()
    assert len(pids) == 1


def test_no_limit_of_segues_ends_what_a_task_does(stage: Stage, orders: Orders, transactions: TaskTransactions) -> None:
    told = "SELECT name, setting FROM pg_settings WHERE name LIKE '%timeout%' ORDER BY name"
    with connect(stage.store.url) as plain:
        expected = plain.execute(told).fetchall()
    for _ in range(2):
        transaction = transactions.begin(ATTEMPT)
        assert transaction.connection.execute(told).fetchall() == expected
        transaction.undo()


def test_segue_reads_by_adapters_of_its_own(stage: Stage, orders: Orders, transactions: TaskTransactions) -> None:
    """Those that a process registers for all of psycopg are for its own connections."""
    loaders = {name: psycopg.adapters.get_loader(psycopg.adapters.types[name].oid, psycopg.pq.Format.TEXT)
               for name in ("uuid", "text", "int4", "timestamptz")}  # fmt: skip
    for name in loaders:
        psycopg.adapters.register_loader(name, Nonsense)
    try:
        run_id = stage.start(plan(node("a")))
        [job] = stage.claim()
        assert uuid.UUID(job.run_id)
        transaction = transactions.begin(ATTEMPT)
        assert transaction.record(succeeded(job, output="x")).verdict == Verdict.RECORDED
        assert isinstance(stage.run(run_id).finished_at, datetime.datetime)
    finally:
        for name, loader in loaders.items():
            assert loader is not None
            psycopg.adapters.register_loader(name, loader)


def test_a_session_that_was_read_only_is_not_used_again(
    stage: Stage, orders: Orders, transactions: TaskTransactions
) -> None:
    """The server was no primary for a while, or another is one now."""
    stage.start(plan(node("a"), node("b")))
    first, second = stage.claim()
    name = database_of(stage.store.url)
    with connect(stage.store.url) as plain:
        plain.execute(f'ALTER DATABASE "{name}" SET default_transaction_read_only = on')
        plain.commit()
    transaction = transactions.begin(ATTEMPT)
    with pytest.raises(psycopg.errors.ReadOnlySqlTransaction):
        transaction.connection.execute("INSERT INTO orders VALUES (1)")
    transaction.undo()
    transaction = transactions.begin(ATTEMPT)
    with pytest.raises(StoreReadOnlyError):
        transaction.record(succeeded(first))
    with connect(stage.store.url) as plain:
        plain.execute("SET default_transaction_read_only = off")
        plain.commit()
        plain.execute(f'ALTER DATABASE "{name}" RESET default_transaction_read_only')
        plain.commit()
    transaction = transactions.begin(ATTEMPT)
    transaction.connection.execute("INSERT INTO orders VALUES (2)")
    assert transaction.record(succeeded(second)).verdict == Verdict.RECORDED
    assert orders() == [2]
