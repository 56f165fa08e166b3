"""The demo's workers: separate processes, which may be stopped warm or killed.

Promises: no worker outlives the `with` block of its `Crew`. What a worker logs goes to a file, whose tail tells why it
ended, if it should.
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
    """One worker at a time, and how many there have been.

    Example::

        with Crew(command, database=url, log=folder / "worker.log") as crew:
            crew.hire()
            crew.kill()
            crew.hire()
    """

    def __init__(self, command: list[str], *, database: str, log: Path) -> None:
        self._command = command
        # By the environment, because a command line is open to everyone on the machine and a URL may hold a password.
        self._environment = os.environ | {"SEGUE_DATABASE_URL": database}
        self._log = log
        self._log_begins_at = log.stat().st_size if log.exists() else 0  # of this crew; older lines are not its own
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
        """The process id of the worker there is."""
        return self._worker.pid if self._worker else None

    @property
    def exit_code(self) -> int | None:
        """How the worker ended; None while it lives."""
        return self._worker.poll() if self._worker else None

    def kill(self) -> int:
        """End the worker with SIGKILL, which it cannot notice, and return the process id that it had."""
        if self._worker is None:
            raise RuntimeError("there is no worker to kill; hire one first")
        self._worker.kill()
        self._worker.wait()
        return self._worker.pid

    def stop(self) -> None:
        """Let the worker finish what it runs and hand back the rest; kill it if that takes too long."""
        if self._worker is None or self._worker.poll() is not None:
            return
        self._worker.send_signal(signal.SIGTERM)
        try:
            self._worker.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            self._worker.kill()
            self._worker.wait()

    def last_words(self) -> str:
        """The last lines that the workers logged."""
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
    """The command line of a worker of the demo, run by this very Python."""
    return [
        *(sys.executable, "-m", "segue", "worker", "-A", module, "--queue", queue),
        *("-c", str(concurrency), "--lease-seconds", f"{lease_seconds:g}"),
    ]


@contextmanager
def sigterm_as_interrupt() -> Iterator[None]:
    """End on SIGTERM as on Ctrl-C, so that no worker and no database is left behind."""
    if threading.current_thread() is not threading.main_thread():
        yield  # only the main thread may say what a signal does
        return
    before = signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)
