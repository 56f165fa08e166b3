"""Where everything in a graph with boxes stands. What is in a box is placed by itself; outside, the box is one node.

Promise: nodes and boxes never overlap, except that a box contains what is in it. Every edge has a route: between its
nodes, or between the boxes that they are in when one of them lies deeper.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from segue.web.drawing.layers import Point, arrange
from segue.web.drawing.shapes import Edge, Graph, Node

PADDING = 12.0
HEADING = 24.0
"""Above what is in a box stands its name."""

Size = tuple[float, float]
Path = tuple[str, ...]
Frame = tuple[float, float, float, float]  # x, y, width, height


@dataclass(frozen=True, slots=True)
class Drawn:
    """An edge on its way: where it begins, where it passes, where it ends."""

    kind: str
    points: tuple[Point, ...]
    edges: tuple[Edge, ...]  # those that it stands for: all between the same two boxes


@dataclass(slots=True)
class Placed:
    """Where everything stands."""

    nodes: dict[str, Frame] = field(default_factory=dict)
    boxes: dict[Path, Frame] = field(default_factory=dict)
    routes: list[Drawn] = field(default_factory=list)
    width: float = 0.0
    height: float = 0.0


def place(graph: Graph, size_of: Callable[[Node], Size], width_of_heading: Callable[[Path], float]) -> Placed:
    """Place a graph whose nodes have these sizes."""
    nodes = {node.id: node for node in graph.nodes}
    inside: dict[Path, dict[str | Path, None]] = {(): {}}
    for node in graph.nodes:
        for depth in range(len(node.path)):
            inside.setdefault(node.path[: depth + 1], {})
            inside[node.path[:depth]][node.path[: depth + 1]] = None
        inside[node.path][node.id] = None
    between: dict[Path, dict[tuple[str | Path, str | Path, str], list[Edge]]] = {path: {} for path in inside}
    for edge in graph.edges:
        if edge.source in nodes and edge.target in nodes and edge.source != edge.target:
            path, source, target = _level(nodes[edge.source], nodes[edge.target])
            between[path].setdefault((source, target, edge.kind), []).append(edge)
    sizes: dict[str | Path, Size] = {node.id: size_of(node) for node in graph.nodes}
    placed = Placed()
    inner: dict[Path, tuple[list[tuple[str | Path, Point]], list[Drawn]]] = {}
    for path in sorted(inside, key=len, reverse=True):
        items = list(inside[path])
        number = {item: index for index, item in enumerate(items)}
        layout = arrange([sizes[item] for item in items], [(number[a], number[b]) for a, b, _ in between[path]])
        drawn = [
            Drawn(kind, route, tuple(edges))
            for ((_, _, kind), edges), route in zip(between[path].items(), layout.routes, strict=True)
        ]
        inner[path] = (list(zip(items, layout.places, strict=True)), drawn)
        if path:
            width = max(layout.width, width_of_heading(path)) + 2 * PADDING
            sizes[path] = (width, layout.height + 2 * PADDING + HEADING)
        else:
            placed.width, placed.height = layout.width, layout.height
    _put((), (0.0, 0.0), sizes, inner, placed)
    return placed


def _level(one: Node, other: Node) -> tuple[Path, str | Path, str | Path]:
    """The innermost box that contains both, and what stands for each of them in it."""
    depth = 0
    while depth < min(len(one.path), len(other.path)) and one.path[depth] == other.path[depth]:
        depth += 1
    ends: list[str | Path] = [
        node.id if len(node.path) == depth else node.path[: depth + 1] for node in (one, other)
    ]  # fmt: skip
    return one.path[:depth], ends[0], ends[1]


def _put(
    path: Path, corner: Point, sizes: dict[str | Path, Size],
    inner: dict[Path, tuple[list[tuple[str | Path, Point]], list[Drawn]]], placed: Placed,
) -> None:  # fmt: skip
    """Move what is in a box to where the box is. Boxes lie as deep in each other as names have parts: few."""
    items, drawn = inner[path]
    for item, (x, y) in items:
        frame = (corner[0] + x, corner[1] + y, *sizes[item])
        if isinstance(item, str):
            placed.nodes[item] = frame
        else:
            placed.boxes[item] = frame
            _put(item, (frame[0] + PADDING, frame[1] + PADDING + HEADING), sizes, inner, placed)
    for each in drawn:
        points = tuple((corner[0] + x, corner[1] + y) for x, y in each.points)
        placed.routes.append(Drawn(each.kind, points, each.edges))
