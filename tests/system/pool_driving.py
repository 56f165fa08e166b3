"""How the pools' tests drive a pool: make jobs, wait for their outcomes."""

from __future__ import annotations

import itertools
import json
import os
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from segue.model import Job, Outcome, Progress
from segue.worker.pool import Pool

TASKS = "tests.system.pool_tasks"
PATIENCE_SECONDS = 30.0

_numbers = itertools.count()


def job(task: str, *args: Any, timeout: float | None = None, step: int | None = None, **kwargs: Any) -> Job:
    """A job for a task of `pool_tasks`, with a step number of its own."""
    number = next(_numbers) if step is None else step
    name = task if "." in task else f"{TASKS}.{task}"
    return Job("run", number, 1, task, name, json.dumps([args, kwargs]), None, {}, timeout)


class Driver:
    """Keeps the progress that came by."""

    def __init__(self, pool: Pool) -> None:
        self.pool = pool
        self.progress: list[Progress] = []

    def outcomes(self, count: int) -> list[Outcome]:
        """The next outcomes, in the order in which they come."""
        found: list[Outcome] = []
        end = time.monotonic() + PATIENCE_SECONDS
        while len(found) < count:
            assert time.monotonic() < end, f"only {found} came of {count} outcomes"
            for item in self.pool.collect(1.0):
                if isinstance(item, Outcome):
                    found.append(item)
                else:
                    self.progress.append(item)
        assert len(found) == count
        return found

    def run(self, *jobs: Job) -> list[Outcome]:
        """The outcomes of these jobs, in their order."""
        self.pool.submit(jobs)
        by_step = {outcome.step: outcome for outcome in self.outcomes(len(jobs))}
        return [by_step[job.step] for job in jobs]

    def run_one(self, task: str, *args: Any, timeout: float | None = None, **kwargs: Any) -> Outcome:
        """The outcome of one job."""
        return self.run(job(task, *args, timeout=timeout, **kwargs))[0]

    def run_many(self, jobs: Iterable[Job]) -> list[Outcome]:
        """The outcomes of many jobs, submitted as the pool has room; what it hands back is submitted again."""
        waiting = list(jobs)[::-1]
        known = {item.step: item for item in waiting}
        found: list[Outcome] = []
        end = time.monotonic() + PATIENCE_SECONDS
        while len(found) < len(known):
            assert time.monotonic() < end, f"{len(found)} of {len(known)} outcomes came"
            room = min(self.pool.capacity, len(waiting))
            self.pool.submit([waiting.pop() for _ in range(room)])
            for item in self.pool.collect(1.0):
                if isinstance(item, Outcome):
                    if item.verdict == "released":
                        waiting.append(known[item.step])
                    else:
                        found.append(item)
        return found

    def until(self, is_so: Callable[[], bool]) -> list[Outcome]:
        """Drive the pool until something is so."""
        found: list[Outcome] = []
        end = time.monotonic() + PATIENCE_SECONDS
        while not is_so():
            assert time.monotonic() < end, "it did not become so"
            found += [item for item in self.pool.collect(0.01) if isinstance(item, Outcome)]
        return found


def lives(pid: int) -> bool:
    """Whether this process exists and is not a zombie."""
    try:
        status = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        try:
            os.kill(pid, 0)
        except ProcessLookupError:
            return False
        return not Path("/proc/self").exists()
    return status.rpartition(")")[2].split()[0] != "Z"


def wait_until_dead(*pids: int) -> None:
    """Wait until none of these processes lives."""
    end = time.monotonic() + PATIENCE_SECONDS
    while any(lives(pid) for pid in pids):
        assert time.monotonic() < end, f"still there: {[pid for pid in pids if lives(pid)]}"
        time.sleep(0.01)
