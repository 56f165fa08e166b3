"""The database fails, or is restarted, the broker forgets everything, and workers stop: no run notices."""

from __future__ import annotations

import os
import random
import signal
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from segue import Segue
from segue.engine.engine import Engine
from segue.errors import StoreUnavailableError
from segue.executors.dramatiq import Chain, Group
from segue.store import open_store
from tests.crash.faults import FaultyStore
from tests.executors.dramatiq.conftest import DramatiqWorker, Staged, a_project, wait_until, working
from tests.servers.postgres import PostgresServer
from tests.servers.redis import RedisServer

SECONDS = 60


class UnsteadyStore(FaultyStore):
    """Loses its connection at every fortieth point or so: before, in and after transactions."""

    def __init__(self, store: Any, seed: int) -> None:
        super().__init__(store)
        self.chance = random.Random(seed)
        self.lost: Counter[str] = Counter()

    def reach(self, point: str, tx: Any) -> None:
        if self.chance.random() < 0.025:
            self.lost[point] += 1
            raise StoreUnavailableError("the test has cut the connection")


@pytest.mark.parametrize("seed", range(2))
def test_transient_errors_end_no_run_and_repeat_no_body(database_url: str, tmp_path: Path, seed: int) -> None:
    path = tmp_path / "ran"
    with a_project("stub", database_url, lease_seconds=2.0) as project:
        [door] = [each.door for each in project.broker.middleware if hasattr(each, "door")]
        store = UnsteadyStore(open_store(database_url), seed)
        door._engines = {os.getpid(): Engine(store)}  # type: ignore[arg-type]
        runs = []
        with working(project):
            for number in range(12):
                words = [f"{number}.{place}" for place in range(4)]
                first, second, third, last = (project.message("note", str(path), word) for word in words)
                runs.append(project.segue.start(Chain(first, Group(second, third), last)))
            assert {run.wait(timeout=SECONDS).status for run in runs} == {"succeeded"}
        assert sum(store.lost.values()) > 3
    assert sorted(path.read_text().split()) == sorted(f"{number}.{place}" for number in range(12) for place in range(4))


def test_a_restart_of_the_database_is_waited_for(own_postgres: PostgresServer, tmp_path: Path) -> None:
    own_postgres.start()
    begun, until = tmp_path / "begun", tmp_path / "until"
    with Segue(own_postgres.url) as segue:
        segue.upgrade()
    with a_project("stub", own_postgres.url, threads=2) as project:
        work = Chain(project.message("note_and_wait", str(begun), str(until)), project.message("add", 1))
        run = project.segue.start(work)
        wait_until(begun.exists, SECONDS)
        own_postgres.stop()
        until.touch()  # its end is reported while there is no database
        own_postgres.start()
        assert run.wait(timeout=SECONDS).result() == 1
    assert begun.read_text() == "begun\n"


def test_a_redis_that_comes_back_empty_costs_time(sqlite_url: str, tmp_path: Path) -> None:
    server = RedisServer()
    server.start()
    begun, until = tmp_path / "begun", tmp_path / "until"
    with a_project(f"{server.url}/0", sqlite_url, lease_seconds=2.0) as project:
        worker = DramatiqWorker(f"{server.url}/0", sqlite_url, tmp_path / "log", lease_seconds=2.0)
        slow = project.message("note_and_wait", str(begun), str(until))
        run = project.segue.start(Group(slow, *(project.message("add", number) for number in range(20))))
        wait_until(begun.exists, SECONDS)
        server.stop()
        until.touch()
        server.start()
        assert run.wait(timeout=SECONDS).result() == ["waited", *range(20)]
        worker.stop()
    server.stop()


def test_an_actor_that_a_shutdown_interrupts_is_sent_again_as_no_try(impatient: Staged, tmp_path: Path) -> None:
    first, project = impatient.worker(), impatient.project
    begun, until = tmp_path / "begun", tmp_path / "until"
    run = project.segue.start(project.message("until_shutdown", str(begun), str(until)))
    wait_until(begun.exists, SECONDS)
    first.stop()
    [step] = run.steps()
    assert (step.status in ("ready", "sent"), step.failures, step.losses) == (True, 0, 0)
    until.touch()
    impatient.worker()
    assert run.wait(timeout=SECONDS).result() == "done"
    assert begun.read_text() == "begun\nbegun\n"


@pytest.mark.proof
def test_the_report_of_a_worker_that_slept_beyond_its_lease_is_refused(impatient: Staged, tmp_path: Path) -> None:
    first, project = impatient.worker(), impatient.project
    begun, until = tmp_path / "begun", tmp_path / "until"
    run = project.segue.start(
        Chain(project.message("note_and_wait", str(begun), str(until)), project.message("add", 1))
    )
    wait_until(begun.exists, SECONDS)
    os.killpg(first.process.pid, signal.SIGSTOP)
    impatient.worker()
    wait_until(lambda: begun.read_text() == "begun\nbegun\n", SECONDS)
    os.killpg(first.process.pid, signal.SIGCONT)
    until.touch()
    assert run.wait(timeout=SECONDS).result() == 1
    assert (run.steps()[0].attempt, run.steps()[0].losses) == (2, 1)
