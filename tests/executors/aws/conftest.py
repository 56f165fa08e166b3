"""A server that answers as AWS Batch and ECS do, and an executor of each."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from segue import Run, Segue
from segue.dispatcher.dispatcher import Dispatcher
from segue.dispatcher.protocol import Pace
from segue.dispatcher.registry import executors
from segue.executors.aws import ECS, AWSBatch
from tests.servers.batch import AWS, REGION, ROLE, SUBNET, running_aws

SECONDS = 40.0
QUICK = Pace(
    look_seconds=0.1, settle_seconds=0.5, call_seconds=5.0, gone_seconds=1.0, cancel_seconds=1.0, keep_seconds=0.0
)


class Bench:
    """A database, an executor with its dispatcher in this process, and what a test does to both."""

    def __init__(self, segue: Segue, aws: AWS, executor: AWSBatch | ECS) -> None:
        self.segue = segue
        self.aws = aws
        self.executor = executor
        self.name = executor.name
        self.renew()

    def renew(self) -> None:
        """Another dispatcher, which knows nothing of the one before."""
        self.dispatcher = Dispatcher(self.segue.engine, self.executor)

    def until(self, is_so: Callable[[], Any]) -> None:
        """Rounds of the dispatcher until something is so."""
        end = time.monotonic() + SECONDS
        while not is_so():
            assert time.monotonic() < end, [str(run) for run in self.segue.runs()]
            self.dispatcher.run_once()
            time.sleep(0.05)

    def finish(self, *runs: Run) -> None:
        """Rounds until these runs are over."""
        self.until(lambda: all(run.status.is_final for run in runs))

    def is_running(self, run: Run) -> bool:
        return bool(run.steps()[0].status == "running")

    def jobs(self) -> list[Any]:
        """What the platform says of all jobs of Segue's, or tasks."""
        if isinstance(self.executor, ECS):
            found = []
            for status in ("RUNNING", "STOPPED"):
                arns = self.aws.client("ecs").list_tasks(cluster="jobs", desiredStatus=status)["taskArns"]
                if arns:
                    found += self.aws.client("ecs").describe_tasks(cluster="jobs", tasks=arns[-100:])["tasks"]
            return found
        batch = self.aws.client("batch")
        filters = [{"name": "JOB_NAME", "values": ["segue-*"]}]
        pages = [batch.list_jobs(jobQueue=queue, filters=filters) for queue in ("jobs", "others")]
        return [job for page in pages for job in page["jobSummaryList"]]


@pytest.fixture(scope="session")
def aws() -> Iterator[AWS]:
    with running_aws() as found:
        yield found


@pytest.fixture
def make_bench(sqlite_url: str, aws: AWS) -> Iterator[Callable[..., Bench]]:
    segues: list[Segue] = []

    def make(kind: str = "batch", **options: Any) -> Bench:
        segues.append(Segue(sqlite_url))
        common: dict[str, Any] = {
            "image": "busybox", "execution_role": ROLE, "region": REGION, "endpoint_url": aws.url, "pace": QUICK,
            "log_seconds": 0.1, "cpu": 0.25, "memory": "512MiB", "reads_per_second": 1000.0,
            "log_reads_per_second": 1000.0, **options,
        }  # fmt: skip
        executor: AWSBatch | ECS = (
            AWSBatch("batch", queue="jobs", **common) if kind == "batch"
            else ECS("ecs", cluster="jobs", subnets=[SUBNET], **common)
        )  # fmt: skip
        return Bench(segues[-1], aws, executor)

    aws.forget_faults()
    yield make
    for segue in segues:
        assert segue.engine.broken_invariants() == []
        segue.close()
    executors.clear()


@pytest.fixture(params=["batch", pytest.param("ecs", marks=pytest.mark.proof)])
def bench(request: pytest.FixtureRequest, make_bench: Callable[..., Bench]) -> Bench:
    """One whose attempts are calls of their own; arrays have tests of their own."""
    return make_bench(request.param, **({"arrays": False} if request.param == "batch" else {}))
