"""A Grid Engine cluster for all tests of this folder, and the tasks that run there."""

from __future__ import annotations

import importlib
import json
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from segue import Run, Segue
from segue.dispatcher.registry import executors
from tests.executors.benches import ClusterBench
from tests.servers.grid_engine import PROGRAMS, GridEngine, GridEngineMissingError, running_grid_engine

TASKS = "tests.executors.grid_engine.grid_tasks"


class Bench(ClusterBench):
    listing = ("qstat", "-u", "*")

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
