"""The worker's call to its database hangs: packets are dropped, or another process holds SQLite's one lock.

What is asserted is an order: something happens before the call has come back. When it comes back it has failed, and the
worker's log says that outcomes are kept.
"""

from __future__ import annotations

import signal
import sqlite3
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit, urlunsplit

import pytest

from segue import Run, Segue
from tests.crash import hanging_tasks
from tests.crash.ledger import Ledger
from tests.crash.worker_processes import WorkerProcess, WorkerProcesses, eventually
from tests.servers.proxy import proxying

POOLS = ("process", "thread", "async")
LONG_LEASE_SECONDS = 120.0
CALL_CAME_BACK = "Keeping"
UNTIL_IT_CALLS_SECONDS = 2.0  # a worker says or asks something every second and a half, whatever it runs


class Line:
    """A database that workers reach at `url`, until it `hangs`. The test itself always reaches it."""

    def __init__(self, url: str, hang: Callable[[], Any]) -> None:
        self.url = url
        self.hang = hang


@contextmanager
def to_postgres(url: str) -> Iterator[Line]:
    parts = urlsplit(url)
    with proxying(parts.port or 5432) as proxy:
        where = parts.netloc.rpartition("@")[0] + f"@127.0.0.1:{proxy.port}"
        yield Line(urlunsplit(parts._replace(netloc=where)), lambda: proxy.freeze(also_new=True))


@contextmanager
def to_sqlite(url: str) -> Iterator[Line]:
    lock = sqlite3.connect(url.removeprefix("sqlite:///"), isolation_level=None, check_same_thread=False)
    yield Line(url, lambda: lock.execute("BEGIN IMMEDIATE"))
    lock.close()


@pytest.fixture
def line(segue: Segue) -> Iterator[Line]:
    segue.upgrade()
    with to_sqlite(segue.url) if segue.url.startswith("sqlite") else to_postgres(segue.url) as found:
        yield found


@pytest.fixture
def crew(line: Line, ledger: Ledger, tmp_path: Path) -> Iterator[WorkerProcesses]:
    with WorkerProcesses(line.url, tmp_path) as found:
        yield found


def hire(crew: WorkerProcesses, pool: str, *, grace_seconds: float = 60.0) -> WorkerProcess:
    return crew.start(
        pool=pool, module="tests.crash.hanging_tasks", lease_seconds=LONG_LEASE_SECONDS, grace_seconds=grace_seconds
    )


def begun(segue: Segue, ledger: Ledger, pool: str, name: str) -> Run:
    run = segue.start(getattr(hanging_tasks, f"{name}_async" if pool == "async" else name))
    eventually(lambda: ledger.lines("began"))
    return run


def hang_now(line: Line) -> None:
    line.hang()
    time.sleep(UNTIL_IT_CALLS_SECONDS)


@pytest.mark.parametrize("pool", POOLS)
def test_an_attempt_ends_at_its_timeout(
    segue: Segue, line: Line, crew: WorkerProcesses, ledger: Ledger, pool: str
) -> None:
    worker = hire(crew, pool)
    begun(segue, ledger, pool, "overstay")
    line.hang()
    assert not ledger.lines("broke")
    eventually(lambda: ledger.lines("broke"))
    assert CALL_CAME_BACK not in worker.log()


@pytest.mark.parametrize("pool", POOLS)
def test_a_stop_begins_and_its_grace_runs_out(
    segue: Segue, line: Line, crew: WorkerProcesses, ledger: Ledger, pool: str
) -> None:  # fmt: skip
    if segue.url.startswith("sqlite"):
        pytest.skip("a signal is heard when SQLite's own wait is over, after five seconds")
    worker = hire(crew, pool, grace_seconds=0.5)
    begun(segue, ledger, pool, "stay")
    hang_now(line)
    assert not ledger.lines("broke")
    worker.send(signal.SIGTERM)
    eventually(lambda: ledger.lines("broke"))
    assert "stopping: waiting" in worker.log()
    assert CALL_CAME_BACK not in worker.log()


@pytest.mark.proof
@pytest.mark.parametrize("pool", POOLS)
def test_a_second_request_ends_it_at_once(
    segue: Segue, line: Line, crew: WorkerProcesses, ledger: Ledger, pool: str
) -> None:
    worker = hire(crew, pool)
    begun(segue, ledger, pool, "stay")
    hang_now(line)
    assert not ledger.lines("broke")
    worker.send(signal.SIGTERM)
    eventually(lambda: "stopping: waiting" in worker.log())
    worker.send(signal.SIGTERM)
    assert worker.exit_code() == 128 + signal.SIGTERM
    if segue.url.startswith("postgres"):
        assert "The database does not answer" in worker.log()
