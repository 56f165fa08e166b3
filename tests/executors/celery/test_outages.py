"""While runs go on, the broker forgets everything, the result backend is away, and messages come again late."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import kombu
import pytest
import redis
from celery import Celery, chain

from segue import Run, Segue
from segue.executors.celery import plan_of
from tests.executors.celery.conftest import wait_until
from tests.executors.celery.tallied import LONG_SECONDS, make_app, shapes
from tests.executors.celery.tallying import CeleryTallyingWorker
from tests.executors.tallies import Tallied, read_ledger, wrongs
from tests.executors.tallying import Place
from tests.servers.postgres import PostgresServer, create_database
from tests.servers.redis import RedisServer

SECONDS = 90


class Scene:
    """A broker and a result backend of a test's own, a database, and workers."""

    def __init__(self, database_url: str, folder: Path) -> None:
        self.broker, self.backend = RedisServer(), RedisServer()
        self.broker.start()
        self.backend.start()
        self._url, self._folder = database_url, folder
        self._workers: list[CeleryTallyingWorker] = []
        self._runs: list[tuple[Run, Tallied]] = []

    def set(self, *, fence: str = "suspect", lease_seconds: float = 2.0) -> None:
        """Make the app of this process."""
        backend = f"{self.backend.url}/0"
        self.place = Place(f"{self.broker.url}/0", backend, self._url, self._folder, lease_seconds, fence)
        self.app: Celery = make_app(
            self.place.broker, backend, self._url, lease_seconds=lease_seconds, fence=fence
        )  # fmt: skip

    def worker(self, **more: str) -> CeleryTallyingWorker:
        """One more worker."""
        self._workers.append(CeleryTallyingWorker(self.place, len(self._workers), **more))
        return self._workers[-1]

    def supervise(self) -> None:
        """Start a worker for each that has ended: kombu 5.7 may fail to close a connection whose broker is gone."""
        for worker in [worker for worker in self._workers if not worker.is_alive and not worker.is_killed]:
            assert "Unrecoverable error" in worker.log.read_text()
            worker.kill()
            self.worker()

    def start(self, make: Callable[[int], Tallied]) -> None:
        """Start a run."""
        tallied = make(len(self._runs))
        self._runs.append((self.segue.start(plan_of(tallied.work)), tallied))

    def start_all(self) -> None:
        """Start a run of each shape."""
        for name in shapes(self.app, 0):
            self.start(lambda number, name=name: shapes(self.app, number)[name]())  # type: ignore[misc]

    @property
    def segue(self) -> Segue:
        """On the database."""
        segue: Segue = self.app.segue
        return segue

    def has_lines(self, count: int) -> bool:
        """Whether so many bodies ran."""
        self.supervise()
        return sum(map(len, read_ledger(self.place.ledger).values())) >= count

    def ends_well(self, *, once: bool = False) -> bool:
        """Wait until all runs have ended, as they should; the assertions show what is wrong."""
        wait_until(self._have_ended, SECONDS)
        lines = read_ledger(self.place.ledger)
        for number, (run, tallied) in enumerate(self._runs):
            assert run.status == ("failed" if tallied.fails else "succeeded"), run.info().error
            assert wrongs(tallied, lines[number], None if tallied.fails else run.result(), once=once) == []
        assert self.segue.engine.broken_invariants() == []
        return True

    def _have_ended(self) -> bool:
        self.supervise()
        return all(run.status in ("succeeded", "failed") for run, _ in self._runs)

    def close(self) -> None:
        """End all of it."""
        for worker in self._workers:
            worker.kill()
        self.segue.close()
        self.app.close()
        self.broker.stop()
        self.backend.stop()


@pytest.fixture
def scene(database_url: str, tmp_path: Path) -> Iterator[Scene]:
    scene = Scene(database_url, tmp_path)
    scene.set()
    yield scene
    scene.close()


def flush(scene: Scene) -> None:
    with redis.Redis.from_url(scene.place.broker) as client:
        client.flushdb()


def restart(scene: Scene) -> None:
    scene.broker.stop()
    time.sleep(1.0)
    scene.broker.start()


