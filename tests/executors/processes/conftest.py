"""A database, a dispatcher in this process, and the executor of processes of this machine."""

from __future__ import annotations

import importlib
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from segue import Run, Segue
from segue.dispatcher.dispatcher import Dispatcher
from segue.dispatcher.registry import executors
from segue.executors.processes.job import Job
from tests.thorough import IS_THOROUGH

SECONDS = 60.0
TASKS = "tests.executors.processes.near_tasks"


class Bench:
    """What a test works with."""

    def __init__(self, segue: Segue, tasks: ModuleType) -> None:
        self.segue = segue
        self.tasks = tasks
        self.folder = Path(tasks.FOLDER)
        self.dispatcher = Dispatcher(segue.engine, tasks.near)

    def until(self, is_so: Callable[[], Any], *, dispatches: bool = True) -> None:
        """Rounds of the dispatcher until something is so."""
        end = time.monotonic() + SECONDS
        while not is_so():
            assert time.monotonic() < end, [path.read_text() for path in self.folder.glob("jobs/*/output")]
            if dispatches:
                self.dispatcher.run_once()
            time.sleep(0.03)

    def finish(self, *runs: Run) -> None:
        """Rounds until these runs are over."""
        self.until(lambda: all(run.status.is_final for run in runs))

    def has(self, name: str) -> bool:
        return (self.folder / name).exists()

    def let_go(self, name: str) -> None:
        (self.folder / name).touch()

    def jobs(self) -> list[Path]:
        """The folders of all jobs."""
        return sorted((self.folder / "jobs").glob("segue-*"))


@pytest.fixture
def make_bench(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[str], Bench]]:
    made: list[Bench] = []

    def make(url: str) -> Bench:
        monkeypatch.setenv("TEST_NEAR_FOLDER", str(tmp_path))
        monkeypatch.setenv("TEST_NEAR_DATABASE", url)
        monkeypatch.setenv("TEST_NEAR_TOKEN", "geheim")
        made.append(Bench(Segue(url), importlib.reload(importlib.import_module(TASKS))))
        return made[-1]

    yield make
    for bench in made:
        for job in bench.jobs():
            Job(job).end(hard=True)
        assert bench.segue.engine.broken_invariants() == []
        bench.segue.close()
    executors.clear()


@pytest.fixture
def bench_on_each(database_url: str, make_bench: Callable[[str], Bench]) -> Bench:
    return make_bench(database_url)


@pytest.fixture(params=["sqlite", "postgres"] if IS_THOROUGH else ["sqlite"])
def bench(request: pytest.FixtureRequest, make_bench: Callable[[str], Bench]) -> Bench:
    url: str = request.getfixturevalue(f"make_{request.param}_url")()
    return make_bench(url)
