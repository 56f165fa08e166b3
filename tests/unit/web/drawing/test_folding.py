"""Folding: no step is lost, no circle is closed, and the few nodes that remain say what people expect."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from segue.web.drawing.folding import MOST_OPENED, fold, neighbours
from segue.web.drawing.layers import arrange
from segue.web.drawing.shapes import Edge, Graph, Node
from tests.unit.web.drawing.graphs import graphs


def step(number: int, label: str, status: str = "succeeded") -> Node:
    return Node(str(number), label, {status: 1})


def steps_of(graph: Graph) -> int:
    return sum(node.count for node in graph.nodes)


@given(graphs(), st.integers(3, 40))
def test_every_step_is_counted_once_and_no_circle_is_closed(graph: Graph, most: int) -> None:
    folded = fold(graph, most=most)
    assert len(folded.nodes) <= max(most, 3)
    if not folded.left_out:
        assert steps_of(folded) == steps_of(graph)
    ids = {node.id for node in folded.nodes}
    assert all({edge.source, edge.target} <= ids for edge in folded.edges)
    place = {node.id: index for index, node in enumerate(folded.nodes)}
    edges = [(place[edge.source], place[edge.target]) for edge in folded.edges]
    layers = arrange([(1, 1)] * len(place), edges).layers
    assert all(layers[source] < layers[target] for source, target in edges)
    assert fold(graph, most=most) == folded


def fan(width: int) -> Graph:
    members = tuple(
        step(number + 1, f"price[{number}]", "failed" if number == 3 else "succeeded") for number in range(width)
    )
    edges = tuple(Edge(one, other) for node in members for one, other in (("0", node.id), (node.id, "last")))
    return Graph((step(0, "list"), *members, Node("last", "add_up", {"blocked": 1})), edges)


def test_members_of_a_group_are_one_node_with_counts() -> None:
    folded = fold(fan(10_000))
    assert [(node.label, dict(node.counts)) for node in folded.nodes] == [
        ("list", {"succeeded": 1}), ("price", {"succeeded": 9_999, "failed": 1}), ("add_up", {"blocked": 1}),
    ]  # fmt: skip
    assert [(edge.source, edge.target) for edge in folded.edges] == [("0", "1"), ("1", "last")]


def test_a_group_that_is_opened_is_drawn_step_by_step_if_it_is_not_too_large() -> None:
    assert len(fold(fan(MOST_OPENED), opened={"1"}).nodes) == MOST_OPENED + 2
    assert len(fold(fan(MOST_OPENED + 1), opened={"1"}).nodes) == 3


def test_chains_of_each_item_are_one_chain_of_groups() -> None:
    nodes = [step(10 * item + place, f"{name}[{item}]") for item in range(12) for place, name in enumerate("abc")]
    edges = [Edge(str(10 * item + place), str(10 * item + place + 1)) for item in range(12) for place in range(2)]
    assert [(node.label, node.count) for node in fold(Graph(tuple(nodes), tuple(edges))).nodes] == [
        ("a", 12), ("b", 12), ("c", 12),
    ]  # fmt: skip


def test_calls_of_one_task_after_each_other_stay_apart() -> None:
    graph = Graph(
        tuple(step(number, f"fetch[{number}]") for number in range(20)),
        tuple(Edge(str(number), str(number + 1)) for number in range(19)),
    )
    assert fold(graph) == graph


def test_the_middle_of_a_long_chain_is_one_node() -> None:
    graph = Graph(
        tuple(step(number, f"s{number}") for number in range(314)),
        tuple(Edge(str(number), str(number + 1)) for number in range(313)),
    )
    folded = fold(graph)
    assert [node.label for node in folded.nodes] == ["s0", "s1", "… 310 steps …", "s312", "s313"]
    assert [(edge.source, edge.target) for edge in folded.edges] == [
        ("0", "1"),
        ("1", "2"),
        ("2", "312"),
        ("312", "313"),
    ]


def test_what_is_too_much_is_left_out_and_counted() -> None:
    graph = Graph(tuple(step(number, f"s{number}") for number in range(400)), ())
    folded = fold(graph)
    assert (len(folded.nodes), folded.left_out) == (150, 250)


@given(graphs(is_acyclic=False))
def test_damaged_graphs_with_circles_are_folded_as_well(graph: Graph) -> None:
    folded = fold(graph, most=5)
    assert len(folded.nodes) <= 5
    assert set(neighbours(folded)[0]) == {node.id for node in folded.nodes}
