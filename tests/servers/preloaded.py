"""Programs of Python that start quickly: each is forked from a process that has loaded their modules already.

A worker of Celery or Dramatiq takes most of a second of a processor until it is ready, nearly all of it for imports,
and hundreds of tests start one. The forked program is a process of its own in every other way: in a session of its own,
with the environment that it is given, and run as `python -m` would run it.

A module that reads the environment or makes connections when it is imported must not be loaded beforehand.

Run as a program: ``preloaded.py MODULE...``; requests and answers are lines of JSON.
"""

from __future__ import annotations

import atexit
import contextlib
import functools
import importlib
import json
import os
import runpy
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

CELERY = (
    "billiard.popen_fork", "billiard.sharedctypes", "celery.app.amqp", "celery.app.backends", "celery.app.control",
    "celery.app.events", "celery.app.log", "celery.apps.worker", "celery.backends.redis", "celery.bin.celery",
    "celery.concurrency.prefork", "celery.events.state", "celery.fixups.django", "celery.loaders.app",
    "celery.worker.consumer", "celery.worker.strategy", "kombu.transport.redis", "psycopg", "redis",
    "segue.authoring.describing", "segue.client", "segue.executors.celery", "segue.scheduler.chores",
    "segue.store.postgres", "segue.store.sqlite",
)  # fmt: skip
"""What a Celery worker of the tests has loaded when it is ready, without what reads the environment."""
DRAMATIQ = (
    "dramatiq.brokers.redis", "dramatiq.cli", "dramatiq.middleware.asyncio", "dramatiq.results.backends.redis",
    "psycopg", "redis", "segue.client", "segue.executors.dramatiq", "segue.scheduler.chores", "segue.store.postgres",
    "segue.store.sqlite",
)  # fmt: skip
FIRST_PAUSE_SECONDS, LONGEST_PAUSE_SECONDS = 0.001, 0.05


class Program:
    """A program that was started; it has what the tests use of `subprocess.Popen`."""

    def __init__(self, source: Preloaded, pid: int) -> None:
        self.pid = pid
        self.returncode: int | None = None
        self._source = source

    def poll(self) -> int | None:
        """Its exit code, negative for a signal; None as long as it runs."""
        if self.returncode is None:
            self.returncode = self._source.ask({"poll": self.pid})
        return self.returncode

    def wait(self, timeout: float | None = None) -> int:
        """Wait for its end."""
        end = None if timeout is None else time.monotonic() + timeout
        pause = FIRST_PAUSE_SECONDS
        while (code := self.poll()) is None:
            if end is not None and time.monotonic() > end:
                raise subprocess.TimeoutExpired(str(self.pid), timeout or 0.0)
            time.sleep(pause)
            pause = min(2 * pause, LONGEST_PAUSE_SECONDS)
        return code

    def send_signal(self, number: int) -> None:
        """Send it a signal, unless it has ended."""
        if self.poll() is None:
            os.kill(self.pid, number)

    def terminate(self) -> None:
        self.send_signal(signal.SIGTERM)

    def kill(self) -> None:
        self.send_signal(signal.SIGKILL)


class Preloaded:
    """The process with the modules. It ends with this one, and what it has started with it.

    Example::

        celery = Preloaded(CELERY)
        worker = celery.start("celery", ["-A", "project", "worker"], environment=os.environ, log=folder / "log")
        worker.terminate()
        worker.wait(timeout=20)
    """

    def __init__(self, modules: tuple[str, ...]) -> None:
        self._process = subprocess.Popen(
            [sys.executable, __file__, *modules], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
            start_new_session=True,
        )  # fmt: skip
        self._lock = threading.Lock()
        atexit.register(self.close)

    def close(self) -> None:
        """End it, and what it has started."""
        self._process.communicate()

    def start(
        self, module: str, words: list[str], *, environment: Mapping[str, str], log: Path, folder: Path | None = None
    ) -> Program:
        """Start `python -m module words...` in a folder, or in the present one; what it prints is added to the log."""
        request = {"module": module, "words": words, "environment": dict(environment), "log": str(log.absolute())}
        return Program(self, self.ask(request | {"folder": str(folder or Path.cwd())}))

    def ask(self, request: dict[str, Any]) -> Any:
        """Send one request, and return the answer."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        with self._lock:
            self._process.stdin.write(json.dumps(request) + "\n")
            self._process.stdin.flush()
            answer = self._process.stdout.readline()
        if not answer:
            raise RuntimeError("The process with the loaded modules has ended; its standard error says why.")
        return json.loads(answer)


@functools.cache
def preloaded(modules: tuple[str, ...]) -> Preloaded:
    """The process with these modules, which all tests of this process share."""
    return Preloaded(modules)


def main(modules: list[str]) -> None:
    """Answer requests until there are none; in a forked process, run what was asked for."""
    sys.path[0] = str(Path.cwd())  # or `redis` would be the module beside this one
    for module in modules:
        importlib.import_module(module)
    running: set[int] = set()
    for line in sys.stdin:
        request = json.loads(line)
        if "poll" in request:
            answer = _exit_code(request["poll"], running)
        else:
            answer = _fork()
            if answer == 0:
                _run(request)
                return
            running.add(answer)
        print(json.dumps(answer), flush=True)
    for pid in running:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(pid, signal.SIGKILL)


def _exit_code(pid: int, running: set[int]) -> int | None:
    found, status = os.waitpid(pid, os.WNOHANG)
    if not found:
        return None
    running.discard(pid)
    return os.waitstatus_to_exitcode(status)


def _fork() -> int:
    """Fork into a session of its own, which is there before this returns: signals may go to it at once."""
    reader, writer = os.pipe()
    pid = os.fork()
    if pid == 0:
        os.setsid()
        os.close(reader)
    os.close(writer)
    if pid:
        os.read(reader, 1)
        os.close(reader)
    return pid


def _run(request: dict[str, Any]) -> None:
    os.environ.clear()
    os.environ.update(request["environment"])
    os.chdir(request["folder"])
    nothing = os.open(os.devnull, os.O_RDONLY)
    log = os.open(request["log"], os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
    for source, target in ((nothing, 0), (log, 1), (log, 2)):
        os.dup2(source, target)
    os.close(nothing)
    os.close(log)
    sys.stdin = open(0, closefd=False)  # noqa: SIM115 - the other one has read ahead
    sys.path[0] = request["folder"]
    sys.argv[1:] = request["words"]
    runpy.run_module(request["module"], run_name="__main__", alter_sys=True)


if __name__ == "__main__":
    main(sys.argv[1:])
