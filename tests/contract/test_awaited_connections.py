"""A start on the caller's own asynchronous connection: all or nothing with its transaction, whatever the driver."""

from __future__ import annotations

import asyncio
import sqlite3
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from typing import Any

import aiosqlite
import asyncpg
import psycopg
import pytest
import sqlalchemy
from psycopg.rows import dict_row
from sqlalchemy.ext.asyncio import (
    AsyncConnection,
    AsyncSession,
    async_scoped_session,
    async_sessionmaker,
    create_async_engine,
)

from segue import AsyncSegue, Segue, task
from segue.client.asynchronous.threads import Threads
from segue.errors import ConfigError, RunNotFoundError, SegueError, StoreError
from tests.contract.odd_adapters import Nonsense, Shouting
from tests.contract.stage import Stage, node, plan

ODD = "it's \\ %s %(x)s :y $1 ä"


@task
def echo(text: str) -> str:
    return text


@dataclass
class Caller:
    """A connection of some library, and how it is used."""

    connection: Any
    commit: Callable[[], Awaitable[Any]]
    rollback: Callable[[], Awaitable[Any]]
    run: Callable[[str], Awaitable[Any]]


Opened = AbstractAsyncContextManager[Caller]


def of_sqlalchemy(driver: str, kind: str) -> Callable[[str], Opened]:
    @asynccontextmanager
    async def opened(url: str) -> AsyncIterator[Caller]:
        engine = create_async_engine(url.replace("://", f"+{driver}://", 1))
        making: Any = async_sessionmaker(engine)
        if kind == "scoped":
            making = async_scoped_session(making, asyncio.current_task)
        held: Any = engine.connect() if kind == "connection" else making()
        try:
            async with held as connection:
                taken = making if kind == "scoped" else connection
                yield Caller(
                    taken,
                    connection.commit,
                    connection.rollback,
                    lambda text: connection.execute(sqlalchemy.text(text)),
                )
        finally:
            await engine.dispose()

    return opened


@asynccontextmanager
async def of_asyncpg(url: str, *, is_odd: bool = False, from_pool: bool = False) -> AsyncIterator[Caller]:
    pool = await asyncpg.create_pool(url, min_size=1, max_size=1)
    connection: Any = await pool.acquire() if from_pool else await asyncpg.connect(url)
    try:
        if is_odd:
            for name in ("uuid", "text", "timestamptz", "int4", "bool"):
                await connection.set_type_codec(
                    name, schema="pg_catalog", encoder=lambda _: "0", decoder=lambda text: text, format="text"
                )
            await connection.execute("SET standard_conforming_strings = off; SET DateStyle = 'SQL, DMY'")
        await connection.execute("BEGIN")  # and not `transaction()`, whose methods the library alone may call
        yield Caller(
            connection, lambda: connection.execute("COMMIT"), lambda: connection.execute("ROLLBACK"), connection.execute
        )
    finally:
        if from_pool:
            await pool.release(connection)
        else:
            await connection.close()
        await pool.close()


@asynccontextmanager
async def of_psycopg(url: str, *, is_odd: bool = False) -> AsyncIterator[Caller]:
    connection = await psycopg.AsyncConnection.connect(url)
    if is_odd:
        connection.row_factory = dict_row  # type: ignore[assignment]
        for name in ("uuid", "text", "timestamptz", "bool"):
            connection.adapters.register_loader(name, Nonsense)
        connection.adapters.register_dumper(str, Shouting)
    async with connection:
        yield Caller(connection, connection.commit, connection.rollback, connection.execute)


@asynccontextmanager
async def of_aiosqlite(url: str, *, is_odd: bool = False) -> AsyncIterator[Caller]:
    async with aiosqlite.connect(url.removeprefix("sqlite:///")) as connection:
        if is_odd:
            connection.row_factory, connection.text_factory = sqlite3.Row, bytes
            await connection.execute("PRAGMA count_changes = ON")
        yield Caller(connection, connection.commit, connection.rollback, connection.execute)


