"""A Slurm cluster for all tests of this folder, and the tasks that run there."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from segue import Segue
from segue.dispatcher.registry import executors
from tests.executors.benches import ClusterBench
from tests.servers.slurm import SlurmCluster, SlurmMissingError, running_slurm

TASKS = "tests.executors.slurm.cluster_tasks"


class Bench(ClusterBench):
    listing = ("squeue", "-t", "all")

    @property
    def secrets(self) -> Path:
        return self.folder / "secrets"

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
