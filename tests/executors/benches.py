"""What tests of executors that are polled work on: a database, a cluster, and a dispatcher in their own process."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any, ClassVar

from segue import Run, Segue
from segue.dispatcher.dispatcher import Dispatcher

SECONDS = 90.0


class ClusterBench:
    """A database, a dispatcher in this process, and what a test does to both."""

    listing: ClassVar[tuple[str, ...]]  # the words that show all jobs of the cluster

    def __init__(self, segue: Segue, cluster: Any, tasks: ModuleType) -> None:
        self.segue = segue
        self.cluster = cluster
        self.tasks = tasks
        self.folder = Path(tasks.FOLDER)
        self.executor = tasks.cluster
        self.dispatcher = Dispatcher(segue.engine, self.executor)

    def renew(self) -> None:
        """Another dispatcher, which knows nothing of the one before."""
        self.dispatcher = Dispatcher(self.segue.engine, self.executor)

    def until(self, is_so: Callable[[], Any], seconds: float = SECONDS) -> None:
        """Rounds of the dispatcher until something is so."""
        end = time.monotonic() + seconds
        while not is_so():
            assert time.monotonic() < end, self.cluster.ask(*self.listing)
            self.dispatcher.run_once()
            time.sleep(0.1)

    def finish(self, *runs: Run) -> None:
        """Rounds until these runs are over."""
        self.until(lambda: all(run.status.is_final for run in runs))

    def began(self, name: str) -> bool:
        return (self.folder / f"{name}.began").exists()

    def let_go(self, name: str) -> None:
        (self.folder / name).touch()
