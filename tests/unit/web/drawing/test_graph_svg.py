"""Graphs as SVG: well-formed whatever they contain, complete, and without anything that the policy forbids."""

from __future__ import annotations

from itertools import combinations
from xml.etree import ElementTree

import pytest
from hypothesis import given

from segue.web.drawing.graph_svg import graph_svg, status_of
from segue.web.drawing.placing import Frame, place
from segue.web.drawing.shapes import Edge, Graph, Node
from segue.web.drawing.svg import Svg, cut, width_of
from tests.unit.web.drawing.graphs import graphs

HOSTILE = "</text><script>alert(1)</script>\"' onload=alert(1) \x00\x1b\ud800\u202e&amp;]]>"


def tags(svg: str) -> list[str]:
    return [element.tag for element in ElementTree.fromstring(svg).iter()]


def are_apart(one: Frame, other: Frame) -> bool:
    return (
        one[0] + one[2] <= other[0] + 1e-6 or other[0] + other[2] <= one[0] + 1e-6
        or one[1] + one[3] <= other[1] + 1e-6 or other[1] + other[3] <= one[1] + 1e-6
    )  # fmt: skip


@given(graphs())
def test_nodes_lie_in_their_boxes_and_nothing_overlaps(graph: Graph) -> None:
    placed = place(graph, lambda node: (80.0, 40.0), lambda path: 60.0)
    path_of = {node.id: node.path for node in graph.nodes}
    for one, other in combinations(placed.nodes, 2):
        assert are_apart(placed.nodes[one], placed.nodes[other])
    for path, box in placed.boxes.items():
        for node, frame in placed.nodes.items():
            is_inside = path_of[node][: len(path)] == path
            assert is_inside != are_apart(frame, box)
            if is_inside:
                assert frame[0] >= box[0]
                assert frame[0] + frame[2] <= box[0] + box[2] + 1e-6
                assert frame[1] + frame[3] <= box[1] + box[3] + 1e-6
    assert {edge for drawn in placed.routes for edge in drawn.edges} == set(graph.edges)


@given(graphs(is_acyclic=False, most=12))
def test_any_graph_gives_well_formed_markup_with_every_node(graph: Graph) -> None:
    svg = graph_svg(graph)
    names = tags(svg)
    assert "script" not in names
    assert names.count("circle") == sum(node.is_joint for node in graph.nodes)
    assert svg.count('class="node ') == sum(not node.is_joint for node in graph.nodes)
    assert " style=" not in svg
    assert svg == graph_svg(graph)


def test_texts_of_users_stay_text() -> None:
    node = Node("0", HOSTILE, {HOSTILE: 1}, href=f"/runs?x={HOSTILE.replace(' ', '')}", note=HOSTILE, path=(HOSTILE,))
    svg = graph_svg(Graph((node,), ()), label=HOSTILE)
    assert "script" not in tags(svg)
    assert all(not name.startswith("on") for each in ElementTree.fromstring(svg).iter() for name in each.attrib)
    svg.encode()


@pytest.mark.parametrize(
    "link",
    ["javascript:alert(1)", "data:text/html,x", "//evil.example", "/\\evil.example", " /x", "/\t/evil", "vbscript:x"],
)
def test_links_that_run_or_leave_are_not_written(link: str) -> None:
    assert "href" not in graph_svg(Graph((Node("0", "a", {"ready": 1}, href=link, opens=link),), ()))


@pytest.mark.parametrize("name", ["style", "onclick", "ONLOAD"])
def test_there_is_no_way_to_write_what_the_policy_forbids(name: str) -> None:
    with pytest.raises(ValueError, match="the policy"):
        Svg().leaf("rect", **{name: "x"})
    with pytest.raises(ValueError, match="no element"):
        Svg().leaf("script")


def test_a_step_is_a_link_that_says_what_it_is() -> None:
    graph = Graph(
        (
            Node("0", "load", {"succeeded": 1}),
            Node("1", "price", {"succeeded": 698, "running": 2}, href="/runs/7/steps/1"),
        ),
        (Edge("0", "1"),),
    )
    svg = graph_svg(graph)
    assert '<a aria-label="price, 698 succeeded, 2 running, after load" href="/runs/7/steps/1">' in svg
    assert "▶ price ×700" in svg
    assert 'class="edge is-success"' in svg


def test_only_colours_change_with_statuses() -> None:
    def places(status: str) -> list[dict[str, str]]:
        graph = Graph((Node("0", "load", {status: 1}), Node("1", "price", {status: 40})), (Edge("0", "1"),))
        found = ElementTree.fromstring(graph_svg(graph)).iter("rect")
        return [{key: each.attrib[key] for key in ("x", "y", "width")} for each in found if "rx" in each.attrib]

    assert places("blocked") == places("succeeded")


def test_the_most_urgent_status_is_that_of_a_group() -> None:
    assert status_of({"succeeded": 9, "failed": 1}) == "failed"
    assert status_of({}) == "blocked"
    assert status_of({"failed": 0, "succeeded": 1}) == "succeeded"


def test_long_texts_are_cut_by_their_width() -> None:
    assert cut("name", 4) == "name"
    assert cut("abcdef", 4) == "abc…"
    assert width_of(cut("名前名前名前", 6)) <= 6
    assert cut("a\n b\t c", 10) == "a b c"
