"""Behind PgBouncer: session mode works, and in transaction mode the first lost session is told as what it is."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import psycopg
import pytest

from segue import Segue, task
from segue.errors import SegueError, StoreUnavailableError
from segue.store.postgres import PostgresStore
from tests.servers import pgbouncer

pytestmark = pytest.mark.skipif(
    shutil.which("pgbouncer", path="/usr/bin:/usr/sbin:/usr/local/sbin:/usr/local/bin") is None,
    reason="PgBouncer is not installed; `make servers` does that as root",
)


@task
def double(number: int) -> int:
    return 2 * number


@pytest.fixture
def session_url(postgres_url: str) -> Iterator[str]:
    with pgbouncer.pooling(postgres_url, "session") as url:
        yield url


@pytest.fixture
def transaction_url(postgres_url: str) -> Iterator[str]:
    with pgbouncer.pooling(postgres_url, "transaction", size=3) as url:
        yield url


def test_session_mode_works(session_url: str) -> None:
    with Segue(session_url) as segue:
        assert [segue.run(double, number) for number in range(3)] == [0, 2, 4]
        waker = segue.engine.store.waker()
        waker.close()
        store = segue.engine.store
        assert isinstance(store, PostgresStore)
        session = store._ready_pool().get()
        assert session.is_pooled
        store._ready_pool().put(session)
        assert segue.engine.broken_invariants() == []


def test_transaction_mode_names_the_pooler_and_the_remedy(postgres_url: str, transaction_url: str) -> None:
    """Some threads at once, so that transactions of one client meet sessions that were set up by another."""
    with Segue(postgres_url) as direct:
        direct.upgrade()

    def use(number: int) -> SegueError | None:
        try:
            with Segue(transaction_url) as segue:
                for _ in range(20):
                    segue.start(double, number)
        except SegueError as error:
            return error
        return None

    with ThreadPoolExecutor(4) as threads:
        errors = [error for error in threads.map(use, range(8)) if error is not None]
    assert errors
    for error in errors:
        assert isinstance(error, StoreUnavailableError)
        assert "PgBouncer" in str(error)
        assert "pool_mode = session" in str(error)


def test_starts_on_a_lent_connection_work_in_transaction_mode(postgres_url: str, transaction_url: str) -> None:
    with Segue(transaction_url) as segue:
        for number in range(4):  # the pooler may take another server connection each time
            with psycopg.connect(transaction_url) as connection:
                segue.start(double, number, key=str(number), connection=connection)
    with Segue(postgres_url) as direct:
        assert [run.status.value for run in direct.runs()] == ["pending"] * 4
