"""A project whose workers cannot reach the database: they report in the result backend, and followers read there."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from segue import Run, Segue
from tests.executors.celery.conftest import CeleryWorker
from tests.executors.celery.project import make_app
from tests.servers.redis import RedisServer

LEASE_SECONDS = 5.0
QUEUE = "polled"
QUEUE_NEARBY = "nearby"
NOWHERE = ("postgresql://nobody@127.0.0.1:1/nothing", "sqlite:////no/such/folder/segue.db")
"""Databases that cannot be opened: what the workers have."""


class FollowerProcess:
    """`segue scheduler -A` on the project, in a process of its own."""

    def __init__(self, environment: dict[str, str], database_url: str, log: Path) -> None:
        command = [
            sys.executable, "-m", "segue", "scheduler", "-A", "tests.executors.celery.project", "--database",
            database_url, "--json",
        ]  # fmt: skip
        with log.open("ab") as output:
            self.process = subprocess.Popen(
                command, env=environment, stdout=subprocess.PIPE, stderr=output, start_new_session=True
            )
        assert self.process.stdout is not None
        if not self.process.stdout.readline():
            raise RuntimeError(f"The scheduler did not start:\n{log.read_text()[-3000:]}")

    def stop(self) -> None:
        """End it in good order."""
        if self.process.poll() is None:
            self.process.terminate()
            self.process.wait(timeout=30)

    def kill(self) -> None:
        """End it at once."""
        os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()


class Polled:
    """A broker, a result backend of its own, a database, a worker that has no database, and a follower that has it."""

    def __init__(self, broker: str, database_url: str, folder: Path) -> None:
        self.folder = folder
        self.backend = RedisServer()
        self.backend.start()
        self.url = database_url
        self._broker = broker
        self._backend_url = f"{self.backend.url}/0"
        self.app = make_app(
            broker, database_url, canvas="durable", lease_seconds=LEASE_SECONDS, backend=self._backend_url, queue=QUEUE,
            reports="polled",
        )  # fmt: skip
        self.segue: Segue = self.app.segue  # type: ignore[attr-defined]
        self.workers: list[CeleryWorker] = []
        self.followers: list[FollowerProcess] = []

    def worker(self, queue: str = QUEUE, *, pool: str = "prefork", **more: str) -> CeleryWorker:
        """Start one more worker, with more in its environment."""
        number = len(self.workers)
        self.workers.append(
            CeleryWorker(
                self._broker, NOWHERE[number % 2], self.folder / f"worker-{number}.log", lease_seconds=LEASE_SECONDS,
                backend=self._backend_url, queue=QUEUE, consume=queue, pool=pool,
                **{"PROJECT_REPORTS": "polled", "PROJECT_GRACE_SECONDS": "3", "PROJECT_WATCHFUL": "yes", **more},
            )
        )  # fmt: skip
        return self.workers[-1]

    def follower(self, **more: str) -> FollowerProcess:
        """Start one more follower, with more in its environment."""
        environment = {
            **os.environ, "PROJECT_BROKER": self._broker, "PROJECT_DATABASE": self.url, "PROJECT_CANVAS": "durable",
            "PROJECT_LEASE_SECONDS": str(LEASE_SECONDS), "PROJECT_BACKEND": self._backend_url, "PROJECT_QUEUE": QUEUE,
            "PROJECT_REPORTS": "polled", "PROJECT_GRACE_SECONDS": "3", **more,
        }  # fmt: skip
        log = self.folder / f"follower-{len(self.followers)}.log"
        self.followers.append(FollowerProcess(environment, self.url, log))
        return self.followers[-1]

    def sig(self, task: str, *args: Any, **kwargs: Any) -> Any:
        """A signature of a task."""
        return self.app.tasks[task].s(*args, **kwargs)

    def logs(self, of: str) -> str:
        """What all workers, or all followers, have logged."""
        return "".join(path.read_text() for path in sorted(self.folder.glob(f"{of}-*.log")))

    def close(self) -> None:
        """End all of it."""
        for process in (*self.workers, *self.followers):
            if process.process.poll() is None:
                process.kill()
        self.segue.close()
        self.app.close()
        self.backend.stop()


def states_of(run: Run) -> list[str]:
    """How the steps of a run stand, in their order."""
    return [str(step.status) for step in run.steps()]


def is_sound(segue: Segue, seconds: float = 10.0) -> bool:
    """Whether the database is as it should be; what a process does just now may take a moment."""
    end = time.monotonic() + seconds
    while segue.engine.broken_invariants() and time.monotonic() < end:
        time.sleep(0.05)
    return segue.engine.broken_invariants() == []
