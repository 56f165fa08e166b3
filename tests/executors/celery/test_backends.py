"""Result backends other than Redis: canvases need none, and no `get()` waits longer than on plain Celery."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from celery import Celery, chain, chord, group
from celery.backends.base import BaseBackend
from celery.contrib.testing.worker import start_worker
from celery.exceptions import ChordError

from segue import Segue
from segue.errors import RunFailedError
from segue.executors.celery import install
from tests.conftest import a_database
from tests.executors.celery.conftest import Project, a_project, wait_until

SECONDS = 40


@pytest.fixture(scope="module", params=["rpc", "database", "disabled"])
def backend(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> str:
    folder = tmp_path_factory.mktemp("results")
    return {"rpc": "rpc://", "database": f"db+sqlite:///{folder}/results.db", "disabled": "disabled://"}[request.param]


@pytest.fixture(scope="module")
def project(
    request: pytest.FixtureRequest, redis_url: str, backend: str, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Project]:  # fmt: skip
    folder = tmp_path_factory.mktemp("celery")
    with a_database("sqlite", request, folder) as url, a_project(redis_url, url, folder, backend=backend) as found:
        yield found


def test_a_started_canvas_needs_no_result_backend(project: Project) -> None:
    canvas = chain(
        group(project.sig("add", 1, 1), project.sig("fan", 4)), project.sig("total"), project.sig("flaky", 2),
    )  # fmt: skip
    assert project.segue.start(canvas).wait(timeout=SECONDS).result() == [8, 2]


def test_results_come_to_who_applied_the_canvas(project: Project, backend: str) -> None:
    canvases = [
        (chain(project.sig("add", 1, 1), project.sig("add", 2)), 4),
        (chain(project.sig("fan", 4), project.sig("add", 1)), 7),
        (group(project.sig("add", 1, 1), project.sig("flaky", 2, 1)), [2, [2, 1]]),
        (chain(project.sig("add", 1, 1), group(project.sig("add", 1), project.sig("add", 2)), project.sig("total")), 7),
        (chord([project.sig("add", 1, 1), project.sig("add", 2, 2)], project.sig("total")), 6),
    ]
    for canvas, expected in canvases:
        result = canvas.apply_async()
        if backend == "disabled://":
            with pytest.raises((NotImplementedError, AttributeError)):  # at once, and as Celery's own
                result.get(timeout=SECONDS)
        else:
            assert result.get(timeout=SECONDS) == expected


def test_no_get_waits_for_what_will_never_run(project: Project, backend: str) -> None:
    failed = chain(project.sig("fail"), project.sig("add", 1), project.sig("add", 2)).apply_async()
    body = chord([project.sig("fail"), project.sig("add", 1, 1)], project.sig("total")).apply_async()
    if backend != "disabled://":
        with pytest.raises(ValueError, match="broken"):
            failed.get(timeout=SECONDS)
        with pytest.raises((ChordError, ValueError), match="broken"):
            body.get(timeout=SECONDS)
    for found in project.segue.runs(limit=2):
        with pytest.raises(RunFailedError):
            project.segue.get(found.id).wait(timeout=SECONDS).result()
    wait_until(lambda: not unmirrored(project))


def unmirrored(project: Project) -> list[Any]:
    """The steps whose results still say that they wait."""
    with project.segue.engine.reading() as tx:
        return tx.all("unmirrored_steps", executor="celery", prefix="", limit=10)


def test_error_callbacks_are_called(project: Project, tmp_path: Path) -> None:
    seen = tmp_path / "seen"
    tasks = project.app.tasks
    body = project.sig("total").on_error(tasks["note_exception"].s(path=str(seen)))
    canvas = chord(
        [project.sig("fail").on_error(tasks["note_failure"].s(path=str(seen))), project.sig("add", 1, 1)], body
    )
    with pytest.raises(RunFailedError):
        project.segue.start(canvas).wait(timeout=SECONDS).result()
    assert len(seen.read_text().splitlines()) == 2
    assert "ChordError" in seen.read_text()


class Away(BaseBackend):
    """A backend to which there is no connection."""

    def _store_result(self, *args: Any, **kwargs: Any) -> None:
        raise ConnectionError("away")


def test_a_task_runs_though_it_cannot_be_stored_that_it_has_started(own_redis: str, database_url: str) -> None:
    app = Celery("tracked", broker=f"{own_redis}/0", backend=f"{__name__}:Away")
    app.conf.task_track_started = True
    segue = Segue(database_url)
    install(app, segue)

    @app.task(name="add", shared=False)
    def add(x: int, y: int) -> int:
        return x + y

    with start_worker(app, pool="solo", perform_ping_check=False, shutdown_timeout=SECONDS):
        assert segue.start(chain(add.s(1, 1), add.s(1))).wait(timeout=SECONDS).result() == 3
    segue.close()
    app.close()
