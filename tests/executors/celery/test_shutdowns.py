"""A worker that is stopped in good order lets its tasks end: they are not taken for lost meanwhile."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import pytest
from celery import chain

from tests.executors.celery.conftest import Staged, wait_until

SECONDS = 60


@pytest.mark.parametrize("pool", ["prefork", "threads"])
def test_a_task_that_runs_when_its_worker_is_stopped_runs_once(impatient: Staged, tmp_path: Path, pool: str) -> None:
    project, path, until = impatient.project, tmp_path / "notes", tmp_path / "until"
    engine = project.segue.engine
    first = impatient.worker(pool=pool)
    run = project.segue.start(chain(project.app.tasks["note_and_wait"].si(str(path), str(until)), project.sig("same")))
    wait_until(lambda: run.steps()[0].status == "running", SECONDS)
    os.kill(first.process.pid, signal.SIGTERM)
    wait_until(lambda: run.steps()[0].worker_status == "stopping", SECONDS)
    lease = run.steps()[0].worker_lease_until
    assert lease is not None
    wait_until(lambda: engine.store.now() > lease, SECONDS)
    assert engine.rescue_steps() == 0
    until.touch()
    first.process.wait(SECONDS)
    assert [worker.name for worker in project.segue.workers()] == []
    impatient.worker(pool=pool)
    assert run.wait(timeout=SECONDS).result() == "seen"
    assert path.read_text().split() == ["begun"]
    assert [step.losses for step in run.steps()] == [0, 0]
