"""celery-dyrygent's workflows, as its README writes them, on real workers."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from celery import chain, chord, group

from segue.compat.dyrygent.workflows import Workflow, WorkflowException
from tests.executors.celery.conftest import wait_until
from tests.executors.compat.dyrygent_project import Project, connect

SECONDS = 40


@pytest.fixture(autouse=True)
def signals(dyrygent: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    """The handlers of the project, as if this process had imported its tasks."""
    monkeypatch.setattr(Workflow, "hooks", {name: [] for name in Workflow.hooks})
    monkeypatch.setattr(Workflow, "workflow_processor_task", dyrygent.app.tasks["workflow-processor"])
    connect(dyrygent.folder)


def applied(canvas: Any, **options: Any) -> Workflow:
    wf = Workflow()
    wf.add_celery_canvas(canvas)
    wf.apply_async(**options).wait(timeout=SECONDS)
    return wf


def signals_of(dyrygent: Project, wf: Workflow) -> list[str]:
    return (dyrygent.folder / f"signals-{wf.id}").read_text().splitlines()


def test_any_canvas_runs_in_the_order_of_its_relations(dyrygent: Project, tmp_path: Path) -> None:
    path = str(tmp_path / "notes")
    note = dyrygent.app.tasks["note"]
    first, second = note.si(path, "first"), note.si(path, "second")
    members = [chain(note.si(path, "a1"), note.si(path, "a2")), note.si(path, "b")]
    applied(chain(first, second, chord(members, note.si(path, "body")), group(note.si(path, "x"), note.si(path, "y"))))
    words = Path(path).read_text().split()
    assert words[:2] == ["first", "second"]
    assert set(words[2:5]) == {"a1", "a2", "b"}
    assert words.index("a1") < words.index("a2")
    assert words[5] == "body"
    assert set(words[6:]) == {"x", "y"}


def test_the_result_of_the_processor_is_there_when_all_has_ended(dyrygent: Project, tmp_path: Path) -> None:
    path = str(tmp_path / "notes")
    note = dyrygent.app.tasks["note"]
    wf = Workflow()
    [node] = wf.add_celery_canvas(chain(note.si(path, "1"), note.si(path, "2")))
    result = wf.apply_async()
    assert result.id == wf.id
    assert result.wait(timeout=SECONDS) is None
    assert Path(path).read_text().split() == ["1", "2"]
    assert dyrygent.app.AsyncResult(node.id).get(timeout=SECONDS) == "2"
    [run] = dyrygent.segue.runs(limit=1)
    assert (run.workflow, run.key, run.status) == ("dyrygent", wf.id, "succeeded")


def test_what_depends_on_a_failed_task_never_runs_and_the_rest_does(dyrygent: Project, tmp_path: Path) -> None:
    path = str(tmp_path / "notes")
    note = dyrygent.app.tasks["note"]
    failing = chain(dyrygent.app.tasks["fail"].si(), note.si(path, "never"))
    wf = applied(group(failing, chain(note.si(path, "one"), note.si(path, "two"))))
    assert Path(path).read_text().split() == ["one", "two"]
    assert signals_of(dyrygent, wf)[-2:] == ["state FAILURE", "finish {} [None, None, None, None]"]
    [run] = dyrygent.segue.runs(limit=1)
    wait_until(lambda: dyrygent.segue.get(run.id).status == "failed")


def test_signals_are_emitted_and_custom_data_comes_back(dyrygent: Project, tmp_path: Path) -> None:
    note = dyrygent.app.tasks["note"]
    wf = Workflow()
    wf.custom_payload["ticket"] = 17
    before = None
    for number in (1, 2):
        sig = note.si(str(tmp_path / "notes"), str(number))
        sig.freeze()
        node = wf.add_signature(sig, [before] if before else None)
        node.custom_payload["user_id"] = number
        before = node
    wf.apply_async().wait(timeout=SECONDS)
    assert [line for line in signals_of(dyrygent, wf) if not line.startswith("tick")] == [
        "state RUNNING", "state SUCCESS", "finish {'ticket': 17} [1, 2]",
    ]  # fmt: skip
    [run] = dyrygent.segue.runs(limit=1)
    steps = dyrygent.segue.get(run.id).steps()
    assert [step.metadata for step in steps if step.name.startswith("note")] == [{"user_id": 1}, {"user_id": 2}]


def test_an_active_tick_is_reported_when_tasks_were_sent_and_more_remain(dyrygent: Project, tmp_path: Path) -> None:
    note = dyrygent.app.tasks["note"]
    wf = applied(chain(note.si(str(tmp_path / "notes"), str(number)) for number in range(3)))
    wait_until(lambda: sum(line.startswith("tick") for line in signals_of(dyrygent, wf)) == 3)


def test_options_reach_the_tasks_and_the_processor(dyrygent: Project, tmp_path: Path) -> None:
    path = tmp_path / "priority"
    wf = Workflow(options={"priority": 9})
    wf.add_celery_canvas(dyrygent.app.tasks["priority"].si(str(path)))
    wf.apply_async(options={"priority": 8}).wait(timeout=SECONDS)
    assert path.read_text() == "8"


def test_a_workflow_that_is_applied_twice_runs_once(dyrygent: Project, tmp_path: Path) -> None:
    path = tmp_path / "notes"
    wf = Workflow()
    wf.add_celery_canvas(dyrygent.app.tasks["note"].si(str(path), "once"))
    first, second = wf.apply_async(), wf.apply_async()
    assert first.id == second.id
    second.wait(timeout=SECONDS)
    assert path.read_text().split() == ["once"]
    assert [run.key for run in dyrygent.segue.runs() if run.key == wf.id] == [wf.id]


def test_a_failed_workflow_is_continued_by_a_retry(dyrygent: Project, tmp_path: Path) -> None:
    path, gate = tmp_path / "notes", tmp_path / "gate"
    note, needs = dyrygent.app.tasks["note"], dyrygent.app.tasks["needs"]
    wf = applied(chain(note.si(str(path), "1"), needs.si(str(gate)), note.si(str(path), "2")))
    [info] = dyrygent.segue.runs(limit=1)
    run = dyrygent.segue.get(info.id)
    assert run.wait(timeout=SECONDS).status == "failed"
    gate.touch()
    run.retry()
    assert run.wait(timeout=SECONDS).status == "succeeded"
    assert path.read_text().split() == ["1", "2"]
    assert signals_of(dyrygent, wf)[-2:] == ["state SUCCESS", "finish {} [None, None, None]"]


def test_a_workflow_whose_time_is_over_fails(dyrygent: Project) -> None:
    wf = Workflow()
    wf.set_max_processing_time(1)
    wf.add_celery_canvas(dyrygent.app.tasks["wait_forever"].si())
    with pytest.raises(Exception, match="too long"):
        wf.apply_async().wait(timeout=SECONDS)
    assert "state ERROR" in signals_of(dyrygent, wf)


def test_skipped_tasks_do_not_run_and_what_is_behind_them_does(dyrygent: Project, tmp_path: Path) -> None:
    path = str(tmp_path / "notes")
    note = dyrygent.app.tasks["note"]
    wf = Workflow()
    wf.add_celery_canvas(chain(note.si(path, "1"), note.si(path, "2")))
    first, second = wf.nodes
    with pytest.raises(WorkflowException, match="depends on"):
        wf.skip_tasks([second])
    wf.skip_tasks([first])
    wf.apply_async().wait(timeout=SECONDS)
    assert Path(path).read_text().split() == ["2"]


def test_an_app_that_is_not_connected_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    from celery import Celery

    from segue.compat.dyrygent.tasks import register_workflow_processor
    from segue.errors import ConfigError

    app = Celery("alone", broker="memory://", set_as_current=False)
    monkeypatch.setattr(Workflow, "workflow_processor_task", None)
    with pytest.raises(WorkflowException, match="register_workflow_processor"):
        Workflow().apply_async()
    register_workflow_processor(app)
    with pytest.raises(ConfigError, match="install"):
        Workflow().apply_async()
