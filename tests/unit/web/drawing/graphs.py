"""Graphs for tests, drawn by Hypothesis."""

from __future__ import annotations

from hypothesis import strategies as st

from segue.web.drawing.shapes import Edge, Graph, Node

STATUSES = ("blocked", "ready", "running", "succeeded", "failed", "skipped", "cancelled")
LABELS = ("load", "price[0]", "price[1]", "price[2]", "price[17]", "<b>", "x" * 80, "名前", "\x00\ud800", "")
PATHS = ((), ("a",), ("a", "b"), ("c",))


@st.composite
def graphs(draw: st.DrawFn, *, is_acyclic: bool = True, most: int = 24) -> Graph:
    count = draw(st.integers(0, most))
    nodes = tuple(
        Node(
            str(number), draw(st.sampled_from(LABELS)),
            {draw(st.sampled_from(STATUSES)): draw(st.integers(1, 3)), "succeeded": draw(st.integers(0, 2))},
            path=draw(st.sampled_from(PATHS)), is_joint=draw(st.booleans()), href=draw(st.sampled_from((None, "/s"))),
        )
        for number in range(count)
    )  # fmt: skip
    pairs = st.tuples(st.integers(0, max(count - 1, 0)), st.integers(0, max(count - 1, 0)))
    found = draw(st.lists(pairs, max_size=3 * count)) if count else []
    if is_acyclic:
        found = [(min(pair), max(pair)) for pair in found if pair[0] != pair[1]]
    return Graph(nodes, tuple(Edge(str(one), str(other)) for one, other in dict.fromkeys(found)))
