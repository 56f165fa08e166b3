"""The demo's workers: separate processes, which can be stopped warm or killed.

Promises: no worker outlives the `with` block of its `Crew`. Workers log to a file, whose tail shows why a worker ended
unexpectedly.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import Self

STOP_SECONDS = 15.0
TAIL_LINES = 12


class Crew:
    """Runs one worker at a time, and counts them.

    Example::

        with Crew(command, database=url, log=folder / "worker.log") as crew:
            crew.hire()
            crew.kill()
            crew.hire()
    """

    def __init__(self, command: list[str], *, database: str, log: Path) -> None:
        self._command = command
        # In the environment, because every user of the machine can see a command line, and a URL may contain a
        # password.
        self._environment = os.environ | {"SEGUE_DATABASE_URL": database}
        self._log = log
        self._log_begins_at = log.stat().st_size if log.exists() else 0  # of this crew; older lines belong to others
        self._worker: subprocess.Popen[bytes] | None = None
        self.hired = 0

    def hire(self) -> int:
        """Start a worker and return its process id."""
        self._log.parent.mkdir(parents=True, exist_ok=True)
        with self._log.open("ab") as log:
            self._worker = subprocess.Popen(
                self._command,
                env=self._environment,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,  # Ctrl-C in the terminal is for the demo, which then stops its worker warm
            )
        self.hired += 1
        return self._worker.pid

    @property
    def pid(self) -> int | None:
        """The process id of the current worker."""
        return self._worker.pid if self._worker else None

    @property
    def exit_code(self) -> int | None:
        """How the worker ended; None while it runs."""
        return self._worker.poll() if self._worker else None

    def kill(self) -> int:
        """Kill the worker with SIGKILL, which it cannot catch, and return its process id."""
        if self._worker is None:
            raise RuntimeError("there is no worker to kill; hire one first")
        self._worker.kill()
        self._worker.wait()
        return self._worker.pid

    def stop(self) -> None:
        """Let the worker finish running steps and hand back the others; kill it if that takes too long."""
        if self._worker is None or self._worker.poll() is not None:
            return
        self._worker.send_signal(signal.SIGTERM)
        try:
            self._worker.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            self._worker.kill()
            self._worker.wait()

    def last_words(self) -> str:
        """The last lines of the workers' log."""
        try:
            text = self._log.read_bytes()[self._log_begins_at :].decode(errors="replace")
        except FileNotFoundError:
            return ""
        return "\n".join(text.splitlines()[-TAIL_LINES:])

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, exc: BaseException | None, tb: TracebackType | None) -> None:
        self.stop()


def worker_command(*, module: str, queue: str, concurrency: int, lease_seconds: float) -> list[str]:
    """The command line of a demo worker, run by this Python."""
    return [
        *(sys.executable, "-m", "segue", "worker", "-A", module, "--queue", queue),
        *("-c", str(concurrency), "--lease-seconds", f"{lease_seconds:g}", "--log-level", "warning"),
    ]


@contextmanager
def sigterm_as_interrupt() -> Iterator[None]:
    """Treat SIGTERM like Ctrl-C, so that no worker and no database is left behind."""
    if threading.current_thread() is not threading.main_thread():
        yield  # only the main thread may set signal handlers
        return
    before = signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)