POSTGRES: dict[str, Callable[[str], Opened]] = {
    "asyncpg": of_asyncpg,
    "asyncpg, odd": lambda url: of_asyncpg(url, is_odd=True),
    "asyncpg, from a pool": lambda url: of_asyncpg(url, from_pool=True),
    "psycopg": of_psycopg,
    "psycopg, odd": lambda url: of_psycopg(url, is_odd=True),
    "connection on asyncpg": of_sqlalchemy("asyncpg", "connection"),
    "session on asyncpg": of_sqlalchemy("asyncpg", "session"),
    "connection on psycopg": of_sqlalchemy("psycopg", "connection"),
    "session on psycopg": of_sqlalchemy("psycopg", "session"),
}
SQLITE: dict[str, Callable[[str], Opened]] = {
    "aiosqlite": of_aiosqlite,
    "aiosqlite, odd": lambda url: of_aiosqlite(url, is_odd=True),
    "connection on aiosqlite": of_sqlalchemy("aiosqlite", "connection"),
    "session on aiosqlite": of_sqlalchemy("aiosqlite", "session"),
    "scoped session on aiosqlite": of_sqlalchemy("aiosqlite", "scoped"),
}
CALLERS = [("postgres", name) for name in POSTGRES] + [("sqlite", name) for name in SQLITE]


@pytest.fixture(scope="module")
def urls(
    ready_databases: Any, ready_sqlite_file: bytes, tmp_path_factory: pytest.TempPathFactory
) -> Any:  # fmt: skip
    """A database of each dialect for all tests of this module."""
    path = tmp_path_factory.mktemp("awaited") / "segue.db"
    path.write_bytes(ready_sqlite_file)
    url = ready_databases.take()
    yield {"postgres": url, "sqlite": f"sqlite:///{path}"}
    ready_databases.give_back(url)


@asynccontextmanager
async def calling(urls: dict[str, str], dialect: str, name: str) -> AsyncIterator[tuple[AsyncSegue, Caller]]:
    opened = {"postgres": POSTGRES, "sqlite": SQLITE}[dialect][name]
    async with AsyncSegue(urls[dialect]) as segue, opened(urls[dialect]) as caller:
        yield segue, caller


@pytest.mark.parametrize("dialect, name", CALLERS)
def test_a_run_begins_with_the_callers_commit_and_never_was_after_a_rollback(
    urls: dict[str, str], dialect: str, name: str
) -> None:
    async def use() -> None:
        async with calling(urls, dialect, name) as (segue, caller):
            undone = await segue.start(echo, ODD, connection=caller.connection)
            await caller.rollback()
            with pytest.raises(RunNotFoundError):
                await undone.info()
            if "asyncpg" in name and "on" not in name:
                await caller.run("BEGIN")
            key = f"{name} {uuid.uuid4()}"
            run = await segue.start(echo, ODD, key=key, tags=["a"], connection=caller.connection)
            again = await segue.start(echo, ODD, key=key, connection=caller.connection)
            many = await segue.start_many(echo, [(str(n),) for n in range(3)], connection=caller.connection)
            with pytest.raises(RunNotFoundError):
                await run.info()
            await caller.commit()
            info = await run.info()
            assert (info.key, info.tags, info.arguments) == (key, ("a",), [[ODD], {}])
            assert (again.id, again.is_new, run.is_new) == (run.id, False, True)
            assert {await each.status() for each in many} == {"pending"}
            await segue.select(status="pending").cancel()

    asyncio.run(use())


@pytest.mark.parametrize(
    "dialect, name", [("postgres", "session on asyncpg"), ("postgres", "psycopg"), ("sqlite", "aiosqlite")]
)
def test_inside_a_savepoint(urls: dict[str, str], dialect: str, name: str) -> None:
    async def use() -> None:
        async with calling(urls, dialect, name) as (segue, caller):
            kept = await segue.start(echo, "kept", connection=caller.connection)
            await caller.run("SAVEPOINT part")
            undone = await segue.start(echo, "undone", connection=caller.connection)
            await caller.run("ROLLBACK TO SAVEPOINT part")
            await caller.commit()
            assert await kept.cancel() == "cancelled"
            with pytest.raises(RunNotFoundError):
                await undone.info()

    asyncio.run(use())


