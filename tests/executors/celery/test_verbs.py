"""What people may do to a run, and what a run may be given, holds for runs whose steps Celery runs."""

from __future__ import annotations

import time
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from celery import chain, group

from segue import Run
from segue.errors import RunFailedError
from segue.model import RunStatus, StepStatus
from tests.executors.celery.conftest import Project, wait_until

SECONDS = 60


def lines(path: Path) -> list[str]:
    return path.read_text().split() if path.exists() else []


def statuses(run: Run) -> list[str]:
    return [str(step.status) for step in run.steps()]


def failing(project: Project, missing: Path, notes: Path) -> Run:
    """A run that fails in its second step, because a file is missing; a third one follows."""
    note = project.app.tasks["note"]
    run = project.segue.start(
        chain(note.si(str(notes), "first"), project.sig("needs_file", str(missing)), project.sig("same"))
    )
    assert run.wait(timeout=SECONDS).status is RunStatus.FAILED
    return run


def test_a_task_that_a_pause_stops_runs_again_after_the_resume(project: Project, tmp_path: Path) -> None:
    go, notes = tmp_path / "go", tmp_path / "notes"
    run = project.segue.start(chain(project.sig("note_and_wait", str(notes), str(go)), project.sig("same")))
    wait_until(lambda: run.steps()[0].status == "running", SECONDS)
    run.pause(stop_running=True)
    wait_until(lambda: run.steps()[0].status == "ready", SECONDS)
    first = run.steps()[0]
    assert (first.gate, first.failures, first.losses) == ("paused", 0, 0)
    go.touch()
    run.resume()
    assert run.wait(timeout=SECONDS).status is RunStatus.SUCCEEDED
    assert len(lines(notes)) == 2


def test_a_task_that_runs_goes_on_while_its_run_is_paused(project: Project, tmp_path: Path) -> None:
    go = tmp_path / "go"
    run = project.segue.start(chain(project.sig("wait_for_file", str(go)), project.sig("same")))
    wait_until(lambda: run.steps()[0].status == "running", SECONDS)
    run.pause()
    go.touch()
    wait_until(lambda: run.steps()[0].status == "succeeded", SECONDS)
    second = run.steps()[1]
    assert (second.status, second.gate) == ("ready", "paused")
    run.resume()
    assert run.wait(timeout=SECONDS).result() == "seen"


def test_a_failed_step_is_skipped(project: Project, tmp_path: Path) -> None:
    run = failing(project, tmp_path / "missing", tmp_path / "notes")
    run.step("needs_file").skip()
    assert run.wait(timeout=SECONDS).status is RunStatus.SUCCEEDED
    assert statuses(run) == ["succeeded", "skipped", "skipped"]


def test_a_failed_step_is_marked_as_succeeded_with_a_result(project: Project, tmp_path: Path) -> None:
    run = failing(project, tmp_path / "missing", tmp_path / "notes")
    run.step("needs_file").mark({"by": "hand"})
    assert run.wait(timeout=SECONDS).result() == {"by": "hand"}
    last = project.app.AsyncResult(run.steps()[2].handle)
    wait_until(last.successful, SECONDS)  # it was revoked when the run failed, and Celery stores a result after its end
    assert last.get(timeout=SECONDS) == {"by": "hand"}


def test_a_failed_step_gets_other_arguments(project: Project, tmp_path: Path) -> None:
    run = failing(project, tmp_path / "missing", tmp_path / "notes")
    there = tmp_path / "there"
    there.touch()
    run.step("needs_file").edit("first", str(there))
    run.retry()
    assert run.wait(timeout=SECONDS).result() == "there"
    assert lines(tmp_path / "notes") == ["first"]


def test_a_run_is_run_again_from_a_step_that_succeeded(project: Project, tmp_path: Path) -> None:
    notes = tmp_path / "notes"
    note = project.app.tasks["note"]
    run = project.segue.start(chain(note.si(str(notes), "a"), note.si(str(notes), "b"), note.si(str(notes), "c")))
    assert run.wait(timeout=SECONDS).result() == "c"
    run.retry(1)
    assert run.wait(timeout=SECONDS).result() == "c"
    assert lines(notes) == ["a", "b", "c", "b", "c"]


def test_a_fork_takes_over_what_is_done(project: Project, tmp_path: Path) -> None:
    notes = tmp_path / "notes"
    run = failing(project, tmp_path / "missing", notes)
    there = tmp_path / "there"
    there.touch()
    forked = run.fork("needs_file", args=["first", str(there)], metadata={"why": "another file"})
    assert forked.wait(timeout=SECONDS).result() == "there"
    assert run.status is RunStatus.FAILED
    assert lines(notes) == ["first"]
    assert forked.info().metadata == {"why": "another file"}
    before, after = ([step.handle for step in each.steps()] for each in (run, forked))
    assert after[0] == before[0]  # its result is that of the first run
    assert set(after[1:]) == {None}
    with pytest.raises(FileNotFoundError):  # what the fork stores is not the result of the first run's task
        project.app.AsyncResult(before[1]).get(timeout=SECONDS)
    again = run.fork("note").wait(timeout=SECONDS)
    assert [(step.status, step.handle) for step in again.steps()] == [
        ("succeeded", None), ("failed", None), ("skipped", None),
    ]  # fmt: skip


