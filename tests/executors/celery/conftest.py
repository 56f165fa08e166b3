"""A Redis, and for each database a Celery project with its workers: prefork, two children."""

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

import pytest

from segue import Run, Segue
from tests.conftest import a_database
from tests.executors.celery.project import make_app
from tests.servers.preloaded import CELERY, Program, preloaded
from tests.servers.redis import running_redis

START_SECONDS = 40


def wait_until(is_so: Callable[[], bool], seconds: float = 40.0) -> None:
    """Wait for something that another process does."""
    end = time.monotonic() + seconds
    while not is_so():
        assert time.monotonic() < end
        time.sleep(0.02)


class CeleryWorker:
    """A worker in processes of its own; its log is kept for the report of a failure."""

    def __init__(
        self, broker: str, database_url: str, log: Path, *, lease_seconds: float = 300.0, fence: str = "suspect",
        backend: str | None = None, pool: str = "prefork", queue: str = "celery", consume: str | None = None,
        **more: str,
    ) -> None:  # fmt: skip
        self.log = log
        environment = {
            **os.environ, "PROJECT_BROKER": broker, "PROJECT_DATABASE": database_url, "PROJECT_CANVAS": "durable",
            "PROJECT_LEASE_SECONDS": str(lease_seconds), "PROJECT_FENCE": fence, "PROJECT_QUEUE": queue, **more,
        }  # fmt: skip
        if backend is not None:
            environment["PROJECT_BACKEND"] = backend
        words = [
            "-A", "tests.executors.celery.project", "worker", "-c", "2",
            "-l", "INFO", "-n", f"node-{log.stem}@%h", "--without-gossip", "--without-mingle", "-P", pool,
            *([] if consume is None else ["-Q", consume]),
        ]  # fmt: skip
        self.process = _celery(words, environment, log, is_patched=pool == "gevent")
        end = time.monotonic() + START_SECONDS
        while not log.exists() or " ready." not in log.read_text():
            if self.process.poll() is not None or time.monotonic() > end:
                raise RuntimeError(f"The Celery worker did not start:\n{log.read_text()[-3000:]}")
            time.sleep(0.05)

    def stop(self) -> None:
        """End it in good order."""
        if self.process.poll() is None:
            self.process.terminate()
            try:
                self.process.wait(timeout=20)
            except subprocess.TimeoutExpired:
                self.kill()

    def kill(self) -> None:
        """End the worker and its children at once."""
        os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()


def _celery(
    words: list[str], environment: dict[str, str], log: Path, *, is_patched: bool
) -> Program | subprocess.Popen[bytes]:  # fmt: skip
    """Start the `celery` command. Where it patches what others import, it must be the first to import anything."""
    if not is_patched:
        return preloaded(CELERY).start("celery", words, environment=environment, log=log)
    with log.open("ab") as output:
        return subprocess.Popen(
            [sys.executable, "-m", "celery", *words], env=environment, stdout=output, stderr=output,
            start_new_session=True,
        )  # fmt: skip


class Project:
    """The app of a project in this process, and its database. Canvases are applied as in user's code."""

    def __init__(self, app: Any, folder: Path) -> None:
        self.app = app
        self.folder = folder
        self.segue: Segue = app.segue

    def sig(self, task: str, *args: Any, **kwargs: Any) -> Any:
        """A signature of a task."""
        return self.app.tasks[task].s(*args, **kwargs)

    def ended(self, run: Run, *, timeout: float = 40) -> Run:
        """The run, when it has ended."""
        return run.wait(timeout=timeout)


@pytest.fixture(scope="session")
def redis_url() -> Iterator[str]:
    with running_redis() as url:
        yield url


@pytest.fixture(scope="module", params=["sqlite", "postgres"])
def project(
    request: pytest.FixtureRequest, redis_url: str, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Project]:  # fmt: skip
    """A project with a worker, for all tests of a module."""
    folder = tmp_path_factory.mktemp("celery")
    with a_database(request.param, request, folder) as url, a_project(redis_url, url, folder) as found:
        yield found


@contextmanager
def a_project(
    broker: str, database_url: str, folder: Path, *, backend: str | None = None, pool: str = "prefork"
) -> Iterator[Project]:
    """A project in this process, and one worker."""
    observed = str(folder / "observed")
    worker = CeleryWorker(
        broker, database_url, folder / "worker.log", backend=backend, pool=pool, PROJECT_OBSERVED=observed
    )  # fmt: skip
    app = make_app(broker, database_url, canvas="durable", backend=backend)
    yield Project(app, folder)
    worker.stop()
    app.segue.close()
    app.close()


class Staged:
    """A database and a broker of a test's own; workers come and go."""

    def __init__(
        self, broker: str, database_url: str, folder: Path, *, lease_seconds: float, backend: str | None = None,
        queue: str = "celery",
    ) -> None:  # fmt: skip
        self.broker = broker
        self.url = database_url
        self._folder = folder
        self._workers: list[CeleryWorker] = []
        app = make_app(
            broker, database_url, canvas="durable", lease_seconds=lease_seconds, backend=backend, queue=queue
        )  # fmt: skip
        self.project = Project(app, folder)
        self._lease_seconds, self._backend, self.queue = lease_seconds, backend, queue

    def worker(self, *, fence: str = "suspect", pool: str = "prefork", **more: str) -> CeleryWorker:
        """Start one more worker, with more in its environment."""
        log = self._folder / f"worker-{len(self._workers)}.log"
        self._workers.append(
            CeleryWorker(
                self.broker, self.url, log, lease_seconds=self._lease_seconds, fence=fence, pool=pool,
                backend=self._backend, queue=self.queue, **more,
            )
        )  # fmt: skip
        return self._workers[-1]

    def close(self) -> None:
        """End what was started."""
        for worker in self._workers:
            if worker.process.poll() is None:
                worker.kill()
        self.project.segue.close()
        self.project.app.close()


@pytest.fixture(scope="module")
def own_redis_of_module() -> Iterator[str]:
    with running_redis() as url:
        yield url


@pytest.fixture
def own_redis() -> Iterator[str]:
    with running_redis() as url:
        yield url


@pytest.fixture
def staged(database_url: str, own_redis: str, tmp_path: Path) -> Iterator[Staged]:
    stage = Staged(own_redis, database_url, tmp_path, lease_seconds=60.0)
    yield stage
    stage.close()


@pytest.fixture
def impatient(database_url: str, own_redis: str, tmp_path: Path) -> Iterator[Staged]:
    """The same, where messages and processes are soon taken for lost."""
    stage = Staged(own_redis, database_url, tmp_path, lease_seconds=2.0)
    yield stage
    stage.close()


@pytest.fixture
def unhurried(database_url: str, own_redis: str, tmp_path: Path) -> Iterator[Staged]:
    """The same, but not as soon: for tests in which nothing may be taken for lost, however busy the machine is."""
    stage = Staged(own_redis, database_url, tmp_path, lease_seconds=5.0)
    yield stage
    stage.close()