@pytest.mark.parametrize("name", ["session on asyncpg", "session on psycopg", "session on aiosqlite"])
def test_inside_run_sync(urls: dict[str, str], name: str) -> None:
    """Synchronous code below `run_sync` has a synchronous Session, and uses a synchronous Segue."""
    dialect = "sqlite" if "sqlite" in name else "postgres"

    async def use() -> None:
        async with calling(urls, dialect, name) as (segue, caller):
            session: AsyncSession = caller.connection
            for end in (session.rollback, session.commit):
                run = await session.run_sync(lambda inner: segue.sync.start(echo, ODD, connection=inner))
                connection: AsyncConnection = await session.connection()
                beside = await connection.run_sync(lambda inner: segue.sync.start(echo, ODD, connection=inner))
                await end()
            assert [run.cancel(), beside.cancel()] == ["cancelled", "cancelled"]

    asyncio.run(use())


@pytest.mark.parametrize("name", ["asyncpg", "session on psycopg"])
def test_workers_are_woken_by_the_commit(urls: dict[str, str], name: str) -> None:
    stage = Stage(urls["postgres"])
    stage.turn(heartbeat="running", sleeping=True)

    async def use() -> None:
        heard = asyncio.Event()
        listener = await asyncpg.connect(urls["postgres"])
        await listener.add_listener("segue", lambda *_: heard.set())
        async with calling(urls, "postgres", name) as (segue, caller):
            run = await segue.start(echo, "x", connection=caller.connection)
            await listener.execute("SELECT 1")
            assert not heard.is_set()
            await caller.commit()
            await asyncio.wait_for(heard.wait(), 30)
            await run.cancel()
        await listener.close()

    asyncio.run(use())
    stage.close()


