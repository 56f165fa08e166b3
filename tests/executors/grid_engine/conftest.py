"""A Grid Engine cluster for all tests of this folder, and the tasks that run there."""

from __future__ import annotations

import importlib
import json
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from segue import Run, Segue
from segue.dispatcher.dispatcher import Dispatcher
from segue.dispatcher.registry import executors
from tests.servers.grid_engine import PROGRAMS, GridEngine, GridEngineMissingError, running_grid_engine

SECONDS = 90.0
TASKS = "tests.executors.grid_engine.grid_tasks"


class Bench:
    """A database, a dispatcher in this process, and what a test does to both."""

    def __init__(self, segue: Segue, cluster: GridEngine, tasks: ModuleType) -> None:
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
            assert time.monotonic() < end, self.cluster.ask("qstat", "-u", "*")
            self.dispatcher.run_once()
            time.sleep(0.1)

    def finish(self, *runs: Run) -> None:
        """Rounds until these runs are over."""
        self.until(lambda: all(run.status.is_final for run in runs))

    def began(self, name: str) -> bool:
        return (self.folder / f"{name}.began").exists()

    def let_go(self, name: str) -> None:
        (self.folder / name).touch()

    def why(self, run: Run) -> str:
        return " ".join(reason.text for reason in run.explain())


@pytest.fixture(scope="session")
def cluster() -> Iterator[GridEngine]:
    try:
        with running_grid_engine() as found:
            yield found
    except GridEngineMissingError as error:
        pytest.skip(str(error))


@pytest.fixture
def make_bench(
    sqlite_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Callable[[GridEngine], Bench]]:
    segues: list[Segue] = []

    def make(cluster: GridEngine) -> Bench:
        monkeypatch.setenv("TEST_SGE_FOLDER", str(tmp_path))
        monkeypatch.setenv("TEST_SGE_SETTINGS", json.dumps(cluster.settings))
        monkeypatch.setenv("PATH", str(PROGRAMS), prepend=":")  # not Debian's wrappers, which take half a second
        tasks = importlib.reload(importlib.import_module(TASKS))
        segues.append(Segue(sqlite_url))
        return Bench(segues[-1], cluster, tasks)

    yield make
    for segue in segues:
        assert segue.engine.broken_invariants() == []
        segue.close()
    executors.clear()


@pytest.fixture
def bench(cluster: GridEngine, make_bench: Callable[[GridEngine], Bench]) -> Bench:
    return make_bench(cluster)
