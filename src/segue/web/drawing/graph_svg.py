"""A graph as SVG. A status is a glyph, a word and a class; steps are links, which the keyboard reaches in order.

Positions depend on nodes, edges and boxes alone: when statuses change, only colours and counts do.
"""

from __future__ import annotations

from collections.abc import Mapping

from segue.client.wording import GLYPHS, ORDER, counted
from segue.web.drawing.layers import Point
from segue.web.drawing.placing import HEADING, PADDING, Frame, Path, Placed, place
from segue.web.drawing.shapes import Graph, Node
from segue.web.drawing.spark import stacked
from segue.web.drawing.svg import Svg, cut, number, width_of

COLUMN = 7.3  # the width of a character
HEIGHT = 46.0
JOINT = 8.0
MOST_COLUMNS = 28
MARGIN = 8.0
URGENCY = ("failed", "running", "sent", "ready", "blocked", "cancelled", "succeeded", "skipped")
"""Which status a group has: that of the step that needs attention most."""


def graph_svg(graph: Graph, *, label: str = "The graph of the run") -> str:
    """The picture of a graph, which was folded before (`folding.fold`).

    Example::

        graph_svg(Graph((Node("0", "load", {"failed": 1}, href="/runs/7/steps/0"),), ()))
    """
    placed = place(graph, _size, lambda path: COLUMN * width_of(_heading(graph, path)))
    width, height = placed.width + 2 * MARGIN, placed.height + 2 * MARGIN
    svg = Svg()
    with svg.inside(
        "svg", class_="graph", viewBox=f"{number(-MARGIN)} {number(-MARGIN)} {number(width)} {number(height)}",
        width=width, height=height, role="group", aria_label=f"{label}: {counted(len(graph.nodes), 'node')}",
    ):  # fmt: skip
        for path in sorted(placed.boxes, key=len):
            _box(svg, placed.boxes[path], _heading(graph, path))
        for each in placed.routes:
            _edge(svg, each.kind, each.points)
        for node in graph.nodes:
            _node(svg, node, placed, _parents(graph, node))
    return svg.written()


def status_of(counts: Mapping[str, int]) -> str:
    """The status of several steps: that of the one that needs attention most."""
    return next((status for status in URGENCY if counts.get(status)), "blocked")


def in_words(counts: Mapping[str, int]) -> str:
    """Counts by status, for people who hear the picture: "698 succeeded, 2 running"."""
    known = [*ORDER, *sorted(set(counts) - set(ORDER))]
    return ", ".join(f"{counts[status]:,} {status}" for status in known if counts.get(status))


def _heading(graph: Graph, path: Path) -> str:
    return cut(graph.labels.get(path, path[-1]), MOST_COLUMNS)


def _first_line(node: Node) -> str:
    text = cut(node.label, MOST_COLUMNS)
    return f"{text} ×{node.count:,}" if node.count > 1 and not node.label.startswith("…") else text


def _second_line(node: Node) -> str:
    if node.count == 1:
        return " · ".join(filter(None, (status_of(node.counts), cut(node.note, MOST_COLUMNS))))
    return " ".join(
        f"{node.counts[status]:,} {GLYPHS.get(status, status)}" for status in ORDER if node.counts.get(status)
    )


def _size(node: Node) -> tuple[float, float]:
    """Of the name only: not of what changes while the run goes on."""
    if node.is_joint:
        return JOINT, JOINT
    columns = width_of(_first_line(node)) + 4
    return max(COLUMN * columns, 128.0 if node.count == 1 else 176.0) + (24.0 if node.opens else 0.0), HEIGHT


def _parents(graph: Graph, node: Node) -> list[str]:
    sources = {edge.source for edge in graph.edges if edge.target == node.id}
    return [each.label for each in graph.nodes if each.id in sources and not each.is_joint][:5]


def _box(svg: Svg, frame: Frame, heading: str) -> None:
    x, y, width, height = frame
    with svg.inside("g", class_="box"):
        svg.leaf("rect", x=x, y=y, width=width, height=height, rx=10)
        svg.text(heading, x=x + PADDING, y=y + HEADING - 6)


def _edge(svg: Svg, kind: str, points: tuple[Point, ...]) -> None:
    (x, y), *rest = points
    path = [f"M{number(x)} {number(y)}"]
    for index, (to_x, to_y) in enumerate(rest):
        if index % 2 and index < len(rest) - 1:  # through a column
            path.append(f"L{number(to_x)} {number(to_y)}")
        else:
            bend = max(abs(to_x - x) / 2, 18.0)
            path.append(
                f"C{number(x + bend)} {number(y)} {number(to_x - bend)} {number(to_y)} {number(to_x)} {number(to_y)}"
            )
        x, y = to_x, to_y
    path.append(f"M{number(x - 6)} {number(y - 4)}L{number(x)} {number(y)}L{number(x - 6)} {number(y + 4)}")
    svg.leaf("path", d="".join(path), class_=f"edge is-{kind}")


def _node(svg: Svg, node: Node, placed: Placed, parents: list[str]) -> None:
    x, y, width, height = placed.nodes[node.id]
    if node.is_joint:
        svg.leaf("circle", cx=x + width / 2, cy=y + height / 2, r=width / 2, class_="joint")
        return
    status = status_of(node.counts)
    said = f"{node.label}, {in_words(node.counts)}" + (f", after {', '.join(parents)}" if parents else "")
    kinds = f"node is-{status}{' is-hook' if node.is_hook else ''}{' is-group' if node.count > 1 else ''}"
    with svg.inside("g", class_=kinds):
        link = {"href": node.href} if node.href else {"role": "img"}
        with svg.inside("a" if node.href else "g", aria_label=said, **link):
            svg.title(said)
            svg.leaf("rect", x=x, y=y, width=width, height=height, rx=8)
            svg.text(f"{GLYPHS.get(status, ' ')} {'⌂ ' if node.is_hook else ''}{_first_line(node)}", x=x + 10, y=y + 18)
            if node.count > 1:
                stacked(svg, node.counts, x=x + 10, y=y + 23, width=width - 20 - (24 if node.opens else 0), height=5)
            svg.text(cut(_second_line(node), int(width / 6)), x=x + 10, y=y + 39, class_="dim")
        if node.opens:
            _opener(svg, node, x + width - 24, y)


def _opener(svg: Svg, node: Node, x: float, y: float) -> None:
    with svg.inside("a", href=node.opens, class_="opens", aria_label=f"open or close {node.label}"):
        svg.leaf("rect", x=x, y=y + 11, width=20, height=24, rx=6)
        svg.text("⊞", x=x + 4, y=y + 28)
