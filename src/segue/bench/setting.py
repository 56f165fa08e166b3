"""The setting of a workload: a scratch database, a worker process, and the marks that its tasks leave."""

from __future__ import annotations

import itertools
import os
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

from segue.bench.scratch import Scratch, Site
from segue.bench.tasks import MODULE, line, single
from segue.bench.timestamps import FOLDER_VARIABLE, Ledger, Mark, MeasureError
from segue.client import Run, Segue
from segue.demo.crew import Crew

TIMEOUT_SECONDS = 120.0
WARM_UP_TASKS = 300
_LOOK_SECONDS = 0.005
# Ids are ordered by time, so this reads no run older than the first one requested.
_UNFINISHED = "SELECT id, status FROM segue_runs WHERE id >= '{first}' AND status <> 'succeeded' ORDER BY id LIMIT 1"
_numbers = itertools.count(1)


@dataclass(frozen=True, slots=True)
class WorkerChoice:
    """The worker used for the figures."""

    pool: str
    concurrency: int

    def command(self) -> list[str]:
        """Its command line."""
        return [
            *(sys.executable, "-m", "segue", "worker", "-A", MODULE),
            *("--pool", self.pool, "-c", str(self.concurrency), "--log-level", "warning"),
        ]


class Setting:
    """One scratch database and its worker, which workloads start and stop."""

    def __init__(self, scratch: Scratch, worker: WorkerChoice) -> None:
        self.scratch = scratch
        self.segue = Segue(scratch.url)
        self.segue.upgrade()
        folder = scratch.folder / "marks"
        folder.mkdir()
        os.environ[FOLDER_VARIABLE] = str(folder)
        self._folder = folder
        self._ledger = Ledger(folder)
        self.crew = Crew(worker.command(), database=scratch.url, log=scratch.folder / "worker.log")

    @staticmethod
    def next_run() -> int:
        """A new number for a measurement."""
        return next(_numbers)

    def hire(self) -> None:
        """Start the worker, if it is not running."""
        if self.crew.pid is None or self.crew.exit_code is not None:
            os.environ[FOLDER_VARIABLE] = str(self._folder)  # several settings may exist
            self.crew.hire()

    def rest(self) -> None:
        """Stop the worker."""
        self.crew.stop()

    def warm_up(self) -> None:
        """Wait until the worker is running, and warm it up."""
        self.hire()
        number = self.next_run()
        runs = [self.segue.start(line(number, 10))]
        self.marks(number, 10)
        number = self.next_run()
        runs += self.segue.start_many(single, [(number, node) for node in range(WARM_UP_TASKS)])
        self.marks(number, WARM_UP_TASKS)
        self.wait_for_end(runs)

    def marks(self, run: int, count: int, *, timeout_seconds: float = TIMEOUT_SECONDS) -> list[Mark]:
        """The marks of a measurement. Raises MeasureError with the worker's last output."""
        try:
            return self._ledger.wait(run, count, timeout_seconds=timeout_seconds)
        except MeasureError as error:
            said = self.crew.last_words()
            raise MeasureError(f"{error}. Last output of the worker: {said or '(nothing)'}") from error

    def wait_for_end(self, runs: Sequence[Run]) -> float:
        """Wait until the database shows that these runs succeeded; returns when that was seen.

        Call it after all marks exist: the check costs time that the workload would use.
        """
        deadline = time.monotonic() + TIMEOUT_SECONDS
        first = min(run.id for run in runs)
        while True:
            rows = self.scratch.run_sql(_UNFINISHED.format(first=first))
            if not rows:
                return time.monotonic()
            if rows[0][1] not in ("pending", "running") or time.monotonic() > deadline:
                raise MeasureError(f"all tasks ran, but run {rows[0][0]} is {rows[0][1]}")
            time.sleep(_LOOK_SECONDS)

    def close(self) -> None:
        """End the worker and the connections."""
        self.crew.stop()
        self.segue.close()


@contextmanager
def ground_at(site: Site, worker: WorkerChoice) -> Iterator[Setting]:
    """Create a setting, removed at the end of the block."""
    with site.scratch() as scratch:
        setting = Setting(scratch, worker)
        try:
            yield setting
        finally:
            setting.close()
