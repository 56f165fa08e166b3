"""Connections end with who uses them: threads that ended, objects that were closed, or that nobody holds any more."""

from __future__ import annotations

import gc
import os
import threading
import time
import warnings
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import psycopg
import pytest

from segue import Segue, task
from segue.client import stores
from segue.scheduler.chores import CHORES, Chore, Chores
from segue.store import open_store
from tests.servers.databases import CLEANER


@task
def nothing() -> None: ...


@pytest.fixture
def connections(database_url: str) -> Iterator[Callable[[], int]]:
    """How many connections, or descriptors of the file, there are to the database."""
    if database_url.startswith("sqlite"):
        path = database_url.removeprefix("sqlite:///")
        yield lambda: sum(target == path for target in _targets())
        return
    name = database_url.rpartition("/")[2]
    with psycopg.connect(database_url.replace(f"/{name}", "/postgres"), autocommit=True) as looking:
        asked = (
            "SELECT count(*) FROM pg_stat_activity WHERE datname = %s AND backend_type = 'client backend' "
            "AND application_name <> %s"
        )
        yield lambda: looking.execute(asked, [name, CLEANER]).fetchone()[0]  # type: ignore[index]


def _targets() -> Iterator[str]:
    for descriptor in Path("/proc/self/fd").iterdir():
        try:
            yield str(descriptor.readlink())
        except OSError:  # that of the listing itself
            continue


def soon(ask: Callable[[], bool]) -> bool:
    """Whether it becomes true: a server takes a moment to see that a connection was closed."""
    give_up_at = time.monotonic() + 10
    while not ask():
        if time.monotonic() > give_up_at:
            return False
        time.sleep(0.01)
    return True


def test_a_thread_that_has_ended_holds_no_connection(segue: Segue, connections: Callable[[], int]) -> None:
    segue.start(nothing)
    with ThreadPoolExecutor(8) as threads:
        assert len({run.id for run in threads.map(lambda _: segue.start(nothing), range(40))}) == 40
    for _ in range(30):
        thread = threading.Thread(target=segue.runs)
        thread.start()
        thread.join()
    # As many as there were at once: SQLite keeps a descriptor for the next connection as long as one of them has locks.
    assert connections() <= 10
    assert len(segue.runs()) == 41


def test_a_thread_takes_over_the_connection_of_one_that_ended(sqlite_url: str) -> None:
    """Opening and closing a file for each request of a server costs ten times what the request does."""
    store: Any = open_store(sqlite_url)
    seen = []

    def use() -> None:
        with store.transaction() as tx:
            tx.later("wake")
            seen.append(tx._connection)

    for _ in range(5):
        thread = threading.Thread(target=use)
        thread.start()
        thread.join()
    assert len(set(map(id, seen))) == 1
    store.close()
    use()
    assert seen[-1] is not seen[0]
    store.close()


def test_an_object_that_nobody_holds_gives_its_connections_back(
    database_url: str, connections: Callable[[], int]
) -> None:
    def view() -> str:
        return Segue(database_url).start(nothing).status

    threads_before, open_before = threading.active_count(), set(stores._open)
    with warnings.catch_warnings():
        warnings.simplefilter("error", ResourceWarning)
        assert {view() for _ in range(5)} == {"pending"}
        run = Segue(database_url).start(nothing)
        assert run.status == "pending", "a run keeps the connections that it needs"
        assert connections() > 0
        del run
        gc.collect()
    assert soon(lambda: connections() == 0)
    assert soon(lambda: threading.active_count() <= threads_before)
    assert set(stores._open) <= open_before


def test_objects_of_one_database_share_connections(database_url: str, connections: Callable[[], int]) -> None:
    first = Segue(database_url)
    run = first.start(nothing)
    alone = connections()
    others = [Segue(database_url) for _ in range(20)]
    assert {each.get(run.id).status for each in others} == {"pending"}
    assert connections() <= alone + 1
    others.pop().close()
    first.close()
    assert others[0].get(run.id).status == "pending"
    assert connections() <= alone + 1
    for each in others:
        each.close()
    assert soon(lambda: connections() == 0)
    assert run.status == "pending", "what is used again connects again"
    run = first = others = None  # type: ignore[assignment]
    assert soon(lambda: connections() == 0)


def test_an_object_is_closed_while_another_thread_uses_it(database_url: str) -> None:
    """What was begun ends well: nothing is closed under the hands of a thread."""
    segue = Segue(database_url)
    segue.upgrade()
    is_over, errors = threading.Event(), []

    def use() -> None:
        while not is_over.is_set():
            try:
                segue.start(nothing)
            except Exception as error:  # noqa: BLE001 - each one is shown
                errors.append(error)

    threads = [threading.Thread(target=use) for _ in range(3)]
    for thread in threads:
        thread.start()
    for _ in range(20):
        time.sleep(0.01)
        segue.close() if segue.url.startswith("sqlite") else Segue(database_url).close()
    is_over.set()
    for thread in threads:
        thread.join()
    assert errors == []
    segue.close()


def test_a_fork_leaves_alone_what_it_inherited(segue: Segue) -> None:
    """Neither its garbage nor its exit touches the connections of the parent."""
    run = segue.start(nothing)
    thread_has_one, may_end = threading.Event(), threading.Event()

    def keep() -> None:
        segue.runs()
        thread_has_one.set()
        may_end.wait()

    thread = threading.Thread(target=keep)
    thread.start()
    thread_has_one.wait()
    child = os.fork()
    if child == 0:
        code = 1
        try:
            gc.collect()
            mine = Segue(segue.url)
            found = mine.get(run.id).status == "pending" and mine.engine.store is not segue.engine.store
            mine.start(nothing)
            mine.close()
            code = 0 if found else 2
        finally:
            os._exit(code)
    may_end.set()
    thread.join()
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    segue.start(nothing)
    assert len(segue.runs()) == 3
    assert segue.engine.broken_invariants() == []


def test_a_store_that_a_fork_inherited_is_opened_anew_there(sqlite_url: str) -> None:
    store = open_store(sqlite_url)
    with store.transaction() as tx:
        tx.later("wake")
    child = os.fork()
    if child == 0:
        code = 1
        try:
            for _ in range(3):
                with store.transaction() as tx:
                    tx.later("wake")
            store.close()
            code = 0
        finally:
            os._exit(code)
    for _ in range(3):
        with store.transaction() as tx:
            tx.later("wake")
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    store.close()


def test_an_object_may_be_closed_beside_a_thread_that_does_the_chores(database_url: str) -> None:
    """What a chore was in the middle of is finished, or done again with a new connection."""
    eager = tuple(Chore(chore.name, 0.0, chore.act) for chore in CHORES)
    with Segue(database_url) as segue, Chores(segue.engine, table=eager) as doing:
        for number in range(100):
            began = time.monotonic()
            segue.close()
            assert time.monotonic() - began < 10.0
            if number % 10 == 0:
                assert segue.runs() == []
        assert soon(lambda: doing.is_leading)
