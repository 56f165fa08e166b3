"""The processes of a soak: dispatchers and a worker, each with a log."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path


class Process:
    """One process with a log."""

    def __init__(self, words: list[str], environment: Mapping[str, str], log: Path) -> None:
        with log.open("ab") as file:
            self._process = subprocess.Popen(
                words, env=environment, stdout=file, stderr=file, start_new_session=True
            )  # fmt: skip

    @property
    def is_alive(self) -> bool:
        """Whether it has not ended."""
        return self._process.poll() is None

    def kill(self) -> None:
        """SIGKILL it and its children."""
        with suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()


def start(name: str, tasks: str, database: str, folder: Path, more: Mapping[str, str]) -> Process:
    """Start a dispatcher or a worker; `tasks` is the module that both import."""
    kind = name.partition("-")[0]
    options = ["--pool", "thread", "--lease-seconds", "5s"] if kind == "worker" else []
    words = [sys.executable, "-m", "segue", kind, "-A", tasks, "--database", database, *options]
    return Process(words, {**os.environ, **more}, folder / f"{name}.log")
