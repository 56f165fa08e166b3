"""The graph of a run, as it is read and as it is drawn: within bounds, and the same whichever way it was read."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC
from xml.etree import ElementTree

import pytest

from segue import Segue, task
from segue.engine.views import graph
from segue.engine.views.graph import RunGraph, graph_of_run
from segue.errors import RunNotFoundError
from segue.plan.graph import Plan
from segue.web.drawing.folding import fold
from segue.web.drawing.graph_svg import graph_svg
from segue.web.drawing.of_run import graph_of, spans_of, timeline_of
from segue.web.drawing.shapes import Graph
from segue.web.drawing.timeline import critical_path
from segue.web.drawing.timeline_svg import timeline_svg
from tests.contract.stage import Stage, expanded, failed, node, plan, succeeded


@pytest.fixture
def stage(lasting_stage: Stage) -> Iterator[Stage]:
    lasting_stage.renew()
    yield lasting_stage
    assert lasting_stage.is_sound()


def read(stage: Stage, run_id: str, *opened: int) -> RunGraph:
    with stage.engine.reading() as tx:
        return graph_of_run(tx, run_id, opened=opened)


def drawn(found: RunGraph) -> Graph:
    return fold(graph_of(found, link=lambda step: f"/steps/{step.first}"))


def arrows(picture: Graph) -> set[tuple[str, str, str]]:
    names = {node.id: node.label for node in picture.nodes}
    return {(names[edge.source], names[edge.target], edge.kind) for edge in picture.edges}


def labels(picture: Graph) -> list[tuple[str, int]]:
    return [(node.label, node.count) for node in picture.nodes]


def fan(width: int) -> Plan:
    """A plan of one step, many, and one that waits for all of them."""
    members = [node(f"price[{number}]", 0) for number in range(width)]
    return plan(node("list"), *members, node("add", *range(1, width + 1)))


def test_rules_hooks_and_nested_names_are_drawn(stage: Stage) -> None:
    run_id = stage.start(
        plan(node("fetch"), node("db/load", 0), node("db/index", 0), node("tell", 1, 2, rule="all_done"),
             node("alert", hook="on_failure"))
    )  # fmt: skip
    picture = drawn(read(stage, run_id))
    assert arrows(picture) == {
        ("fetch", "load", "success"), ("fetch", "index", "success"), ("load", "tell", "any"), ("index", "tell", "any"),
        ("tell", "alert", "hook"),
    }  # fmt: skip
    assert [node.path for node in picture.nodes] == [(), ("db",), ("db",), (), ()]
    assert [node.is_hook for node in picture.nodes] == [False, False, False, False, True]


@pytest.mark.parametrize("is_large", [False, True])
def test_a_group_is_one_node_whichever_way_it_was_read(
    stage: Stage, is_large: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    if is_large:
        monkeypatch.setattr(graph, "MOST_STEPS", 10)
    run_id = stage.start(fan(40))
    stage.turn(succeeded(stage.claim_named("list")[0]))
    jobs = stage.claim(want=6)
    stage.turn(*map(succeeded, jobs[:5]))
    found = read(stage, run_id)
    assert found.is_grouped is is_large
    picture = drawn(found)
    assert labels(picture) == [("list", 1), ("price", 40), ("add", 1)]
    assert dict(picture.nodes[1].counts) == {"succeeded": 5, "running": 1, "ready": 34}
    assert arrows(picture) == {("list", "price", "success"), ("price", "add", "success")}
    ElementTree.fromstring(graph_svg(picture))


@pytest.mark.parametrize("is_large", [False, True])
def test_items_of_a_map_take_the_place_of_its_step(
    stage: Stage, is_large: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    if is_large:
        monkeypatch.setattr(graph, "MOST_STEPS", 12)
    run_id = stage.start(plan(node("list"), node("price.map", 0, task=graph.MAP), node("add", 1)))
    stage.turn(succeeded(stage.claim_named("list")[0]))
    items = plan(*[node(f"price[{number}]") for number in range(30)])
    mapper = stage.hire("mapper", tasks=(graph.MAP,))
    stage.turn(expanded(stage.claim_named("price.map", by=mapper)[0], items), by=mapper)
    picture = drawn(read(stage, run_id))
    assert labels(picture) == [("list", 1), ("add", 1), ("price", 30)]
    assert arrows(picture) == {("list", "price", "success"), ("price", "add", "success")}


def test_two_maps_after_each_other_are_two_nodes_and_few_edges(stage: Stage) -> None:
    run_id = stage.start(plan(node("a.map", task=graph.MAP), node("b.map", 0, task=graph.MAP)))
    mapper = stage.hire("mapper", tasks=(graph.MAP,))
    stage.turn(expanded(stage.claim(mapper)[0], plan(*[node(f"a[{number}]") for number in range(300)])), by=mapper)
    stage.work()
    stage.turn(expanded(stage.claim(mapper)[0], plan(*[node(f"b[{number}]") for number in range(300)])), by=mapper)
    whole = graph_of(read(stage, run_id), link=lambda step: None)
    assert len(whole.edges) == 600
    folded = fold(whole)
    assert labels(folded) == [("a", 300), ("b", 300), ("", 1)]
    assert {(source, target) for source, target, _ in arrows(folded)} == {("a", ""), ("", "b")}


def test_a_name_with_many_slashes_is_drawn(stage: Stage) -> None:
    found = read(stage, stage.start(plan(node("a/" * 900 + "b"))))
    ElementTree.fromstring(graph_svg(drawn(found)))


def test_what_a_task_returned_is_read_when_it_is_opened(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(graph, "SMALL", 0)
    run_id = stage.start(plan(node("a"), node("b", 0)))
    stage.turn(expanded(stage.claim_named("a")[0], plan(node("x"), node("y", 0))))
    closed = drawn(read(stage, run_id))
    assert labels(closed) == [("a", 1), ("b", 1)]
    opened = drawn(read(stage, run_id, 0))
    assert [(node.label, node.path) for node in opened.nodes] == [
        ("a", ("#0",)),
        ("b", ()),
        ("x", ("#0",)),
        ("y", ("#0",)),
    ]
    assert opened.labels["#0",] == "a"
    assert arrows(opened) == {("a", "b", "success"), ("a", "x", "success"), ("x", "y", "success")}
    monkeypatch.setattr(graph, "SMALL", 150)
    assert read(stage, run_id) == read(stage, run_id, 0)


@task
def count_down(left: int) -> object:
    return count_down.s(left - 1) if left else "liftoff"


def test_calls_that_take_the_place_of_their_caller_are_a_chain(segue: Segue) -> None:
    segue.run(count_down, 200)
    [run] = segue.runs()
    with segue.engine.reading() as tx:
        picture = drawn(graph_of_run(tx, run.id, opened=[0]))
    assert {edge.kind for edge in picture.edges} == {"passed", "success"}
    assert sum(node.count for node in picture.nodes) == 201
    assert len(picture.nodes) < 10


def test_bounds_hold_for_a_run_with_more_names_than_can_be_drawn(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(graph, "MOST_STEPS", 10)
    monkeypatch.setattr(graph, "MOST_GROUPS", 20)
    run_id = stage.start(plan(*[node(f"s{number}") for number in range(200)]))
    found = read(stage, run_id)
    assert found.is_cut
    assert len(found.steps) == 20


def test_a_timeline_shows_attempts_waiting_and_the_critical_path(stage: Stage) -> None:
    run_id = stage.start(plan(node("a", retries=1, retry_delay=2.0), node("b", 0), node("c")))
    stage.advance(2)
    jobs = {job.name: job for job in stage.claim()}
    stage.advance(3)
    stage.turn(failed(jobs["a"]), succeeded(jobs["c"]))
    stage.advance(3)
    stage.turn(timers=True)
    stage.turn(succeeded(stage.claim()[0]))
    stage.advance(1)
    job = stage.claim()[0]
    stage.advance(4)
    stage.turn(succeeded(job))
    found = read(stage, run_id)
    rows = timeline_of(found, stage.attempts(run_id), link=lambda step: None)
    kinds = {row.label: [piece.kind for piece in row.pieces] for row in rows}
    assert kinds["a"][-1] == "running"
    assert "failed" in [piece.status for piece in next(row for row in rows if row.label == "a").pieces]
    assert kinds["c"] == ["waiting", "running"]
    spans, parents = spans_of(found)
    names = {str(step.first): step.name for step in found.steps}
    assert [names[one] for one in critical_path(spans, parents)] == ["a", "b"]
    svg = timeline_svg(rows, now=stage.clock.now(), zone=UTC, critical=critical_path(spans, parents))
    ElementTree.fromstring(svg)


def test_an_unknown_run_is_an_error(stage: Stage) -> None:
    with pytest.raises(RunNotFoundError):
        read(stage, "01a1fc28-9888-71dc-81c8-a4c2cf7f2c17")
