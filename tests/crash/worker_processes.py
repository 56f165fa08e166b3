"""Real workers, `python -m segue worker`, to be killed, stopped and continued; and waiting with a deadline."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from segue import Segue

ROOT = Path(__file__).parents[2]
PATIENCE_SECONDS = 30.0


def eventually(condition: Callable[[], Any], *, seconds: float = PATIENCE_SECONDS) -> Any:
    """What `condition` returns as soon as that is true; an assertion error when it never is."""
    deadline = time.monotonic() + seconds
    while not (found := condition()):
        assert time.monotonic() < deadline, f"still not so after {seconds:g} s"
        time.sleep(0.01)
    return found


def freeze(segue: Segue, send: Callable[[signal.Signals], None]) -> None:
    """Stop a process, but not while it writes: on SQLite it would hold the one lock for as long as it is frozen."""
    with segue.engine.store.transaction():
        send(signal.SIGSTOP)
        time.sleep(0.01)  # until it has stopped


class WorkerProcess:
    """One worker; its log is kept."""

    def __init__(self, process: subprocess.Popen[str], log: Path) -> None:
        self._process = process
        self._log = log
        self.id = ""
        self.pid = process.pid

    def wait_until_ready(self) -> Self:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        assert line, self.log()
        self.id = json.loads(line)["worker"]
        return self

    @property
    def is_alive(self) -> bool:
        return self._process.poll() is None

    def log(self) -> str:
        return self._log.read_text()

    def send(self, number: signal.Signals) -> None:
        self._process.send_signal(number)

    def kill(self) -> None:
        """End it with SIGKILL, if it has not ended yet."""
        self._process.kill()
        self._process.wait()
        if self._process.stdout is not None:
            self._process.stdout.close()

    def end(self) -> int:
        """Stop it warm; returns the exit code."""
        self._process.terminate()
        return self.exit_code()

    def exit_code(self) -> int:
        return self._process.wait(PATIENCE_SECONDS)


class WorkerProcesses:
    """The workers of one test. All of them end with it."""

    def __init__(self, url: str, folder: Path) -> None:
        self._url = url
        self._folder = folder
        self.workers: list[WorkerProcess] = []

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, exc: BaseException | None, tb: TracebackType | None) -> None:
        for worker in self.workers:
            worker.kill()
        if exc is not None:
            for worker in self.workers:
                sys.stdout.write(f"--- log of worker {worker.pid}\n{worker.log()}")

    def start_without_waiting(
        self, *, places: int = 2, lease_seconds: float = 1.0, module: str = "tests.crash.crash_tasks",
        pool: str = "process", queues: str = "default", grace_seconds: float = 10.0,
    ) -> WorkerProcess:  # fmt: skip
        """Start a worker, without waiting until it is ready."""
        log = self._folder / f"worker-{len(self.workers)}.log"
        command = [
            *(sys.executable, "-m", "segue", "worker", "-A", module, "-c", str(places), "--pool", pool, "--json"),
            *("--lease-seconds", f"{lease_seconds:g}", "--grace-seconds", f"{grace_seconds:g}", "--queue", queues),
        ]
        search_path = os.pathsep.join([str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])])
        environment = os.environ | {"SEGUE_DATABASE_URL": self._url, "PYTHONPATH": search_path}
        with log.open("w") as file:
            process = subprocess.Popen(
                command, env=environment, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=file, text=True
            )
        worker = WorkerProcess(process, log)
        self.workers.append(worker)
        return worker

    def start(self, **how: Any) -> WorkerProcess:
        """A worker that is ready."""
        return self.start_without_waiting(**how).wait_until_ready()
