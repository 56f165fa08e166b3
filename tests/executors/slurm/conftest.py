"""A Slurm cluster for all tests of this folder, and the tasks that run there."""

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
from tests.servers.slurm import SlurmCluster, SlurmMissingError, running_slurm

SECONDS = 90.0
TASKS = "tests.executors.slurm.cluster_tasks"


class Bench:
    """A database, a dispatcher in this process, and what a test does to both."""

    def __init__(self, segue: Segue, cluster: SlurmCluster, tasks: ModuleType) -> None:
        self.segue = segue
        self.cluster = cluster
        self.tasks = tasks
        self.folder = Path(tasks.FOLDER)
        self.secrets = self.folder / "secrets"
        self.executor = tasks.cluster
        self.dispatcher = Dispatcher(segue.engine, self.executor)

    def renew(self) -> None:
        """Another dispatcher, which knows nothing of the one before."""
        self.dispatcher = Dispatcher(self.segue.engine, self.executor)

    def until(self, is_so: Callable[[], Any], seconds: float = SECONDS) -> None:
        """Rounds of the dispatcher until something is so."""
        end = time.monotonic() + seconds
        while not is_so():
            assert time.monotonic() < end, self.cluster.ask("squeue", "-t", "all")
            self.dispatcher.run_once()
            time.sleep(0.1)

    def finish(self, *runs: Run) -> None:
        """Rounds until these runs are over."""
        self.until(lambda: all(run.status.is_final for run in runs))

    def began(self, name: str) -> bool:
        return (self.folder / f"{name}.began").exists()

    def let_go(self, name: str) -> None:
        (self.folder / name).touch()

    def jobs(self) -> list[str]:
        """The ids of all jobs that the cluster knows."""
        return self.cluster.ask("squeue", "-h", "-t", "all", "-o", "%i").split()


@pytest.fixture(scope="session")
def cluster() -> Iterator[SlurmCluster]:
    try:
        with running_slurm() as found:
            yield found
    except SlurmMissingError as error:
        pytest.skip(str(error))


@pytest.fixture
def make_bench(
    sqlite_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Callable[[SlurmCluster], Bench]]:
    segues: list[Segue] = []

    def make(cluster: SlurmCluster) -> Bench:
        monkeypatch.setenv("TEST_SLURM_FOLDER", str(tmp_path))
        monkeypatch.setenv("TEST_SLURM_CONF", cluster.conf)
        tasks = importlib.reload(importlib.import_module(TASKS))
        segues.append(Segue(sqlite_url))
        return Bench(segues[-1], cluster, tasks)

    yield make
    for segue in segues:
        assert segue.engine.broken_invariants() == []
        segue.close()
    executors.clear()


@pytest.fixture
def bench(cluster: SlurmCluster, make_bench: Callable[[SlurmCluster], Bench]) -> Bench:
    return make_bench(cluster)
