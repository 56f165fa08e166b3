"""Rhythm's workflows, as its README writes them, on real workers."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import Any
from uuid import uuid4

import pytest

from segue.compat.refusing import NotTranslatedError
from segue.compat.rhythm import WFNotFound, Workflow
from segue.errors import ConfigError, RunStateError
from tests.executors.celery.conftest import wait_until
from tests.executors.compat.rhythm_project import Project

STEPS = [
    {"name": "inspect", "task": "tasks.inspect", "queue": "q1", "kwargs": {"colour": "red"}},
    {"name": "archive", "task": "tasks.archive", "queue": "q1"},
    {"name": "stage", "task": "tasks.stage", "queue": "q2", "priority": 5},
]


@pytest.fixture
def batch() -> str:
    return uuid4().hex


def made(rhythm: Project, **more: Any) -> Workflow:
    return Workflow(rhythm.app, **{"steps": STEPS, "name": "archive_batch", "app_id": "app", **more})


def again(rhythm: Project, wf: Workflow) -> Workflow:
    """The same workflow in another process, as far as it can know."""
    return Workflow(rhythm.app, workflow_id=wf.workflow["_id"])


def notes(rhythm: Project, batch: str) -> list[str]:
    return (rhythm.folder / f"notes-{batch}").read_text().splitlines()


def called(rhythm: Project, batch: str) -> list[str]:
    """The tasks that were called, in order."""
    return [word for line in notes(rhythm, batch) if (word := line.split()[0]) in ("inspect", "archive", "stage")]


def wait_for_status(wf: Workflow, status: str) -> None:
    wait_until(lambda: wf.get_workflow_status() == status)


def test_steps_run_one_after_the_other_and_pass_on_the_first_item(rhythm: Project, batch: str) -> None:
    wf = made(rhythm)
    assert wf.get_workflow_status() == "PENDING"
    assert wf.start(batch) is None
    wait_for_status(wf, "SUCCESS")
    wait_until(lambda: "success inspect" in notes(rhythm, batch))  # it comes while the next step may run
    assert [line for line in notes(rhythm, batch) if line != "success inspect"] == [
        "before inspect of archive_batch", "inspect app red 1", "archive 2", "stage 5",
    ]  # fmt: skip
    [run] = rhythm.segue.runs(limit=1)
    assert (run.id, run.workflow, run.tags) == (wf.workflow["_id"], "archive_batch", ("rhythm",))
    assert rhythm.segue.get(run.id).result() == [batch, "staged"]


def test_arguments_of_the_start_win_over_those_of_the_step(rhythm: Project, batch: str) -> None:
    wf = again(rhythm, made(rhythm))
    wf.start(batch, colour="blue", app_id="mine")
    wait_for_status(wf, "SUCCESS")
    assert "inspect app blue 1" in notes(rhythm, batch)


def test_it_is_started_once(rhythm: Project, batch: str) -> None:
    wf = made(rhythm)
    wf.start(batch)
    with pytest.raises(RunStateError, match="started before"):
        again(rhythm, wf).start("other")
    wait_for_status(wf, "SUCCESS")


def test_a_failed_step_is_resumed_with_the_arguments_it_had(rhythm: Project, batch: str) -> None:
    broken = rhythm.folder / f"broken-{batch}"
    broken.touch()
    wf = made(rhythm)
    wf.start(batch, colour="green")
    wait_for_status(wf, "FAILURE")
    assert wf.get_pending_step() == (1, "FAILURE")
    assert wf.pause() == {"paused": False}
    shown = again(rhythm, wf).get_embellished_workflow()
    assert (shown["status"], shown["steps_done"], shown["total_steps"]) == ("FAILURE", 1, 3)
    run = shown["steps"][1]["last_task_run"]
    assert (run["status"], run["args"], run["result"]["exc_type"]) == ("FAILURE", [batch], "OSError")
    assert shown["steps"][0]["last_task_run"]["result"] == [batch, {"return_obj": "foo"}]
    assert shown["steps"][2] == {"name": "stage", "task": "tasks.stage", "status": "PENDING", "last_task_run": None}
    broken.unlink()
    assert again(rhythm, wf).resume() == {
        "resumed": True, "restarted_step": {"name": "archive", "task": "tasks.archive"},
    }  # fmt: skip
    wait_for_status(wf, "SUCCESS")
    assert wf.resume() == {"resumed": False}
    assert called(rhythm, batch) == ["inspect", "archive", "archive", "stage"]
    assert [
        run["status"] for run in wf.get_embellished_workflow(prev_task_runs=True)["steps"][1]["prev_task_runs"]
    ] == ["FAILURE"]


def test_a_running_step_is_stopped_and_restarted(rhythm: Project, batch: str) -> None:
    slow = rhythm.folder / f"slow-{batch}"
    slow.touch()
    wf = made(rhythm)
    wf.start(batch)
    wait_until(lambda: wf.get_pending_step() == (1, "STARTED"))
    wait_until(lambda: (wf.get_embellished_workflow()["steps"][1]["last_task_run"]["result"] or {}).get("done", 0) > 1)
    paused = again(rhythm, wf).pause()
    assert paused["paused"]
    assert (paused["revoked_step"]["name"], paused["revoked_step"]["task"]) == ("archive", "tasks.archive")
    wait_for_status(wf, "REVOKED")
    wait_until(lambda: rhythm.segue.get(wf.workflow["_id"]).steps()[2].status != "running")
    assert "stage 5" not in notes(rhythm, batch)
    slow.unlink()
    assert again(rhythm, wf).resume()["resumed"]
    wait_for_status(wf, "SUCCESS")
    assert called(rhythm, batch) == ["inspect", "archive", "archive", "stage"]


def test_two_that_resume_at_once_restart_a_step_once(rhythm: Project, batch: str) -> None:
    broken = rhythm.folder / f"broken-{batch}"
    broken.touch()
    wf = made(rhythm)
    wf.start(batch)
    wait_for_status(wf, "FAILURE")
    broken.unlink()
    both = [again(rhythm, wf) for _ in range(2)]
    with ThreadPoolExecutor() as threads:
        list(threads.map(lambda each: each.resume(), both))
    wait_for_status(wf, "SUCCESS")
    assert called(rhythm, batch) == ["inspect", "archive", "archive", "stage"]


def test_a_start_that_was_cut_off_may_be_repeated(rhythm: Project, batch: str) -> None:
    wf = made(rhythm)
    wf._edit(wf._reading.steps[0].step, ["of the process that died"], {"colour": "grey"})  # and then it died
    assert again(rhythm, wf).get_workflow_status() == "PENDING"
    again(rhythm, wf).start(batch, colour="blue")
    wait_for_status(wf, "SUCCESS")
    assert "inspect app blue 1" in notes(rhythm, batch)


def test_it_can_be_paused_before_a_worker_begins_it(rhythm: Project, batch: str) -> None:
    wf = made(rhythm, steps=[{"name": "inspect", "task": "tasks.inspect", "queue": "nobody-listens"}])
    assert wf.pause() == {"paused": False}
    wf.start(batch)
    assert wf.pause()["paused"]
    assert wf.get_workflow_status() == "REVOKED"
    assert wf.resume()["resumed"]
    assert wf.get_workflow_status() == "PENDING"


def test_a_return_value_that_is_no_list_fails_its_step_and_says_why(rhythm: Project, batch: str) -> None:
    steps = [{"name": "nothing", "task": "tasks.nothing", "queue": "q1"}, STEPS[2]]
    wf = made(rhythm, steps=steps)
    wf.start(batch)
    wait_for_status(wf, "FAILURE")
    assert wf.get_pending_step() == (0, "FAILURE")
    result = wf.get_embellished_workflow()["steps"][0]["last_task_run"]["result"]
    assert "Return a list or tuple" in result["exc_message"][0]


def test_what_the_last_step_returns_is_its_own_business(rhythm: Project, batch: str) -> None:
    wf = made(rhythm, steps=[{"name": "nothing", "task": "tasks.nothing", "queue": "q1"}])
    wf.start(batch)
    wait_for_status(wf, "SUCCESS")


@pytest.mark.parametrize(
    "steps,name,app_id,why",
    [
        ([], "n", "a", "steps is empty"),
        ([{"task": "t"}], "n", "a", "'name'"),
        ([{"name": "s", "task": ""}], "n", "a", "empty"),
        ([{"name": "s", "task": "t", "queue": 7}], "n", "a", "queue"),
        ([{"name": "s", "task": "t"}] * 2, "n", "a", "duplicate"),
        ([{"name": "s", "task": "t"}], "", "a", "name cannot"),
        ([{"name": "s", "task": "t"}], "n", None, "app_id cannot"),
        (None, "n", "a", "Either workflow_id or steps"),
    ],
)
def test_what_is_no_workflow_is_refused_as_ever(
    rhythm: Project, steps: Any, name: Any, app_id: Any, why: str
) -> None:  # fmt: skip
    with pytest.raises(AssertionError, match=why):
        Workflow(rhythm.app, steps=steps, name=name, app_id=app_id)


def test_unknown_workflows_and_what_has_no_counterpart(rhythm: Project) -> None:
    from celery import Celery

    for id_ in (str(uuid4()), "no id"):
        with pytest.raises(WFNotFound):
            Workflow(rhythm.app, workflow_id=id_)
    with pytest.raises(NotTranslatedError, match="on_step_success"):
        made(rhythm).on_step_success(("x",), "inspect")
    with pytest.raises(ConfigError, match="install"):
        Workflow(Celery("alone", broker="memory://", set_as_current=False), steps=STEPS, name="n", app_id="a")