@pytest.mark.parametrize("dialect, name", [("postgres", "asyncpg"), ("postgres", "psycopg"), ("sqlite", "aiosqlite")])
def test_a_cancelled_start_leaves_no_half_of_a_run(
    urls: dict[str, str], dialect: str, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its task hears of the cancellation when the whole run is in the transaction, whatever was on its way."""
    waits, cancel_at, starting = count(), 0, None

    def wait_and_cancel(coroutine: Any, loop: asyncio.AbstractEventLoop) -> Any:
        if next(waits) == cancel_at and starting is not None:
            loop.call_soon_threadsafe(starting.cancel)
            loop.call_soon_threadsafe(starting.cancel)  # a second time, while it waits
        return run_threadsafe(coroutine, loop)

    run_threadsafe = asyncio.run_coroutine_threadsafe
    monkeypatch.setattr(asyncio, "run_coroutine_threadsafe", wait_and_cancel)

    async def use() -> None:
        nonlocal waits, cancel_at, starting
        async with calling(urls, dialect, name) as (segue, caller):
            for cancel_at in (0, 1, 3, 5):
                waits, key = count(), f"cancelled {name} {cancel_at}"
                starting = asyncio.ensure_future(segue.start(echo, "x", key=key, connection=caller.connection))
                with pytest.raises(asyncio.CancelledError):
                    await starting
                await caller.run("SELECT 1")  # no statement of the start is on its way
                await caller.commit()
                [listed] = await segue.runs(key=key)
                assert [step.name for step in await listed.run.steps()] == ["echo"]
                await listed.cancel()
                if name == "asyncpg":
                    await caller.run("BEGIN")
            assert segue.sync.engine.broken_invariants() == []

    asyncio.run(use())


# What cannot be joined ------------------------------------------------------------------------------------------------


async def refusal(segue: AsyncSegue, connection: Any, text: str = "x") -> str:
    with pytest.raises(SegueError) as caught:
        await segue.start(echo, text, connection=connection)
    assert "x:y@" not in str(caught.value)
    return str(caught.value)


def test_connections_that_cannot_be_joined_on_postgres(urls: dict[str, str]) -> None:
    async def use() -> None:
        url = urls["postgres"]
        segue = AsyncSegue(url)
        plain = await asyncpg.connect(url)
        assert "no transaction open" in await refusal(segue, plain)
        await plain.close()
        assert "closed" in await refusal(segue, plain)
        auto = await psycopg.AsyncConnection.connect(url, autocommit=True)
        assert "no transaction open" in await refusal(segue, auto)
        await auto.close()
        assert "closed" in await refusal(segue, auto)
        engine = create_async_engine(url.replace("://", "+asyncpg://"))
        assert "no transaction of its own" in await refusal(segue, engine)
        async with engine.connect() as connection:
            given = await connection.execution_options(isolation_level="AUTOCOMMIT")
            assert "no transaction open" in await refusal(segue, given)
        await engine.dispose()
        assert "is a pool" in await refusal(segue, asyncpg.create_pool(url))
        async with aiosqlite.connect(":memory:") as other:
            assert "PostgreSQL" in await refusal(segue, other)
        start, flow = segue.sync.engine.start, plan(node("a"), name="a\0b")
        async with of_asyncpg(url) as caller:
            with pytest.raises(StoreError, match="cannot store this value"):
                await Threads().run_joined(caller.connection, lambda lent: start([(flow, None)], connection=lent))
        for thing in (7, object(), sqlite3.connect(":memory:")):
            assert "connection=" in await refusal(segue, thing)
        await segue.close()

    asyncio.run(use())


def test_connections_that_cannot_be_joined_on_sqlite(urls: dict[str, str]) -> None:
    async def use() -> None:
        segue = AsyncSegue(urls["sqlite"])
        async with aiosqlite.connect(":memory:") as other:
            assert "a database in memory" in await refusal(segue, other)
        assert "closed" in await refusal(segue, other)
        async with aiosqlite.connect(urls["sqlite"].removeprefix("sqlite:///"), isolation_level=None) as auto:
            assert "no transaction open" in await refusal(segue, auto)
        connection = await asyncpg.connect(urls["postgres"])
        assert "(of asyncpg), but Segue's database is sqlite" in await refusal(segue, connection)
        await connection.close()
        await segue.close()

    asyncio.run(use())


def test_an_engine_and_other_drivers_are_named(urls: dict[str, str]) -> None:
    import pg8000.dbapi

    url = urls["postgres"]
    segue, engine = Segue(url), sqlalchemy.create_engine(url.replace("://", "+psycopg://"))
    with pytest.raises(ConfigError, match="no transaction of its own"):
        segue.start(echo, "x", connection=engine)
    engine.dispose()
    parts = sqlalchemy.make_url(url)
    connection = pg8000.dbapi.connect(
        parts.username or "", parts.host or "", parts.database, parts.port or 5432, parts.password
    )
    with pytest.raises(ConfigError, match="of pg8000"):
        segue.start(echo, "x", connection=connection)
    connection.close()
    with Segue(url.replace("://", "+psycopg://")) as same:
        assert same.get(segue.start(echo, "x").id).cancel() == "cancelled"


def test_a_synchronous_segue_says_which_one_takes_an_asynchronous_connection(urls: dict[str, str]) -> None:
    async def use() -> None:
        async with aiosqlite.connect(urls["sqlite"].removeprefix("sqlite:///")) as connection:
            with pytest.raises(ConfigError, match=r"Use `segue\.AsyncSegue`"):
                Segue(urls["sqlite"]).start(echo, "x", connection=connection)

    asyncio.run(use())


def test_a_file_without_tables_gets_them_in_the_transaction(tmp_path: Path) -> None:
    async def use() -> None:
        path = tmp_path / "new.db"
        async with AsyncSegue(f"sqlite:///{path}") as segue, aiosqlite.connect(path) as connection:
            await connection.execute("CREATE TABLE mine (x)")
            await connection.execute("INSERT INTO mine VALUES (1)")  # it holds the write lock
            run = await segue.start(echo, "x", connection=connection)
            await connection.commit()
            assert await run.cancel() == "cancelled"

    asyncio.run(use())


def test_a_connection_that_is_not_asynchronous_is_used_in_its_own_thread(urls: dict[str, str]) -> None:
    async def use() -> None:
        async with AsyncSegue(urls["sqlite"]) as segue:
            with sqlite3.connect(urls["sqlite"].removeprefix("sqlite:///")) as connection:
                run = await segue.start(echo, "x", connection=connection)
            connection.close()
            assert await run.cancel() == "cancelled"

    asyncio.run(use())
