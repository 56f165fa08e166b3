"""The same on RabbitMQ."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from segue.executors.dramatiq import Chain
from tests.conftest import a_database
from tests.executors.dramatiq.conftest import DramatiqWorker, Project, a_project, wait_until
from tests.executors.dramatiq.test_compositions import (  # noqa: F401 - it runs here with the broker of this module
    test_the_same_on_redis_and_a_process_of_its_own,
)
from tests.servers.rabbitmq import RabbitmqMissingError, find_program, running_rabbitmq

SECONDS = 60


@pytest.fixture(scope="module")
def rabbitmq_url() -> Iterator[str]:
    try:
        find_program()
    except RabbitmqMissingError as error:
        pytest.skip(str(error))
    with running_rabbitmq() as url:
        yield url.removesuffix("/")


@pytest.fixture(scope="module")
def project(
    request: pytest.FixtureRequest, rabbitmq_url: str, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Project]:
    folder = tmp_path_factory.mktemp("dramatiq")
    with a_database("sqlite", request, folder) as url, a_project(rabbitmq_url, url, lease_seconds=2.0) as found:
        worker = DramatiqWorker(rabbitmq_url, url, folder / "worker.log", lease_seconds=2.0)
        yield found
        worker.stop()


@pytest.mark.proof
def test_messages_behind_slow_ones_run_once(project: Project, tmp_path: Path) -> None:
    until = tmp_path / "until"
    slow = [project.message("wait_for_file", str(until)) for _ in range(30)]
    runs = [project.segue.start(Chain(message, project.message("add", 1))) for message in slow]
    wait_until(lambda: sum(run.steps()[0].status == "running" for run in runs) == 4, SECONDS)
    until.touch()
    assert {run.wait(timeout=SECONDS).status for run in runs} == {"succeeded"}
    assert {step.attempt for run in runs for step in run.steps()} == {1}
