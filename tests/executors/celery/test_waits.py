"""Canvases that wait for a message: of a person, as members of chords, behind tasks that change what follows them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from celery import chain, chord

from segue.errors import RunFailedError
from segue.executors.celery import wait_for
from tests.executors.celery.conftest import Project, wait_until

SECONDS = 40


def wait_for_waits(run: Any, *names: str) -> None:
    wait_until(lambda: sorted(step.event for step in run.steps() if step.gate == "event") == sorted(names))


def test_the_next_task_gets_what_was_sent(project: Project) -> None:
    run = project.segue.start(chain(project.sig("add", 1, 1), wait_for("number"), project.sig("add", 40)))
    wait_for_waits(run, "number")
    run.send("number", 2)
    assert run.wait(timeout=SECONDS).result() == 42


def test_a_message_may_come_before_anything_waits(project: Project) -> None:
    run = project.segue.start(chain(project.sig("add", 1, 1), wait_for("number"), project.sig("add", 40)))
    run.send("number", 3)
    assert run.wait(timeout=SECONDS).result() == 43


def test_waits_may_be_members_of_a_chord(project: Project) -> None:
    header = [wait_for("a"), project.sig("add", 1, 1), wait_for("b") | project.sig("add", 10)]
    run = project.segue.start(chord(header, project.sig("same")))
    wait_for_waits(run, "a", "b")
    run.send("b", 5)
    run.send("a", "first")
    assert run.wait(timeout=SECONDS).result() == ["first", 2, 15]


def test_a_canvas_that_is_applied_may_wait(project: Project) -> None:
    result = chain(project.sig("add", 1, 1), wait_for("number"), project.sig("add", 40)).apply_async()
    [info] = project.segue.runs(limit=1)
    project.segue.get(info.id).send("number", 4)
    assert result.get(timeout=SECONDS) == 44


def test_a_wait_that_nobody_answers_ends(project: Project, tmp_path: Path) -> None:
    seen = tmp_path / "seen"
    default = chain(wait_for("number", timeout=0.2, default=5), project.sig("add", 40))
    assert project.segue.start(default).wait(timeout=SECONDS).result() == 45
    callback = project.app.tasks["note"].si(str(seen), "errback")
    run = project.segue.start(chain(project.sig("same", 1), wait_for("number", timeout=0.2).on_error(callback)))
    with pytest.raises(RunFailedError, match="WaitTimeout"):
        run.wait(timeout=SECONDS).result()
    assert seen.read_text().split() == ["errback"]


def behind_a_task_that(project: Project, **change: Any) -> Any:
    canvas = chain(project.sig("cut", 1, **change), wait_for("number"), project.sig("add", 40), project.sig("same"))
    return project.segue.start(canvas)


def test_a_task_may_empty_its_chain_with_a_wait_in_it(project: Project) -> None:
    run = behind_a_task_that(project, chain="cut").wait(timeout=SECONDS)
    assert (run.status, run.result()) == ("succeeded", None)
    assert [step.status for step in run.steps()] == ["succeeded", "skipped", "skipped", "skipped"]


def test_a_task_may_put_another_in_front_of_a_wait(project: Project) -> None:
    run = behind_a_task_that(project, chain=["append", 5])
    wait_for_waits(run, "number")
    run.send("number", 6)
    run.wait(timeout=SECONDS)
    assert (run.status, run.result()) == ("succeeded", 46)


def test_a_task_cannot_leave_out_a_wait_alone(project: Project) -> None:
    run = behind_a_task_that(project, chain="last").wait(timeout=SECONDS)
    assert run.status == "failed"
    assert "no wait" in run.steps()[0].error.message


def test_a_task_sees_what_comes_behind_a_wait(project: Project) -> None:
    run = project.segue.start(chain(project.sig("look", 1), wait_for("number"), project.sig("add", 40)))
    wait_for_waits(run, "number")
    with run._look() as tx:
        seen = tx.all("load_results", run_id=run.id, steps=[0])[0][2]
    assert "segue.wait_for" in seen
    assert '"add"' in seen
