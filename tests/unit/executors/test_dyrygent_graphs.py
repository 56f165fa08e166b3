"""celery-dyrygent's workflows as graphs: what depends on what, before anything is started."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from celery import Celery, chain, chord, group
from celery.canvas import Signature

from segue import Segue
from segue.compat.dyrygent.tasks import register_workflow_processor
from segue.compat.dyrygent.workflows import Workflow, WorkflowException, WorkflowNode
from segue.compat.refusing import NotTranslatedError
from segue.executors.celery import install


@pytest.fixture
def app(monkeypatch: pytest.MonkeyPatch) -> Celery:
    app = Celery("graphs", broker="memory://", backend="cache+memory://", set_as_current=False)
    install(app, Segue("sqlite:///never-opened.db"))
    monkeypatch.setattr(Workflow, "workflow_processor_task", None)
    monkeypatch.setattr(Workflow, "hooks", {name: [] for name in Workflow.hooks})
    return app


@pytest.fixture
def sigs(app: Celery) -> list[Signature]:
    found = [app.signature("work", task_id=f"t{number}") for number in range(10)]
    for each in found:
        each.freeze()
    return found


def edges(wf: Workflow) -> set[str]:
    return {f"{node.id}>{other.id}" for node, other in wf.iterate_dependencies() if other is not None}


def cases(s: list[Signature]) -> Iterator[tuple[Any, str, list[str]]]:
    """Canvases, the edges that they make, and what would depend on them."""
    yield s[0], "", ["t0"]
    yield chain(s[0], s[1], s[2]), "t1>t0 t2>t1", ["t2"]
    yield group(s[0], s[1]), "", ["t0", "t1"]
    yield chord(s[:2], s[2]), "t2>t0 t2>t1", ["t2"]
    yield chord([], s[0]), "", ["t0"]
    yield s[0] | chord([], s[1]) | s[2], "t1>t0 t2>t1", ["t2"]
    yield s[0] | group([]) | group([]) | s[1], "t1>t0", ["t1"]
    yield chain(chord(s[:2], s[2]), chord(s[3:5], s[5])), "t2>t0 t2>t1 t3>t2 t4>t2 t5>t3 t5>t4", ["t5"]
    yield (
        s[0] | chord([chain(s[1], s[2]), chain(s[3], s[4])], s[5]),
        "t1>t0 t2>t1 t3>t0 t4>t3 t5>t2 t5>t4",
        ["t5"],
    )
    yield chain(s[0], s[1]) | group(s[2], s[3]) | chain(s[4], s[5]), "t1>t0 t2>t1 t3>t1 t4>t2 t4>t3 t5>t4", ["t5"]


@pytest.mark.parametrize("number", range(10))
def test_a_canvas_has_the_edges_of_its_relations(sigs: list[Signature], number: int) -> None:
    canvas, expected, ends = list(cases(sigs))[number]
    wf = Workflow()
    assert [node.id for node in wf.add_celery_canvas(canvas)] == ends
    assert edges(wf) == set(expected.split())


def test_a_canvas_comes_behind_the_nodes_that_are_given(sigs: list[Signature]) -> None:
    wf = Workflow()
    before = [wf.add_signature(sigs[8]), wf.add_signature(sigs[9])]
    assert wf.add_celery_group(group(sigs[0], sigs[1]), before) == [wf.nodes["t0"], wf.nodes["t1"]]
    assert wf.add_celery_group(group([]), before) == before
    assert edges(wf) == {"t0>t8", "t0>t9", "t1>t8", "t1>t9"}


def test_it_can_be_simulated_without_being_started(sigs: list[Signature]) -> None:
    wf = Workflow()
    wf.add_celery_canvas(chain(sigs[0], group(sigs[1], sigs[2]), sigs[3]))
    seen = []
    while wf.simulate_tick():
        seen.append(set(wf.running))
    assert seen == [{"t0"}, {"t1", "t2"}, {"t3"}]
    assert wf.is_success()


def test_it_comes_back_from_a_dict(sigs: list[Signature]) -> None:
    wf = Workflow(options={"priority": 3})
    wf.add_celery_canvas(chain(sigs[0], sigs[1]))
    wf.nodes["t1"].custom_payload["user"] = 7
    wf.custom_payload["ticket"] = 8
    again = Workflow.from_dict(wf.to_dict())
    assert again.to_dict() == wf.to_dict()
    assert (again.nodes["t1"].custom_payload, again.custom_payload) == ({"user": 7}, {"ticket": 8})
    assert edges(again) == {"t1>t0"}


def test_misuse_is_named(app: Celery, sigs: list[Signature]) -> None:
    wf = Workflow()
    node = wf.add_signature(sigs[0])
    with pytest.raises(WorkflowException, match="already"):
        wf.add_signature(sigs[0])
    with pytest.raises(WorkflowException, match="not frozen"):
        WorkflowNode(app.signature("work"))
    other = WorkflowNode(sigs[1])
    node.add_dependency(other)
    with pytest.raises(WorkflowException, match="already added"):
        node.add_dependency(other)
    with pytest.raises(WorkflowException, match=r"t1.*not added"):
        wf.in_order()
    with pytest.raises(WorkflowException, match="signal"):
        Workflow.connect("on_tick")
    with pytest.raises(WorkflowException, match="retry policy"):
        wf.set_retry_policy("linear", 1)
    wf.set_retry_policy("random", 1, 2)
    assert wf.get_retry_countdown() in (1, 2)


def test_what_ticks_is_refused_by_name() -> None:
    with pytest.raises(NotTranslatedError, match=r"Workflow\.tick .*Nothing ticks"):
        Workflow().tick()
    assert not hasattr(Workflow(), "no_such_thing")


def test_freezing_gives_it_the_id_of_its_processor(app: Celery, sigs: list[Signature]) -> None:
    with pytest.raises(WorkflowException, match="register_workflow_processor"):
        Workflow().freeze()
    register_workflow_processor(app, name="other-processor")
    wf = Workflow()
    wf.add_celery_canvas(sigs[0])
    signature = wf.freeze()
    assert (signature.task, signature.id) == ("other-processor", wf.id)
    assert wf.freeze().id == wf.id
    assert wf.processing_limit_ts is not None


def test_a_handler_that_fails_breaks_nothing() -> None:
    seen: list[Any] = []

    @Workflow.connect("on_finish")
    def broken(workflow: Workflow, payload: None) -> None:
        raise ValueError("broken")

    Workflow.connect("on_finish")(lambda workflow, payload: seen.append(payload))
    try:
        Workflow().emit("on_finish")
    finally:
        Workflow.hooks["on_finish"].clear()
    assert seen == [None]