@pytest.mark.parametrize("blow", [flush, pytest.param(restart, marks=pytest.mark.proof)])
def test_a_broker_that_forgets_everything_in_the_middle_loses_nothing(
    scene: Scene, blow: Callable[[Scene], None]
) -> None:
    scene.worker()
    scene.start_all()
    wait_until(lambda: scene.has_lines(5), SECONDS)
    blow(scene)
    scene.start_all()
    wait_until(lambda: scene.has_lines(40), SECONDS)
    blow(scene)
    assert scene.ends_well()


def test_runs_need_no_result_backend(scene: Scene) -> None:
    scene.worker()
    scene.start(lambda number: shapes(scene.app, number)["a_chain"]())
    wait_until(lambda: scene.has_lines(1), SECONDS)
    scene.backend.stop()
    scene.start_all()
    assert scene.ends_well()


def long_one(app: Celery) -> Callable[[int], Tallied]:
    """A chain whose first task runs for seconds, and whose last one waits for seconds before it runs."""

    def make(number: int) -> Tallied:
        later: Any = app.tasks["tally"].s(number, "c").set(countdown=LONG_SECONDS)
        canvas = chain(app.tasks["long"].s(None, number, "a"), app.tasks["tally"].s(number, "b"), later)
        return Tallied(canvas, {"a": (), "b": ("a",), "c": ("b",)}, ("c",))

    return make


@pytest.mark.parametrize("fence", ["suspect", pytest.param("always", marks=pytest.mark.proof)])
def test_a_task_that_takes_longer_than_the_visibility_timeout_runs_once(scene: Scene, fence: str) -> None:
    """Its message comes again, to this worker or the other one, and is turned away."""
    scene.app.close()
    scene.segue.close()
    scene.set(fence=fence, lease_seconds=60.0)
    workers = [scene.worker(TALLY_VISIBILITY="1") for _ in range(2)]
    scene.start(long_one(scene.app))
    assert scene.ends_well(once=True)
    if kombu.VERSION < (5, 6):
        return  # it looks for such messages every ten seconds, so this one did not come again in time
    received = sum(worker.log.read_text().count("Task long[") for worker in workers)
    assert received >= 3, "the message did not come again"  # once received, again, and once succeeded


@pytest.mark.proof
def test_a_message_that_a_dead_worker_had_comes_again_and_is_refused(scene: Scene) -> None:
    """Its step has been sent again meanwhile, when the lease of the worker was over."""
    first = scene.worker(TALLY_VISIBILITY="8")
    scene.start(long_one(scene.app))
    wait_until(lambda: scene.has_lines(1), SECONDS)
    wait_until(lambda: scene.segue.runs(limit=1)[0].status == "running", SECONDS)
    first.kill()
    second = scene.worker(TALLY_VISIBILITY="8")
    assert scene.ends_well()
    wait_until(lambda: second.log.read_text().count("Task long[") >= 3, SECONDS)
    [long_lines] = [[line for line in read_ledger(scene.place.ledger)[0] if line.word == "a"]]
    assert len(long_lines) == 2  # of the worker that died, and of the one that took over


@pytest.mark.parametrize("fence", ["suspect", "always"])
def test_a_task_waits_while_the_database_cannot_be_asked(
    own_postgres: PostgresServer, tmp_path: Path, fence: str
) -> None:
    """It is away already when the worker starts, so the worker has no row yet, either, and its children no clock."""
    url = create_database(own_postgres.url)
    with Segue(url) as segue:
        segue.upgrade()
    scene = Scene(url, tmp_path)
    try:
        scene.set(fence=fence, lease_seconds=60.0)
        scene.start(lambda number: shapes(scene.app, number)["a_chain"]())
        own_postgres.stop()
        worker = scene.worker()
        wait_until(lambda: "] received" in worker.log.read_text(), SECONDS)
        time.sleep(2.0)
        assert not scene.has_lines(1)
        own_postgres.start()
        assert scene.ends_well(once=True)
    finally:
        scene.close()
