"""Segue's sessions on PostgreSQL: nothing that is set outside changes them, every wait ends, and threads share them."""

from __future__ import annotations

import gc
import os
import select
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from typing import Any
from urllib.parse import urlsplit

import psycopg
import pytest

from segue import Retry, Segue, task, workflow
from segue.errors import ConfigError, StoreBusyError, StoreError, StoreReadOnlyError, StoreUnavailableError
from segue.store import open_store, postgres_pool
from segue.store.postgres import PostgresStore
from tests.contract.stage import Stage, node, plan
from tests.servers import postgres
from tests.servers.databases import CLEANER


@pytest.fixture(scope="module")
def lasting_url(postgres_server_url: str) -> Iterator[str]:
    """A database for the tests that leave nothing in it."""
    url = postgres.create_database(postgres_server_url)
    yield url
    postgres.drop_database(url)


@pytest.fixture
def store(lasting_url: str) -> Iterator[PostgresStore]:
    found = open_store(lasting_url)
    assert isinstance(found, PostgresStore)
    yield found
    found.close()


def settings_of(store: PostgresStore) -> dict[str, str]:
    with store.transaction() as tx:
        return dict(tx._wire.send("SELECT name, setting FROM pg_settings", ()).rows())


def run(url: str, *statements: str) -> list[Any]:
    with psycopg.connect(url, autocommit=True) as connection:
        return [connection.execute(statement).fetchall() if statement.startswith("SELECT") else
                connection.execute(statement) for statement in statements]  # fmt: skip


def terminate(url: str) -> int:
    """End all other sessions on the database, as a restart of the server does."""
    [found] = run(
        url,
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
        "WHERE datname = current_database() AND pid <> pg_backend_pid()",
    )
    eventually(lambda: run(url, SESSIONS) == [[(0,)]])
    time.sleep(0.02)  # they are gone, and the news of it is on its way
    return len(found)


