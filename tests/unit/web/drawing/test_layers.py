"""Layers: what the promises of the module say, for any graph."""

from __future__ import annotations

from itertools import combinations

from hypothesis import given
from hypothesis import strategies as st

from segue.web.drawing import layers
from segue.web.drawing.layers import arrange

sizes = st.lists(st.tuples(st.floats(1, 300), st.floats(1, 90)), min_size=1, max_size=30)


@st.composite
def drawn(draw: st.DrawFn, *, is_acyclic: bool) -> tuple[list[tuple[float, float]], list[tuple[int, int]]]:
    nodes = draw(sizes)
    number = st.integers(0, len(nodes) - 1)
    edges = draw(st.lists(st.tuples(number, number), max_size=60))
    if is_acyclic:
        edges = [(min(edge), max(edge)) for edge in edges if edge[0] != edge[1]]
    return nodes, edges


@given(drawn(is_acyclic=True))
def test_every_edge_leads_to_the_right_from_its_source_to_its_target(
    graph: tuple[list[tuple[float, float]], list[tuple[int, int]]],
) -> None:
    nodes, edges = graph
    layout = arrange(nodes, edges)
    assert len(layout.routes) == len(edges)
    for (source, target), route in zip(edges, layout.routes, strict=True):
        assert layout.layers[source] < layout.layers[target]
        (left, top), (width, height) = layout.places[source], nodes[source]
        assert abs(route[0][0] - left - width) < 1e-6
        assert abs(route[0][1] - top - height / 2) < 1e-6
        assert route[-1][0] == layout.places[target][0]
        assert [x for x, _ in route] == sorted(x for x, _ in route)


@given(drawn(is_acyclic=False))
def test_nodes_do_not_overlap_and_lie_in_the_picture(
    graph: tuple[list[tuple[float, float]], list[tuple[int, int]]],
) -> None:
    nodes, edges = graph
    layout = arrange(nodes, edges)
    frames = [(*place, *size) for place, size in zip(layout.places, nodes, strict=True)]
    for (x1, y1, w1, h1), (x2, y2, w2, h2) in combinations(frames, 2):
        assert x1 + w1 <= x2 + 1e-6 or x2 + w2 <= x1 + 1e-6 or y1 + h1 <= y2 + 1e-6 or y2 + h2 <= y1 + 1e-6
    for x, y, width, height in frames:
        assert x >= -1e-6
        assert y >= -1e-6
        assert x + width <= layout.width + 1e-6
        assert y + height <= layout.height + 1e-6
    for (source, target), route in zip(edges, layout.routes, strict=True):
        assert bool(route) == (source != target)
    assert arrange(nodes, edges) == layout


def test_a_chain_is_straight_and_a_diamond_is_even() -> None:
    chain = arrange([(80, 40)] * 5, [(0, 1), (1, 2), (2, 3), (3, 4)])
    assert {y for _, y in chain.places} == {0.0}
    diamond = arrange([(80, 40)] * 4, [(0, 1), (0, 2), (1, 3), (2, 3)])
    assert diamond.layers == (0, 1, 1, 2)
    assert abs(diamond.places[0][1] - diamond.places[3][1]) < 1e-6
    assert abs(diamond.places[0][1] - (diamond.places[1][1] + diamond.places[2][1]) / 2) < 1e-6


def test_crossings_that_need_not_be_are_taken_out() -> None:
    layout = arrange([(80, 40)] * 6, [(0, 5), (1, 4), (2, 3)])  # three lines, in the wrong order on one side
    for source, target in ((0, 5), (1, 4), (2, 3)):
        assert abs(layout.places[source][1] - layout.places[target][1]) < 1e-6


def test_a_source_stands_beside_what_needs_it() -> None:
    assert arrange([(10, 10)] * 4, [(0, 1), (1, 2), (3, 2)]).layers == (0, 1, 2, 1)


def test_long_edges_of_a_dense_graph_go_straight() -> None:
    count = 150
    edges = [(one, other) for one in range(count) for other in range(one + 1, count)]
    layout = arrange([(80, 40)] * count, edges)
    assert sum(len(route) - 2 for route in layout.routes) <= 2 * layers.MOST_POINTS
    assert all(len(route) >= 2 for route in layout.routes)
