"""Projects of Dramatiq, on both databases: with a worker in this process, and with workers of their own on Redis."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import dramatiq
import pytest
from dramatiq import Broker, Message, Worker

from segue import Run, Segue
from tests.conftest import a_database
from tests.executors.dramatiq.project import make_broker
from tests.servers.preloaded import DRAMATIQ, Program, preloaded
from tests.servers.redis import running_redis

START_SECONDS = 40
ROOT = Path(__file__).parents[3]


def wait_until(is_so: Callable[[], bool], seconds: float = 40.0) -> None:
    """Wait for something that another thread or process does."""
    end = time.monotonic() + seconds
    while not is_so():
        assert time.monotonic() < end
        time.sleep(0.02)


class DramatiqWorker:
    """Worker processes of their own; their log is kept for the report of a failure."""

    def __init__(
        self, broker: str, database_url: str, log: Path, *, lease_seconds: float = 60.0, threads: int = 4,
        program: str = "dramatiq",
    ) -> None:  # fmt: skip
        self.log = log
        environment = {
            **os.environ, "PROJECT_BROKER": broker, "PROJECT_DATABASE": database_url,
            "PROJECT_LEASE_SECONDS": str(lease_seconds),
        }  # fmt: skip
        words = [
            "tests.executors.dramatiq.project:broker",
            "--processes", "1", "--threads", str(threads), "--worker-shutdown-timeout", "5000",
        ]  # fmt: skip
        self.process = _dramatiq(program, words, environment, log)
        end = time.monotonic() + START_SECONDS
        while not log.exists() or "is ready for action" not in log.read_text():
            if self.process.poll() is not None or time.monotonic() > end:
                raise RuntimeError(f"The Dramatiq worker did not start:\n{log.read_text()[-3000:]}")
            time.sleep(0.05)

    def stop(self) -> None:
        """End it in good order."""
        if self.process.poll() is None:
            self.process.terminate()
            try:
                self.process.wait(timeout=30)
            except subprocess.TimeoutExpired:
                self.kill()

    def kill(self) -> None:
        """End all of its processes at once."""
        os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()


def _dramatiq(
    program: str, words: list[str], environment: dict[str, str], log: Path
) -> Program | subprocess.Popen[bytes]:
    """Start this command. One that patches what others import must be the first to import anything."""
    if program == "dramatiq":
        return preloaded(DRAMATIQ).start("dramatiq", words, environment=environment, log=log, folder=ROOT)
    with log.open("ab") as output:
        return subprocess.Popen(
            [sys.executable, str(Path(sys.executable).with_name(program)), *words],
            env=environment, stdout=output, stderr=output, start_new_session=True, cwd=ROOT,
        )  # fmt: skip


class Project:
    """The broker of a project in this process, and its database."""

    def __init__(self, broker: Broker, segue: Segue) -> None:
        self.broker = broker
        self.segue = segue

    def message(self, actor: str, *args: Any, **kwargs: Any) -> Message[Any]:
        """A message for an actor."""
        return self.broker.get_actor(actor).message(*args, **kwargs)

    def with_options(self, actor: str, *args: Any, **options: Any) -> Message[Any]:
        """A message with options."""
        return self.broker.get_actor(actor).message_with_options(args=args, **options)

    def result(self, work: Any, *, timeout: float = 40) -> Any:
        """What comes out when it is started."""
        return self.segue.start(work).wait(timeout=timeout).result()

    def ended(self, work: Any, *, timeout: float = 40) -> Run:
        """The run of it, when it has ended."""
        run = work if isinstance(work, Run) else self.segue.start(work)
        return run.wait(timeout=timeout)


@contextmanager
def a_project(broker_url: str, database_url: str, *, threads: int = 0, **options: Any) -> Iterator[Project]:
    """A project in this process; with threads, it also has a worker here."""
    with Segue(database_url) as segue:
        broker = make_broker(broker_url, segue, **options)
        before = dramatiq.broker.global_broker
        dramatiq.set_broker(broker)
        worker = Worker(broker, worker_timeout=100, worker_threads=threads) if threads else None
        if worker is not None:
            broker.emit_after("process_boot")  # as Dramatiq's command does: the middleware for time limits waits for it
            worker.start()
        try:
            yield Project(broker, segue)
        finally:
            if worker is not None:
                worker.stop()
            broker.close()
            dramatiq.broker.global_broker = before


@contextmanager
def working(project: Project, *, threads: int = 4) -> Iterator[Worker]:
    """A worker in this process, while a block lasts."""
    worker = Worker(project.broker, worker_timeout=100, worker_threads=threads)
    project.broker.emit_after("process_boot")
    worker.start()
    try:
        yield worker
    finally:
        worker.stop()


@pytest.fixture(scope="module", params=["sqlite", "postgres"])
def inner(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Project]:
    """A project on a broker in this process, with a worker, for all tests of a module."""
    with (
        a_database(request.param, request, tmp_path_factory.mktemp("dramatiq")) as url,
        a_project("stub", url, threads=4) as project,
    ):
        yield project


@pytest.fixture(scope="session")
def redis_url() -> Iterator[str]:
    with running_redis() as url:
        yield url


@pytest.fixture(scope="module", params=["sqlite", "postgres"])
def project(
    request: pytest.FixtureRequest, redis_url: str, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Project]:
    """A project on Redis with a worker process, for all tests of a module."""
    folder = tmp_path_factory.mktemp("dramatiq")
    with a_database(request.param, request, folder) as url:
        broker_url = f"{redis_url}/{0 if request.param == 'sqlite' else 1}"
        worker = DramatiqWorker(broker_url, url, folder / "worker.log")
        with a_project(broker_url, url) as project:
            yield project
        worker.stop()


class Staged:
    """A database and a broker of a test's own; workers come and go."""

    def __init__(
        self, broker_url: str, database_url: str, folder: Path, project: Project, lease_seconds: float
    ) -> None:
        self.broker_url, self.url, self.project = broker_url, database_url, project
        self._folder, self._lease_seconds = folder, lease_seconds
        self._workers: list[DramatiqWorker] = []

    def worker(self, *, threads: int = 4, program: str = "dramatiq") -> DramatiqWorker:
        """Start one more worker."""
        log = self._folder / f"worker-{len(self._workers)}.log"
        self._workers.append(
            DramatiqWorker(
                self.broker_url, self.url, log, lease_seconds=self._lease_seconds, threads=threads, program=program
            )
        )  # fmt: skip
        return self._workers[-1]

    def close(self) -> None:
        """End what was started."""
        for worker in self._workers:
            if worker.process.poll() is None:
                worker.kill()


@pytest.fixture
def own_redis() -> Iterator[str]:
    with running_redis() as url:
        yield url


@pytest.fixture
def impatient(database_url: str, own_redis: str, tmp_path: Path) -> Iterator[Staged]:
    """A broker and a database of the test's own, where messages and processes are soon taken for lost."""
    with impatiently(database_url, own_redis, tmp_path) as stage:
        yield stage


@pytest.fixture
def on_sqlite(sqlite_url: str, own_redis: str, tmp_path: Path) -> Iterator[Staged]:
    """The same for a test that is about the broker."""
    with impatiently(sqlite_url, own_redis, tmp_path) as stage:
        yield stage


@contextmanager
def impatiently(database_url: str, redis_url: str, tmp_path: Path) -> Iterator[Staged]:
    broker_url = f"{redis_url}/0"
    with a_project(broker_url, database_url, lease_seconds=2.0) as project:
        stage = Staged(broker_url, database_url, tmp_path, project, 2.0)
        yield stage
        stage.close()