def eventually(what: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 10
    while not what():
        assert time.monotonic() < deadline
        time.sleep(0.005)


SESSIONS = (
    "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid() "
    f"AND application_name <> '{CLEANER}'"
)


# Settings -------------------------------------------------------------------------------------------------------------


@task
def double(number: int) -> int:
    return 2 * number


@task(retries=2, retry_delay=0)
def stubborn(words: list[str]) -> str:
    from segue import current

    if current().failures == 0:
        raise Retry("not yet", after=0.01)
    return "\\'\"{}ä" + "".join(words)


@task(transactional=True)
def note(connection: psycopg.Connection[Any], text: str) -> list[Any]:
    connection.execute("INSERT INTO notes VALUES (%s)", (text,))
    return [row[0] for row in connection.execute("SELECT text FROM notes").fetchall()]


@workflow
def everything() -> list[Any]:
    return [double(1), double(2), note(stubborn(["{NULL}", "a\\b", "NULL"])), double.options(delay=0.01)(21)]


def test_nothing_changes_under_hostile_settings(postgres_url: str) -> None:
    run(postgres_url, "CREATE TABLE notes (text text)")
    postgres.make_hostile(postgres_url)
    with Segue(postgres_url) as segue:
        started = segue.start(everything, key="k", tags=["a", "NULL"], metadata={"x": None, "größe": "€\\"})
        segue.start(double, 4, key="other")
        segue.run(everything, key="k")
        assert started.result() == [2, 4, ["\\'\"{}ä{NULL}a\\bNULL"], 42]
        assert [found.id for found in segue.runs(tag="NULL")] == [started.id]
        assert started.info().metadata == {"x": None, "größe": "€\\"}
        assert [attempt.status for attempt in started.attempts()] == ["failed"]
        assert segue.engine.broken_invariants() == []
        assert (started.info().finished_at - started.info().created_at).total_seconds() < 60


def test_what_has_a_meaning_is_the_same_in_every_session(postgres_url: str, make_postgres_url: Any) -> None:
    plain, hostile = open_store(make_postgres_url()), open_store(postgres_url)
    postgres.make_hostile(postgres_url)
    assert isinstance(plain, PostgresStore)
    assert isinstance(hostile, PostgresStore)
    expected, found = settings_of(plain), settings_of(hostile)
    assert {name for name in postgres.HOSTILE if found[name] != expected[name]} == {"session_replication_role"}
    for store in (plain, hostile):
        store.close()


def test_the_schema_is_found_once(make_bare_postgres_url: Callable[[], str]) -> None:
    """By the search_path that the first session has; what it is changed to later is for others."""
    postgres_url = make_bare_postgres_url()
    name = postgres.database_of(postgres_url)
    for schema in ("app", "other"):
        run(postgres_url, f"CREATE SCHEMA {schema}")
    run(postgres_url, f'ALTER DATABASE "{name}" SET search_path = app, public')
    stage = Stage(postgres_url)
    first = stage.start(plan(node("a")))
    run(postgres_url, f'ALTER DATABASE "{postgres.database_of(postgres_url)}" SET search_path = other')
    terminate(postgres_url)
    assert stage.statuses(first) == {"a": "ready"}
    assert run(postgres_url, "SELECT count(*) FROM app.segue_runs") == [[(1,)]]
    assert run(postgres_url, "SELECT to_regclass('public.segue_runs'), to_regclass('other.segue_runs')") == [
        [(None, None)]
    ]
    stage.close()


def test_the_url_says_the_schema(postgres_url: str) -> None:
    run(postgres_url, 'CREATE SCHEMA "Strange one"')
    url = f"{postgres_url}?options=-csearch_path%3D%22Strange%5C%20one%22"
    stage = Stage(url)
    stage.start(plan(node("a")))
    assert run(postgres_url, 'SELECT count(*) FROM "Strange one".segue_steps') == [[(1,)]]
    stage.close()


def test_a_table_of_a_temporary_schema_does_not_stand_before_ours(store: PostgresStore) -> None:
    with store.transaction() as tx:
        tx._wire.send("CREATE TEMP TABLE segue_runs (id int)", ())
        assert tx.all("count_runs") == []


def test_a_schema_that_does_not_exist(postgres_url: str) -> None:
    store = open_store(f"{postgres_url}?options=-csearch_path%3Dnowhere")
    with pytest.raises(ConfigError, match=r"search_path .*'nowhere'.*no such schema"), store.transaction():
        pass


@pytest.mark.parametrize("encoding", ["SQL_ASCII", "LATIN1"])
def test_a_database_that_is_not_utf8_is_refused(postgres_server_url: str, encoding: str) -> None:
    name = f"segue_test_{encoding.lower()}_{os.getpid()}"
    run(
        postgres_server_url,
        f"CREATE DATABASE {name} ENCODING '{encoding}' TEMPLATE template0 LC_COLLATE 'C' LC_CTYPE 'C'",
    )
    url = postgres.with_database(postgres_server_url, name)
    try:
        for use in (lambda: open_store(url).transaction().__enter__(), lambda: open_store(url).loan().begin()):
            with pytest.raises(ConfigError, match=f"{encoding}.*UTF8"):
                use()
    finally:
        postgres.drop_database(url)


# Values ---------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("text", ["a\0b", "\0", "a\ud800b"])
def test_a_text_is_kept_whole_or_refused(store: PostgresStore, text: str) -> None:
    for value in (text, [text], (text,), ["x", text]):
        with pytest.raises(StoreError, match=r"NUL|surrogate") as caught, store.transaction() as tx:
            tx._wire.send("SELECT $1::text", (value,)).rows()
        assert type(caught.value) is StoreError
    with store.transaction() as tx:
        assert tx.all("count_runs") == []


# Waits ----------------------------------------------------------------------------------------------------------------


def test_a_lock_that_is_held_is_not_waited_for_without_end(postgres_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("segue.store.postgres_session.LOCK_SECONDS", 0.2)
    stage = Stage(postgres_url)
    run_id = stage.start(plan(node("a")))
    with psycopg.connect(postgres_url) as connection:
        connection.execute("SELECT 1 FROM segue_runs FOR UPDATE")
        with pytest.raises(StoreBusyError, match="lock"), stage.store.transaction() as tx:
            tx.all("lock_runs", ids=[run_id])
    with stage.store.transaction() as tx:
        assert len(tx.all("lock_runs", ids=[run_id])) == 1
    stage.close()


def test_a_transaction_that_stands_still_gives_its_locks_back(
    postgres_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("segue.store.postgres_session.IDLE_IN_TRANSACTION_SECONDS", 0.2)
    stage, other = Stage(postgres_url), Stage(postgres_url)
    run_id = stage.start(plan(node("a")))

    def stand_still() -> None:
        with stage.store.transaction() as tx:
            tx.all("lock_runs", ids=[run_id])
            with other.store.transaction() as others:
                assert len(others.all("lock_runs", ids=[run_id])) == 1

    with pytest.raises(StoreUnavailableError):
        stand_still()
    assert stage.statuses(run_id) == {"a": "ready"}
    stage.close()
    other.close()


def test_a_statement_ends(lasting_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("segue.store.postgres_session.STATEMENT_SECONDS", 0.1)
    store = open_store(lasting_url)
    with pytest.raises(StoreBusyError, match="statement timeout"), store.transaction() as tx:
        tx._wire.send("SELECT pg_sleep(5)", ()).rows()  # type: ignore[attr-defined]
    store.close()


def test_an_upgrade_may_take_its_time(
    make_bare_postgres_url: Callable[[], str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("segue.store.postgres_session.STATEMENT_SECONDS", 0.001)
    monkeypatch.setattr("segue.store.postgres_session.LOCK_SECONDS", 0.001)
    assert open_store(make_bare_postgres_url()).upgrade()[0] == 1


# The pool -------------------------------------------------------------------------------------------------------------


def test_after_a_restart_no_start_fails(store: PostgresStore) -> None:
    """However many connections stood idle in the pool."""
    together = threading.Barrier(8)

    def use() -> None:
        with store.transaction() as tx:
            tx.all("count_runs")
            together.wait()

    with ThreadPoolExecutor(8) as threads:
        list(threads.map(lambda _: use(), range(8)))
    assert terminate(store.url) == 8
    for _ in range(8):
        with store.transaction() as tx:
            tx.all("count_runs")
    store.forget_clock()
    assert terminate(store.url) == 1
    store.now()


def test_the_time_is_asked_for_again_when_the_connection_breaks_on_the_way(
    store: PostgresStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The server ended it between the look at it and the question."""
    store.now()
    store.forget_clock()
    monkeypatch.setattr("segue.store.postgres_session.Session.is_sound", lambda _: True)
    terminate(store.url)
    assert abs(store.now().timestamp() - time.time()) < 5


def test_many_threads_wait_for_their_turn(lasting_url: str) -> None:
    few = PostgresStore(lasting_url, max_connections=2)

    def use(_: int) -> int:
        with few.transaction() as tx:
            return len(tx._wire.send("SELECT pg_sleep(0.005)", ()).rows())

    with ThreadPoolExecutor(40) as threads:
        assert list(threads.map(use, range(200))) == [1] * 200
    assert run(lasting_url, SESSIONS)[0][0][0] <= 2
    few.close()


@pytest.mark.parametrize("limit", [1, 3])
def test_threads_share_the_sessions_that_the_server_gives(lasting_url: str, limit: int) -> None:
    """A server that is full for this user is no reason to fail as long as the process has a session there."""
    name, password = f"few_{os.getpid()}_{limit}", "of-few"
    PostgresStore(lasting_url).now()
    run(
        lasting_url,
        f"CREATE ROLE {name} LOGIN PASSWORD '{password}' CONNECTION LIMIT {limit}",
        f"GRANT SELECT ON ALL TABLES IN SCHEMA public TO {name}",
    )
    parts = urlsplit(lasting_url)
    few = PostgresStore(parts._replace(netloc=f"{name}:{password}@{parts.hostname}:{parts.port}").geturl())

    def use(_: int) -> int:
        with few.transaction() as tx:
            return len(tx._wire.send("SELECT pg_sleep(0.005)", ()).rows())

    use(0)
    with ThreadPoolExecutor(40) as threads:
        assert list(threads.map(use, range(200))) == [1] * 200
    other = PostgresStore(few.url)
    with ExitStack() as taken:
        for _ in range(limit):
            taken.enter_context(few.transaction())
        with pytest.raises(StoreUnavailableError, match=r"no free connection.*Raise the limit"), other.transaction():
            pass
    few.close()
    other.close()
    eventually(lambda: run(lasting_url, f"SELECT count(*) FROM pg_stat_activity WHERE usename = '{name}'") == [[(0,)]])
    run(lasting_url, f"DROP OWNED BY {name}", f"DROP ROLE {name}")


def test_a_user_without_rights_is_told_which_ones(lasting_url: str) -> None:
    name, password = f"none_{os.getpid()}", "of-none"
    PostgresStore(lasting_url).now()
    run(lasting_url, f"CREATE ROLE {name} LOGIN PASSWORD '{password}'")
    parts = urlsplit(lasting_url)
    none = PostgresStore(parts._replace(netloc=f"{name}:{password}@{parts.hostname}:{parts.port}").geturl())
    with pytest.raises(StoreReadOnlyError, match=r"permission denied for table segue_schema.*Grant .*docs/running\.md"):
        none.now()
    none.close()
    run(lasting_url, f"DROP ROLE {name}")


def test_who_waits_too_long_is_told_so(lasting_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(postgres_pool, "TURN_SECONDS", 0.05)
    few = PostgresStore(lasting_url, max_connections=1)
    told = r"All 1 connections .* in use for 0\.05 s"
    with few.transaction(), pytest.raises(StoreBusyError, match=told), few.transaction():
        pass
    with few.transaction():
        pass
    few.close()


def test_threads_that_fail_leave_their_places_to_others(lasting_url: str) -> None:
    few = PostgresStore(lasting_url, max_connections=3)

    def use(number: int) -> int:
        try:
            with few.transaction() as tx:
                tx._wire.send(
                    f"SELECT 1 / {number % 3}"
                    if number % 2
                    else f"SELECT pg_terminate_backend({number % 3 or 'pg_backend_pid()'})",
                    (),
                ).rows()
        except StoreError:
            return 0
        return 1

    with ThreadPoolExecutor(12) as threads:
        assert 0 < sum(threads.map(use, range(120))) < 120
    with few.transaction(), few.transaction(), few.transaction():
        pass
    few.close()


def test_a_database_that_was_read_only_for_a_while(postgres_url: str) -> None:
    stage = Stage(postgres_url)
    run_id = stage.start(plan(node("a")))

    def write() -> None:
        with stage.store.transaction() as tx:
            tx.all("lock_runs", ids=[run_id])

    name = postgres.database_of(postgres_url)
    run(postgres_url, f'ALTER DATABASE "{name}" SET default_transaction_read_only = on')
    terminate(postgres_url)
    with stage.store.transaction(), stage.store.transaction(), stage.store.transaction():
        pass  # three sessions that are read-only for good
    with pytest.raises(StoreReadOnlyError):
        write()
    with psycopg.connect(postgres_url, autocommit=True) as connection:
        connection.execute("SET default_transaction_read_only = off")
        connection.execute(f'ALTER DATABASE "{name}" RESET default_transaction_read_only')
    write()
    stage.close()


def test_memory_does_not_grow_with_broken_connections(store: PostgresStore) -> None:
    from segue.store.postgres_session import Session
    from segue.store.postgres_wire import Wire

    def alive() -> int:
        gc.collect()
        return sum(issubclass(type(thing), Session | Wire) for thing in gc.get_objects())

    with store.transaction():
        before = alive()

    def die() -> None:
        with store.transaction() as tx:
            tx._wire.send("SELECT pg_terminate_backend(pg_backend_pid())", ()).rows()

    for _ in range(20):
        with pytest.raises(StoreUnavailableError):
            die()
    with store.transaction():
        assert alive() == before


def test_a_store_that_nobody_holds_closes_its_connections(lasting_url: str) -> None:
    def use() -> None:
        with open_store(lasting_url).transaction() as tx:
            tx.all("count_runs")

    use()
    gc.collect()
    eventually(lambda: run(lasting_url, SESSIONS) == [[(0,)]])


# Forks ----------------------------------------------------------------------------------------------------------------


def in_a_fork(act: Any) -> int:
    """Do it in a fork of this process; returns its exit code, 0 when `act` returned what is true."""
    pid = os.fork()
    if not pid:
        code = 1
        try:
            code = 0 if act() else 2
        finally:
            os._exit(code)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


def test_a_fork_has_connections_of_its_own(store: PostgresStore) -> None:
    def pid() -> int:
        with store.transaction() as tx:
            found: int = tx._wire.send("SELECT pg_backend_pid()", ()).rows()[0][0]
            return found

    before = pid()
    waker = store.waker()

    def act() -> bool:
        mine = pid()
        waker.close()
        store.close()
        return mine != before

    for _ in range(3):
        assert in_a_fork(act) == 0
        assert pid() == before
    assert waker.woken() is False
    with store.transaction() as tx:
        tx._wire.send("NOTIFY segue", ())
    eventually(waker.woken)
    waker.close()


def test_a_fork_in_the_middle_of_a_transaction_leaves_it_alone(store: PostgresStore) -> None:
    with store.transaction() as tx:
        assert tx.all("count_runs") == []

        def act() -> bool:
            raise_out_of_it()
            return True

        def raise_out_of_it() -> None:
            with store.transaction() as mine:
                mine.all("count_runs")

        assert in_a_fork(act) == 0
        assert tx.all("count_runs") == []


# News -----------------------------------------------------------------------------------------------------------------


def test_news_that_was_thrown_away_is_no_news(store: PostgresStore) -> None:
    waker = store.waker()
    run(store.url, "NOTIFY segue")
    eventually(waker.woken)
    run(store.url, *["NOTIFY segue"] * 5)
    eventually(lambda: bool(select.select([waker.fd], [], [], 1)[0]))
    waker.drain()
    assert not waker.woken()
    terminate(store.url)
    with pytest.raises(StoreUnavailableError):
        eventually(lambda: bool(waker.drain()) or waker.woken())
    waker.close()
