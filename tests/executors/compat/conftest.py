"""For each database: a project that was written for an older library, in this process and in a worker."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.conftest import a_database
from tests.executors.compat import dyrygent_project, rhythm_project
from tests.executors.compat.workers import running_worker
from tests.servers.redis import running_redis


@pytest.fixture(scope="session")
def redis_url() -> Iterator[str]:
    with running_redis() as url:
        yield url


@pytest.fixture(scope="module", params=["sqlite", "postgres"])
def environment(
    request: pytest.FixtureRequest, redis_url: str, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[dict[str, str]]:  # fmt: skip
    folder = tmp_path_factory.mktemp("compat")
    with a_database(request.param, request, folder) as url:
        yield {"COMPAT_BROKER": redis_url, "COMPAT_DATABASE": url, "COMPAT_FOLDER": str(folder)}


@pytest.fixture(scope="module")
def dyrygent(environment: dict[str, str]) -> Iterator[dyrygent_project.Project]:
    log = Path(environment["COMPAT_FOLDER"], "dyrygent.log")
    with running_worker("tests.executors.compat.dyrygent_project", {**environment, "COMPAT_PROJECT": "dyrygent"}, log):
        project = dyrygent_project.make(environment)
        yield project
        project.segue.close()
        project.app.close()


@pytest.fixture(scope="module")
def rhythm(environment: dict[str, str]) -> Iterator[rhythm_project.Project]:
    log = Path(environment["COMPAT_FOLDER"], "rhythm.log")
    with running_worker(
        "tests.executors.compat.rhythm_project", {**environment, "COMPAT_PROJECT": "rhythm"}, log, queues="q1,q2"
    ):
        project = rhythm_project.make(environment)
        yield project
        project.segue.close()
        project.app.close()
