"""Every pool of Celery's workers but prefork, which the other tests use: canvases, retries, a worker that is killed."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from celery import chain, chord, group

from segue.errors import RunFailedError
from tests.conftest import a_database
from tests.executors.celery.conftest import Project, Staged, a_project, wait_until

SECONDS = 60
POOLS = ["threads-sqlite", "threads-postgres", "solo-sqlite", "gevent-sqlite", "gevent-postgres"]


@pytest.fixture(scope="module", params=POOLS)
def project(
    request: pytest.FixtureRequest, redis_url: str, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Project]:  # fmt: skip
    pool, _, dialect = request.param.partition("-")
    folder = tmp_path_factory.mktemp("celery")
    with a_database(dialect, request, folder) as url, a_project(redis_url, url, folder, pool=pool) as found:
        yield found


def test_canvases_retries_and_replacements_have_their_values(project: Project) -> None:
    canvas = chain(
        group([project.sig("add", number, 0) for number in range(20)], app=project.app), project.sig("total"),
        project.sig("flaky", 2),
    )  # fmt: skip
    assert canvas.apply_async().get(timeout=SECONDS) == [190, 2]
    assert project.segue.start(chain(project.sig("fan", 6), project.sig("add", 1))).wait(timeout=SECONDS).result() == 16
    member = project.sig("add_members", [1])
    assert chord([member], project.sig("same")).apply_async().get(timeout=SECONDS) == [0, 101]


def test_failures_call_their_error_callbacks(project: Project, tmp_path: Path) -> None:
    seen = tmp_path / "seen"
    failing = project.sig("fail").on_error(project.app.tasks["note_exception"].s(path=str(seen)))
    with pytest.raises(RunFailedError, match="broken"):
        project.segue.start(chain(failing, project.sig("same"))).wait(timeout=SECONDS).result()
    assert seen.read_text().split()[1:] == ["ValueError", "broken"]


@pytest.fixture
def impatient(sqlite_url: str, own_redis: str, tmp_path: Path) -> Iterator[Staged]:
    stage = Staged(own_redis, sqlite_url, tmp_path, lease_seconds=2.0)
    yield stage
    stage.close()


@pytest.mark.parametrize(
    "pool", ["threads", *(pytest.param(pool, marks=pytest.mark.proof) for pool in ("solo", "gevent"))]
)
def test_what_a_killed_worker_had_is_done_by_another(impatient: Staged, tmp_path: Path, pool: str) -> None:
    first = impatient.worker(pool=pool)
    project = impatient.project
    seen = tmp_path / "file"
    run = project.segue.start(chain(project.sig("wait_for_file", str(seen)), project.sig("same")))
    wait_until(lambda: run.steps()[0].status == "running", SECONDS)
    first.kill()
    seen.touch()
    impatient.worker(pool=pool)
    assert run.wait(timeout=SECONDS).result() == "seen"
    assert run.steps()[0].attempt >= 2


EVENTLET = """
import types
from celery.apps.worker import Worker
from tests.executors.celery.project import make_app
app = make_app("memory", "sqlite:///never-opened.db", backend="disabled://")
class TaskPool:
    __module__ = "celery.concurrency.eventlet"
Worker(app=app, pool_cls=TaskPool)
"""


def test_eventlet_is_refused() -> None:
    done = subprocess.run([sys.executable, "-c", EVENTLET], capture_output=True, text=True, timeout=60, check=False)
    assert "Segue cannot run on eventlet" in done.stderr
