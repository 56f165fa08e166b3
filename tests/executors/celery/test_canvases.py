"""Canvases on real workers: what Celery documents comes out, and it is durable."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from celery import chain, chord, group
from celery.exceptions import ChordError, TaskRevokedError

from segue.errors import PlanError, RunFailedError
from segue.executors.celery import plan_of
from tests.executors.celery.conftest import Project, wait_until

SECONDS = 40


def shapes(project: Project) -> dict[str, tuple[Any, Any]]:
    """Canvases with the values that Celery documents for them."""
    add, total, same = (project.app.tasks[name] for name in ("add", "total", "same"))
    return {
        "signature": (add.s(1, 2), 3),
        "chain": (chain(add.s(1, 2), add.s(3), add.s(4)), 10),
        "immutable": (chain(add.s(1, 2), add.si(10, 20)), 30),
        "keyword": (chain(same.s(value=4), add.s(y=1)), 5),
        "group": (group(add.s(1, 1), add.s(2, 2)), [2, 4]),
        "empty group": (group(), []),
        "chord": (chord([add.s(number, 0) for number in range(5)], total.s()), 10),
        "empty header": (chord([], total.s()), 0),
        "header of one": (chord([add.s(1, 1)], same.s()), [2]),
        "group in a chain": (chain(add.s(1, 1), group(add.s(10), add.s(20)), total.s()), 34),
        "chain ending in a group": (chain(add.s(1, 1), group(add.s(1), add.s(2))), [3, 4]),
        "nested chords": (chord([chord([add.s(1, 1), add.s(2, 2)], total.s()), add.s(5, 5)], total.s()), 16),
        "chords in a row": (
            chain(group(add.s(1, 1), add.s(2, 2)), total.s(), group(add.s(1), add.s(2)), total.s()), 15
        ),
        "chunks": (add.chunks(zip(range(4), range(4), strict=True), 2), [[0, 2], [4, 6]]),
        "starmap": (add.starmap([(1, 1), (2, 2)]), [2, 4]),
        "unicode": (chain(same.s("ä€😀"), add.s("!")), "ä€😀!"),
    }  # fmt: skip


NAMES = [
    "signature", "chain", "immutable", "keyword", "group", "empty group", "chord", "empty header", "header of one",
    "group in a chain", "chain ending in a group", "nested chords", "chords in a row", "starmap", "unicode",
]  # fmt: skip


@pytest.mark.parametrize("name", NAMES)
def test_a_started_canvas_has_the_value_that_celery_documents(project: Project, name: str) -> None:
    canvas, expected = shapes(project)[name]
    assert project.segue.start(canvas).wait(timeout=SECONDS).result() == expected


@pytest.mark.parametrize("name", [*[name for name in NAMES if name not in ("signature", "starmap")], "chunks"])
def test_an_applied_canvas_goes_through_segue_and_its_result_object_has_the_value(project: Project, name: str) -> None:
    canvas, expected = shapes(project)[name]
    before = {run.id for run in project.segue.runs(limit=1)}
    result = canvas.apply_async()
    assert result.get(timeout=SECONDS) == expected
    if name != "empty group":
        assert {run.id for run in project.segue.runs(limit=1)} != before


def test_a_lone_task_is_celerys_alone(project: Project) -> None:
    before = [run.id for run in project.segue.runs(limit=1)]
    assert project.app.tasks["add"].delay(1, 2).get(timeout=SECONDS) == 3
    assert [run.id for run in project.segue.runs(limit=1)] == before


def test_a_failed_chain_ends_and_no_get_hangs(project: Project) -> None:
    result = chain(project.sig("fail"), project.sig("add", 1), project.sig("add", 2)).apply_async()
    with pytest.raises(ValueError, match="broken"):
        result.get(timeout=SECONDS)
    wait_until(lambda: result.state == result.parent.state == "FAILURE")


def test_the_body_of_a_failed_chord_is_not_run_and_its_result_says_why(project: Project, tmp_path: Path) -> None:
    body = project.app.tasks["note"].si(str(tmp_path / "body"), "ran")
    result = chord([project.sig("fail"), project.sig("add", 1, 1)], body).apply_async()
    with pytest.raises((ChordError, ValueError)):
        result.get(timeout=SECONDS)
    wait_until(result.ready)
    assert isinstance(result.result, ChordError)
    assert "broken" in str(result.result)
    assert not (tmp_path / "body").exists()


def test_an_error_callback_is_called_once_with_the_id_of_the_task_that_failed(project: Project, tmp_path: Path) -> None:
    seen = tmp_path / "seen"
    failing = project.sig("fail")
    canvas = chain(project.sig("add", 1, 1), failing, project.sig("add", 3))
    run = project.segue.start(canvas.on_error(project.app.tasks["note_failure"].s(path=str(seen))))
    with pytest.raises(RunFailedError, match="fail"):
        run.wait(timeout=SECONDS).result()
    handle = next(step.name for step in run.steps() if step.status == "failed")
    assert handle == "fail"
    assert len(seen.read_text().split()) == 1


def test_an_error_callback_that_wants_the_exception_gets_it(project: Project, tmp_path: Path) -> None:
    seen = tmp_path / "seen"
    callback = project.app.tasks["note_exception"].s(path=str(seen))
    run = project.segue.start(chain(project.sig("fail").on_error(callback), project.sig("add", 3)))
    with pytest.raises(RunFailedError):
        run.wait(timeout=SECONDS).result()
    assert seen.read_text().split()[1:] == ["ValueError", "broken"]


def test_the_error_callback_of_a_chord_comes_once_when_all_of_the_header_has_ended(
    project: Project, tmp_path: Path
) -> None:  # fmt: skip
    seen = tmp_path / "seen"
    note = project.app.tasks["note"]
    header = [project.sig("fail"), project.sig("fail"), note.si(str(seen), "member")]
    body = project.sig("total").on_error(note.si(str(seen), "errback"))
    with pytest.raises(RunFailedError):
        project.segue.start(chord(header, body)).wait(timeout=SECONDS).result()
    assert seen.read_text().split() == ["member", "errback"]


def test_a_retry_stays_in_its_step_and_its_delay_is_a_row(project: Project) -> None:
    run = project.segue.start(chain(project.sig("flaky", 7, 2), project.sig("same")))
    assert run.wait(timeout=SECONDS).result() == [7, 2]
    first, second = run.steps()
    assert (first.attempt, second.attempt) == (3, 1)


def test_autoretry_ends_as_a_failure_after_its_last_try(project: Project) -> None:
    run = project.segue.start(chain(project.sig("stubborn"), project.sig("add", 1)))
    with pytest.raises(RunFailedError, match="KeyError"):
        run.wait(timeout=SECONDS).result()
    assert run.steps()[0].attempt == 3


def test_a_task_that_replaces_itself_has_the_value_of_what_replaced_it(project: Project) -> None:
    run = project.segue.start(chain(project.sig("fan", 6), project.sig("add", 1)))
    assert run.wait(timeout=SECONDS).result() == 16
    assert chain(project.sig("recurse", 3), project.sig("add", "!")).apply_async().get(timeout=SECONDS) == "bottom!"


def test_a_chain_started_inside_a_task_is_a_run_of_its_own(project: Project) -> None:
    before = len(project.segue.runs(workflow="celery.chain", limit=1000))
    outer = chain(project.sig("start_chain"), project.sig("same")).apply_async()
    inner = project.app.AsyncResult(outer.get(timeout=SECONDS))
    assert inner.get(timeout=SECONDS) == 4
    assert len(project.segue.runs(workflow="celery.chain", limit=1000)) == before + 2


def test_a_result_that_celery_ignores_is_passed_on(project: Project) -> None:
    run = project.segue.start(chain(project.sig("ignored"), project.sig("add", "!")))
    assert run.wait(timeout=SECONDS).result() == "not kept by Celery!"


def test_what_follows_a_skipped_task_is_known_to_be_revoked(project: Project) -> None:
    run = project.segue.start(chain(project.sig("same", 1), project.app.tasks["wait_for_file"].si("/nowhere")))
    run.cancel()
    assert run.wait(timeout=SECONDS).status == "cancelled"
    with pytest.raises(TaskRevokedError):
        project.app.AsyncResult(_handle_of_last(run)).get(timeout=SECONDS)


def _handle_of_last(run: Any) -> str:
    with run._engine.reading() as tx:
        rows = tx.all("steps_in_vain", run_id=run.id)
    return str(max(rows, key=lambda row: row[0])[2])


@pytest.mark.parametrize("value", [float("inf"), float("nan")])
def test_a_float_that_is_no_number_goes_through_a_canvas(project: Project, value: float) -> None:
    canvas = chord([project.sig("same", [value]), project.sig("same", 1)], project.sig("same"))
    assert repr(chain(canvas, project.sig("same")).apply_async().get(timeout=SECONDS)) == repr([[value], 1])


def test_arguments_that_do_not_fit_fail_the_step_and_the_rest_of_the_chain(project: Project) -> None:
    result = chain(project.sig("same", 1), project.sig("add", 1, 2), project.sig("same")).apply_async()
    with pytest.raises(TypeError, match="positional"):
        result.get(timeout=SECONDS)


def test_a_canvas_that_celery_would_run_at_once_is_refused_before_it_does(project: Project, tmp_path: Path) -> None:
    notes = tmp_path / "notes"
    note = project.app.tasks["note"]
    project.app.conf.task_always_eager = True
    try:
        with pytest.raises(PlanError, match="task_always_eager is on"):
            project.segue.start(chain(note.si(str(notes), "a"), note.si(str(notes), "b")))
        assert not notes.exists()
        assert chain(project.sig("add", 1, 2), project.sig("add", 3)).apply_async().get() == 6  # Celery's own way
    finally:
        project.app.conf.task_always_eager = False


def test_the_body_of_a_chord_has_a_member_of_its_header_as_its_parent(project: Project) -> None:
    """Celery's own tests ask for that. In Celery it is the member that ended last; here the graph is known before."""
    add, total = project.app.tasks["add"], project.app.tasks["total"]
    nodes = plan_of(chain(add.s(1, 1), chord([add.s(number) for number in range(3)], total.s()))).nodes
    [body] = [node for node in nodes if node.task == "celery:total"]
    parents = [json.loads(node.spec or "{}").get("parent_id") for node in nodes]
    assert parents[0] is None
    assert parents[1:4] == [nodes[0].handle] * 3
    assert json.loads(body.spec or "{}")["parent_id"] == nodes[3].handle


def test_with_callbacks_on_the_header_each_failure_and_the_body_call_it(
    project: Project, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(project.app.conf, "task_allow_error_cb_on_chord_header", True)
    seen = tmp_path / "seen"
    canvas = chain(
        group(project.sig("fail"), project.sig("fail"), project.app.tasks["note"].si(str(seen), "member")),
        project.app.tasks["note"].si(str(seen), "body"),
    )
    canvas.link_error(project.app.tasks["note"].si(str(seen), "errback"))
    assert project.segue.start(canvas).wait(timeout=SECONDS).status == "failed"
    assert sorted(seen.read_text().split()) == ["errback", "errback", "errback", "member"]