def test_an_error_callback_in_a_fork_is_given_what_failed_there(project: Project, tmp_path: Path) -> None:
    """Not the id, nor the result, of the task of the first run."""
    tasks = project.app.tasks
    names = ("there", "by id", "with the exception")
    there, by_id, with_exception = (tmp_path / name for name in names)
    there.touch()
    failing = tasks["needs_file"].s(str(there))
    failing = failing.on_error(tasks["note_failure"].s(path=str(by_id)))
    run = project.segue.start(
        chain(tasks["same"].si(1), failing.on_error(tasks["note_exception"].s(path=str(with_exception))))
    )
    assert project.ended(run).status == "succeeded"
    there.unlink()
    fork = run.fork(run.steps()[1].step)
    assert project.ended(fork).status == "failed"
    task_id, error, _ = with_exception.read_text().split(maxsplit=2)
    assert error == "FileNotFoundError"
    assert task_id != run.steps()[1].handle
    wait_until(by_id.exists)
    assert by_id.read_text().split() == [task_id]
    assert isinstance(project.app.AsyncResult(task_id).result, FileNotFoundError)


def test_a_run_that_misses_its_deadline_fails_and_its_task_is_ended(project: Project, tmp_path: Path) -> None:
    never = str(tmp_path / "never")
    begun = time.monotonic()
    run = project.segue.start(chain(project.sig("wait_for_file", never), project.sig("same")), deadline=1.0)
    assert run.wait(timeout=SECONDS).status is RunStatus.FAILED
    assert time.monotonic() - begun < 25  # the task itself would wait for 30 s
    assert statuses(run) == ["cancelled", "cancelled"]


def test_a_delay_is_kept_through_a_pause(project: Project) -> None:
    run = project.segue.start(chain(project.sig("same", 1), project.sig("same").set(countdown=2)))
    wait_until(lambda: run.steps()[0].status == "succeeded", SECONDS)
    run.pause()
    run.resume()
    second = run.steps()[1]
    assert (second.status, second.gate) == ("ready", "timer")
    assert run.wait(timeout=SECONDS).result() == 1
    first, second = run.steps()
    assert second.sent_at - first.finished_at >= timedelta(seconds=1.9)


def test_a_task_that_was_not_begun_in_time_is_not_run(project: Project, tmp_path: Path) -> None:
    notes = tmp_path / "notes"
    note = project.app.tasks["note"].si(str(notes), "late").set(expires=0.001)
    run = project.segue.start(chain(note, project.sig("same")))
    assert run.wait(timeout=SECONDS).status is RunStatus.FAILED
    error = run.steps()[0].error
    assert error is not None
    assert error.type == "TaskRevokedError"
    assert lines(notes) == []


def test_a_run_has_its_key_its_tags_and_its_metadata(project: Project) -> None:
    work = group(project.sig("same", number) for number in range(3))
    run = project.segue.start(work, key="once", tags=["celery"], metadata={"order": 7})
    again = project.segue.start(work, key="once")
    assert (run.id, again.is_new) == (again.id, False)
    assert run.wait(timeout=SECONDS).result() == [0, 1, 2]
    assert run.info().tags == ("celery",)
    assert [found.id for found in project.segue.runs(metadata={"order": 7})] == [run.id]


def test_a_task_reports_its_progress_and_knows_its_step(project: Project, tmp_path: Path) -> None:
    go = tmp_path / "go"
    run = project.segue.start(chain(project.sig("reporting", str(go)), project.sig("same")))
    wait_until(lambda: run.steps()[0].progress is not None, SECONDS)
    progress: Any = run.steps()[0].progress
    assert (progress.done, progress.total, progress.message) == (1, 4, "rows")
    assert run.steps()[0].status is StepStatus.RUNNING
    go.touch()
    assert run.wait(timeout=SECONDS).result() == [run.id, 0, 1, "celery:reporting", f"{run.id}:0"]
    progress = run.steps()[0].progress
    assert (progress.done, progress.total) == (4, 4)


def test_observers_in_the_workers_hear_of_what_happens(project: Project) -> None:
    run = project.segue.start(chain(project.sig("same", 1), project.sig("flaky", 1), project.sig("fail")))
    with pytest.raises(RunFailedError):
        run.wait(timeout=SECONDS).result()
    observed = project.folder / "observed"
    wanted = {"step.succeeded same", "step.retrying flaky", "step.succeeded flaky", "step.failed fail", "run.failed "}

    def seen() -> set[str]:
        found = observed.read_text().splitlines() if observed.exists() else []
        return {line.partition(" ")[2] for line in found if line.startswith(run.id)}

    wait_until(lambda: wanted <= seen(), SECONDS)
    assert not {line for line in seen() if line.startswith("step.cancelled")}
