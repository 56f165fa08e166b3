"""A cluster for all tests of this folder: the stand-in, or the one that KUBECONFIG names in `make test-cluster`."""

from __future__ import annotations

import importlib
import os
import time
from collections.abc import Callable, Iterator
from types import ModuleType
from typing import Any

import pytest

from segue import Run, Segue
from segue.dispatcher.dispatcher import Dispatcher
from segue.dispatcher.protocol import Push, id_of_name
from segue.dispatcher.registry import executors
from segue.executors.kubernetes.objects import EXECUTOR_LABEL
from tests.executors.kubernetes.cluster_tasks import REAL
from tests.servers.kubernetes import KubernetesStandIn, running_kubernetes

SECONDS = 240.0 if REAL in os.environ else 60.0
TASKS = "tests.executors.kubernetes.cluster_tasks"


class Bench:
    """A database, a dispatcher in this process, and what a test does to both."""

    def __init__(self, segue: Segue, tasks: ModuleType, kubeconfig: str) -> None:
        self.segue = segue
        self.tasks = tasks
        self.kubeconfig = kubeconfig
        self.executor = tasks.cluster
        self.dispatcher = Dispatcher(segue.engine, self.executor)

    def start(self, signature: Any) -> Run:
        return self.segue.start(signature)

    def until(self, is_so: Callable[[], Any], seconds: float = SECONDS) -> None:
        """Rounds of the dispatcher until something is so."""
        end = time.monotonic() + seconds
        while not is_so():
            assert time.monotonic() < end, "it did not come about"
            self.dispatcher.run_once()
            time.sleep(0.05)

    def finish(self, *runs: Run, seconds: float = SECONDS) -> None:
        """Rounds until these runs are over."""
        self.until(lambda: all(run.status.is_final for run in runs), seconds)

    def renew(self) -> None:
        """Another dispatcher, whose executor knows nothing of the one before."""
        self.executor.close()
        self.executor = importlib.reload(self.tasks).cluster
        self.dispatcher = Dispatcher(self.segue.engine, self.executor)

    def push_of(self, run: Run) -> Push:
        """The push of its first step."""
        handle = str(run.steps()[0].handle)
        push_id = id_of_name(handle.rpartition("/")[2])
        assert push_id is not None
        return Push(push_id, ("", 0, 0), handle)

    def remove_all(self) -> None:
        """All Jobs of the executor."""
        selector = f"{EXECUTOR_LABEL}={self.executor.name}"
        for job in self.executor._cluster.jobs(self.tasks.NAMESPACE, selector):
            self.executor._cluster.remove(self.tasks.NAMESPACE, job.metadata.name)

    def is_running(self, run: Run) -> bool:
        return bool(run.steps()[0].status == "running")

    def reason(self, run: Run) -> str:
        return " ".join(reason.text for reason in run.explain())


@pytest.fixture(scope="session")
def standin() -> Iterator[KubernetesStandIn]:
    with running_kubernetes() as cluster:
        yield cluster


@pytest.fixture
def standin_config(standin: KubernetesStandIn) -> Iterator[str]:
    yield standin.kubeconfig
    standin.fault(
        pods=None,
        jobs=None,
        hold=False,
        unschedulable="",
        node_is_away=False,
        lose=0,
        refuse=0,
        only="",
        no_lists=False,
    )


@pytest.fixture
def make_bench(sqlite_url: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[str], Bench]]:
    benches: list[Bench] = []

    def make(kubeconfig: str) -> Bench:
        monkeypatch.setenv("TEST_KUBERNETES_CONFIG", kubeconfig)
        tasks = importlib.reload(importlib.import_module(TASKS))
        benches.append(Bench(Segue(sqlite_url), tasks, kubeconfig))
        return benches[-1]

    yield make
    for bench in benches:
        bench.executor.close()
        assert bench.segue.engine.broken_invariants() == []
        bench.segue.close()
    executors.clear()


@pytest.fixture
def bench(standin_config: str, make_bench: Callable[[str], Bench]) -> Bench:
    return make_bench(standin_config)


@pytest.fixture
def any_bench(request: pytest.FixtureRequest, make_bench: Callable[[str], Bench]) -> Bench:
    """On a real cluster, if one is named; otherwise on the stand-in."""
    real = os.environ.get(REAL)
    return make_bench(real or request.getfixturevalue("standin_config"))
