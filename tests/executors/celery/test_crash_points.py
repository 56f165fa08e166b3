"""A child dies between any two things that make up the end of an attempt: the run goes on, and nothing counts twice."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest
from celery import chain, chord

from tests.conftest import a_database
from tests.executors.celery.conftest import CeleryWorker, Project
from tests.executors.celery.crashes import POINTS, arm
from tests.executors.celery.project import make_app

SECONDS = 40


class Stage(NamedTuple):
    project: Project
    armed: Path


@pytest.fixture(scope="module", params=["sqlite", "postgres"])
def url(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[str]:  # fmt: skip
    with a_database(request.param, request, tmp_path_factory.mktemp("crashes")) as url:
        yield url


@pytest.fixture(scope="module", params=["acknowledged before", "acknowledged late, and delivered again"])
def stage(
    request: pytest.FixtureRequest, url: str, redis_url: str, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Stage]:  # fmt: skip
    """A worker whose children die where a test says. Its lease is long: nothing here may wait for that."""
    folder = tmp_path_factory.mktemp("worker")
    armed = folder / "armed"
    late = {} if request.param == "acknowledged before" else {"PROJECT_ACKS_LATE": "yes"}
    worker = CeleryWorker(redis_url, url, folder / "worker.log", PROJECT_CRASHES=str(armed), **late)
    app = make_app(redis_url, url, canvas="durable")
    yield Stage(Project(app, folder), armed)
    worker.stop()
    app.segue.close()
    app.close()


@pytest.mark.parametrize("point", POINTS)
def test_a_chain_goes_on(stage: Stage, tmp_path: Path, point: str) -> None:
    note, path = stage.project.app.tasks["note"], tmp_path / "notes"
    arm(stage.armed, point)
    result = chain(note.si(str(path), "a"), note.si(str(path), "b"), note.si(str(path), "c")).apply_async()
    assert result.get(timeout=SECONDS) == "c"
    assert not stage.armed.exists()
    assert result.parent.get(timeout=SECONDS) == "b"
    assert result.parent.parent.get(timeout=SECONDS) == "a"
    assert_recorded_once(stage)
    counts = Counter(path.read_text().split())
    assert counts == {"a": 2 if point == "returned" else 1, "b": 1, "c": 1}


@pytest.mark.parametrize("point", POINTS)
def test_a_chord_ends(stage: Stage, point: str) -> None:
    sig = stage.project.sig
    arm(stage.armed, point)
    result = chord([sig("add", number, 0) for number in range(6)], sig("total")).apply_async()
    assert result.get(timeout=SECONDS) == 15
    assert not stage.armed.exists()
    assert_recorded_once(stage)


def assert_recorded_once(stage: Stage) -> None:
    """The run has succeeded with each of its steps, and the database is as it should be."""
    segue = stage.project.segue
    [info] = segue.runs(limit=1)
    run = segue.get(info.id).wait(timeout=SECONDS)
    assert run.status == "succeeded"
    assert {step.status for step in run.steps()} == {"succeeded"}
    assert segue.engine.broken_invariants() == []
