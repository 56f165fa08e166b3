"""Workers of a tallied project (tallies.py), as processes that may be killed, frozen and started again."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

START_SECONDS = 60


class Place(NamedTuple):
    """Where the project's things are."""

    broker: str
    backend: str | None
    database: str
    folder: Path  # of the ledger and the logs
    lease_seconds: float = 2.0
    fence: str = "suspect"

    @property
    def ledger(self) -> Path:
        """The file in which each body writes a line."""
        return self.folder / "ledger"


class TallyingWorker:
    """One worker with its children. It is the leader of a session, to which all its processes belong.

    `ready` is in its log when it consumes.
    """

    def __init__(
        self, place: Place, number: int, command: Sequence[str], *, ready: str, unsteady: str = "", **more: str
    ) -> None:  # fmt: skip
        self.is_killed = False
        self.log = place.folder / f"worker-{number}.log"
        self._ready = ready
        environment = {
            **os.environ, "TALLY_BROKER": place.broker, "TALLY_BACKEND": place.backend or "",
            "TALLY_DATABASE": place.database, "TALLY_LEDGER": str(place.ledger), "TALLY_FENCE": place.fence,
            "TALLY_LEASE_SECONDS": str(place.lease_seconds), "TALLY_UNSTEADY": unsteady, **more,
        }  # fmt: skip
        with self.log.open("ab") as output:
            self.process = subprocess.Popen(
                [sys.executable, *command], env=environment, stdin=subprocess.DEVNULL, stdout=output, stderr=output,
                start_new_session=True,
            )  # fmt: skip

    def wait_until_ready(self) -> None:
        """Wait until it consumes."""
        end = time.monotonic() + START_SECONDS
        while self._ready not in self.log.read_text():
            if not self.is_alive or time.monotonic() > end:
                raise RuntimeError(f"The worker did not start:\n{self.log.read_text()[-3000:]}")
            time.sleep(0.05)

    @property
    def is_alive(self) -> bool:
        """Whether its main process lives."""
        return self.process.poll() is None

    def send(self, number: signal.Signals) -> None:
        """To the main process and all children."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.process.pid, number)

    def kill(self) -> None:
        """End all of it at once, also children whose main process is gone."""
        self.is_killed = True
        self.send(signal.SIGKILL)
        self.process.wait()

    def stop(self, *, seconds: float = 20.0) -> None:
        """End it in good order, or kill it after these seconds."""
        if self.is_alive:
            self.process.terminate()
            with contextlib.suppress(subprocess.TimeoutExpired):
                self.process.wait(seconds)
        self.kill()
