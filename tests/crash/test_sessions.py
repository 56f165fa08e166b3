"""Sessions that nobody answers for: packets that are dropped, a frozen process, a primary that is one no more."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from urllib.parse import urlsplit, urlunsplit

import psycopg
import pytest

from segue import Segue, task
from segue.errors import StoreUnavailableError
from segue.store import open_store, postgres_silence
from segue.store.postgres import PostgresStore
from tests.crash.worker_processes import eventually
from tests.servers.postgres import PostgresServer
from tests.servers.proxy import Proxy, proxying


@task
def one(number: int) -> int:
    return number


@pytest.fixture
def proxy(postgres_url: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[Proxy]:
    monkeypatch.setattr(postgres_silence, "SILENCE_SECONDS", 0.3)
    monkeypatch.setattr(postgres_silence, "LAST_CHANCE_SECONDS", 0.2)
    monkeypatch.setattr(postgres_silence, "ASK_SECONDS", 1)
    with proxying(urlsplit(postgres_url).port or 5432) as proxy:
        yield proxy


@pytest.fixture
def store(postgres_url: str, proxy: Proxy) -> Iterator[PostgresStore]:
    parts = urlsplit(postgres_url)
    where = parts.netloc.rpartition("@")[0] + f"@127.0.0.1:{proxy.port}"
    store = open_store(urlunsplit(parts._replace(netloc=where)) + "?connect_timeout=2")
    assert isinstance(store, PostgresStore)
    with store.transaction():
        pass
    yield store
    store.close()


def count(store: PostgresStore) -> None:
    with store.transaction() as tx:
        tx.all("count_runs")


@pytest.mark.parametrize("also_new", [True, False], ids=["everything", "what was open"])
def test_an_answer_that_never_comes_is_given_up(store: PostgresStore, proxy: Proxy, also_new: bool) -> None:
    def freeze_in_the_middle() -> None:
        with store.transaction() as tx:
            tx.all("count_runs")
            proxy.freeze(also_new=also_new)
            tx.all("count_runs")

    began = time.monotonic()
    with pytest.raises(StoreUnavailableError, match="no answer"):
        freeze_in_the_middle()
    assert time.monotonic() - began < 10
    proxy.thaw()
    count(store)


def test_a_server_that_works_is_waited_for(store: PostgresStore) -> None:
    with store.transaction() as tx:
        assert len(tx._wire.send("SELECT pg_sleep(1.5)", ()).rows()) == 1


def test_a_frozen_process_loses_its_locks(postgres_url: str) -> None:
    with Segue(postgres_url) as segue:
        run = segue.start(one, 1)
        script = (
            "import sys\n"
            "from segue.store import open_store, postgres_session\n"
            "postgres_session.IDLE_IN_TRANSACTION_SECONDS = 1\n"
            "with open_store(sys.argv[1]).transaction() as tx:\n"
            "    tx.all('lock_runs', ids=[sys.argv[2]])\n"
            "    print('locked', flush=True)\n"
            "    sys.stdin.read()\n"
            "    tx.all('lock_runs', ids=[sys.argv[2]])\n"
        )
        process = subprocess.Popen(
            [sys.executable, "-c", script, postgres_url, run.id], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
            stderr=subprocess.PIPE, text=True,
        )  # fmt: skip
        assert process.stdout is not None
        assert process.stdout.readline() == "locked\n"
        os.kill(process.pid, signal.SIGSTOP)
        run.cancel()  # waits for the lock
        assert run.status == "cancelled"
        os.kill(process.pid, signal.SIGCONT)
        _, told = process.communicate(timeout=30)
        assert process.returncode == 1
        assert "StoreUnavailableError" in told


def set_read_only(server: PostgresServer, value: str) -> None:
    with psycopg.connect(server.url, autocommit=True) as connection:
        connection.execute("SET default_transaction_read_only = off")
        connection.execute(f"ALTER SYSTEM SET default_transaction_read_only = {value}")
        connection.execute("SELECT pg_reload_conf()")
    eventually(lambda: _is_read_only(server) == (value == "on"))


def _is_read_only(server: PostgresServer) -> bool:
    with psycopg.connect(server.url) as connection:
        found = connection.execute("SHOW default_transaction_read_only").fetchone()
        return found == ("on",)


def test_another_server_takes_over_and_hands_back(own_postgres: PostgresServer) -> None:
    other = PostgresServer.create()
    try:
        parts = urlsplit(own_postgres.url)
        with psycopg.connect(other.url, autocommit=True) as connection:
            connection.execute(f"ALTER ROLE segue PASSWORD '{parts.password}'")
        other._account = own_postgres._account
        both = f"{parts.netloc},127.0.0.1:{urlsplit(other.url).port}"
        for server in (own_postgres, other):
            with Segue(server.url) as segue:
                segue.upgrade()
        with Segue(urlunsplit(parts._replace(netloc=both))) as segue:
            first = segue.start(one, 1)
            for demoted, promoted in ((own_postgres, other), (other, own_postgres)):
                set_read_only(promoted, "off")
                set_read_only(demoted, "on")
                started = segue.start(one, 2).id
                with Segue(promoted.url) as there:
                    assert there.get(started).id == started
            assert segue.get(first.id).status == "pending"
            segue.engine.store.forget_clock()
            own_postgres.stop()
            own_postgres.start()
            assert segue.start(one, 3).status == "pending"  # the connections that broke are found when they are taken
    finally:
        other.remove()
