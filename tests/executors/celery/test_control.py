"""People pause, cancel and repair runs whose steps Celery runs."""

from __future__ import annotations

from pathlib import Path

import pytest
from celery import chain, group
from celery.exceptions import TaskRevokedError

from segue.errors import RunFailedError
from tests.executors.celery.conftest import Project, Staged, wait_until

SECONDS = 60


def test_a_paused_run_begins_nothing_and_goes_on_when_it_is_resumed(staged: Staged, tmp_path: Path) -> None:
    project = staged.project
    note = project.app.tasks["note"]
    path = tmp_path / "notes"
    run = project.segue.start(group(note.si(str(path), str(number)) for number in range(20)))
    run.pause()
    staged.worker()
    wait_until(lambda: {step.status for step in run.steps()} == {"ready"}, SECONDS)
    assert not path.exists()
    run.resume()
    assert len(run.wait(timeout=SECONDS).result()) == 20
    assert sorted(path.read_text().split(), key=int) == [str(number) for number in range(20)]


def test_messages_of_a_cancelled_run_are_turned_away(staged: Staged, tmp_path: Path) -> None:
    project = staged.project
    path = tmp_path / "notes"
    result = chain(
        project.app.tasks["note"].si(str(path), "first"), project.app.tasks["note"].si(str(path), "second")
    ).apply_async()  # fmt: skip
    [info] = project.segue.runs(limit=1)
    run = project.segue.get(info.id)
    run.cancel()
    staged.worker()
    assert run.wait(timeout=SECONDS).status == "cancelled"
    assert not path.exists()
    with pytest.raises(TaskRevokedError):
        result.get(timeout=SECONDS)


def test_a_running_task_of_a_cancelled_run_is_terminated(staged: Staged, tmp_path: Path) -> None:
    staged.worker()
    project = staged.project
    run = project.segue.start(chain(project.sig("wait_for_file", str(tmp_path / "never")), project.sig("same")))
    wait_until(lambda: run.steps()[0].status == "running", SECONDS)
    run.cancel()
    assert run.wait(timeout=20).status == "cancelled"


def test_a_run_is_cancelled_when_its_task_has_ended_not_when_it_was_asked_to(staged: Staged, tmp_path: Path) -> None:
    staged.worker()
    project, path = staged.project, tmp_path / "notes"
    run = project.segue.start(chain(project.sig("clean_up", str(path)), project.sig("same")))
    wait_until(lambda: run.steps()[0].status == "running", SECONDS)
    run.cancel()
    assert run.wait(timeout=20).status == "cancelled"
    assert path.read_text().split() == ["begun", "clean"]


def test_a_task_that_does_not_end_when_it_is_asked_to_is_killed(staged: Staged, tmp_path: Path) -> None:
    staged.worker(PROJECT_GRACE_SECONDS="2")
    project, path = staged.project, tmp_path / "notes"
    run = project.segue.start(chain(project.sig("never_ends", str(path)), project.sig("same")))
    wait_until(lambda: run.steps()[0].status == "running", SECONDS)
    run.cancel()
    assert run.wait(timeout=20).status == "cancelled"
    assert project.app.tasks["same"].delay("the pool goes on").get(timeout=SECONDS) == "the pool goes on"


def test_a_task_that_is_revoked_and_terminated_fails_its_run(staged: Staged, tmp_path: Path) -> None:
    staged.worker()
    project, path = staged.project, tmp_path / "notes"
    result = chain(project.sig("clean_up", str(path)), project.sig("same")).apply_async()
    wait_until(path.exists, SECONDS)
    result.parent.revoke(terminate=True)
    with pytest.raises(TaskRevokedError):
        result.parent.get(timeout=SECONDS)
    [info] = project.segue.runs(limit=1)
    assert project.segue.get(info.id).wait(timeout=20).status == "failed"
    assert path.read_text().split() == ["begun", "clean"]


def test_a_failed_run_is_retried_from_its_failed_step(project: Project, tmp_path: Path) -> None:
    seen = tmp_path / "notes"
    note = project.app.tasks["note"]
    run = project.segue.start(chain(note.si(str(seen), "first"), project.sig("needs_file", str(tmp_path / "there"))))
    with pytest.raises(RunFailedError):
        run.wait(timeout=SECONDS).result()
    (tmp_path / "there").touch()
    run.retry()
    assert run.wait(timeout=SECONDS).result() == "there"
    assert seen.read_text().split() == ["first"]


def test_a_step_that_cannot_be_described_leaves_no_get_waiting(staged: Staged) -> None:
    """Nor does it hold up the results of others."""
    project, same = staged.project, staged.project.app.tasks["same"]
    results = [chain(same.si(number), same.si(number)).apply_async() for number in range(3)]
    runs = [project.segue.get(info.id) for info in project.segue.runs(limit=3)]
    for run in runs:
        run.cancel()
    with project.segue.engine.store.transaction() as tx:
        for run in runs[:2]:
            tx.all("change_step", run_id=run.id, step=1, args="[[1],{}]", spec="{")
    staged.worker()
    for result in results:
        with pytest.raises(TaskRevokedError):
            result.get(timeout=SECONDS)
