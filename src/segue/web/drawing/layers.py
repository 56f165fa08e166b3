"""Where the nodes of a graph stand: in layers, from left to right, with few crossings (the method of Sugiyama).

1. Edges that close a circle are turned round for the time being; graphs of runs have none, folded ones may.
2. The layer of a node is the length of the longest path to it. Nodes without parents stand beside their children.
3. An edge over several layers gets a point in each of them, which takes part in what follows as if it were a node.
4. Layers are put in the order of the mean places of their neighbours, forwards and backwards, 8 times; the order with
   the fewest crossings is kept.
5. Each layer comes as near to its neighbours as the distances allow: the least sum of squares, which is exact
   (isotonic regression).

Promise: the same graph gives the same picture. Nodes never overlap. Without circles, every edge leads to the right.
"""

from __future__ import annotations

from bisect import bisect_left, insort
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

SWEEPS = 8
GAP_BETWEEN_LAYERS = 52.0
GAP_IN_LAYER = 16.0
MOST_POINTS = 3000
"""Points of long edges; with more of them, long edges go straight, whatever lies in between."""

Point = tuple[float, float]


@dataclass(frozen=True, slots=True)
class Layout:
    """Where everything stands. Places are the left upper corners."""

    places: tuple[Point, ...]
    layers: tuple[int, ...]
    routes: tuple[tuple[Point, ...], ...]  # for each edge, the points that it passes; no point: an edge to itself
    width: float
    height: float


def arrange(sizes: Sequence[tuple[float, float]], edges: Sequence[tuple[int, int]]) -> Layout:
    """Place nodes of these sizes. Edges are pairs of their positions in `sizes`.

    Example::

        layout = arrange([(90, 40), (90, 40)], [(0, 1)])
        layout.places[1]  # to the right of the first
    """
    if not sizes:
        return Layout((), (), tuple(() for _ in edges), 0.0, 0.0)
    forward = _without_circles(len(sizes), edges)
    layer_of = _layers(len(sizes), forward)
    web = _Web(sizes, forward, layer_of)
    rows = _ordered(web)
    centres = _spread(web, rows)
    columns = _columns(web, rows)
    places = tuple((columns[layer_of[node]][0], centres[node] - size[1] / 2) for node, size in enumerate(sizes))
    routes = tuple(_route(web, number, edge, columns, centres) for number, edge in enumerate(edges))
    height = max(centres[node] + size[1] / 2 for node, size in enumerate(web.sizes))
    return Layout(places, tuple(layer_of), routes, columns[-1][1], height)


def _without_circles(count: int, edges: Sequence[tuple[int, int]]) -> list[tuple[int, int]]:
    """The edges, those that lead back to where a search came from turned round."""
    following: list[list[tuple[int, int]]] = [[] for _ in range(count)]
    for number, (source, target) in enumerate(edges):
        if source != target:
            following[source].append((number, target))
    turned: set[int] = set()
    state = [0] * count  # 1: on the way; 2: done
    has_parent = {target for source, target in edges if source != target}
    for start in sorted(range(count), key=lambda node: (node in has_parent, node)):
        if state[start]:
            continue
        state[start] = 1
        way = [(start, iter(following[start]))]
        while way:
            node, rest = way[-1]
            for number, target in rest:
                if state[target] == 1:
                    turned.add(number)
                elif not state[target]:
                    state[target] = 1
                    way.append((target, iter(following[target])))
                    break
            else:
                state[node] = 2
                way.pop()
    return [(edge[1], edge[0]) if number in turned else edge for number, edge in enumerate(edges)]


def _layers(count: int, edges: Sequence[tuple[int, int]]) -> list[int]:
    """The length of the longest path to each node; of a node without parents, one less than its first child."""
    children: list[list[int]] = [[] for _ in range(count)]
    open_parents = [0] * count
    for source, target in edges:
        if source != target:
            children[source].append(target)
            open_parents[target] += 1
    is_source = [not parents for parents in open_parents]
    ready = [node for node in range(count) if is_source[node]]
    layer = [0] * count
    for node in ready:  # grows
        for child in children[node]:
            layer[child] = max(layer[child], layer[node] + 1)
            open_parents[child] -= 1
            if not open_parents[child]:
                ready.append(child)
    for node in range(count):
        if is_source[node] and children[node]:
            layer[node] = min(layer[child] for child in children[node]) - 1
    return layer


class _Web:
    """The nodes, and the points of long edges, with their neighbours in the layers before and after."""

    def __init__(
        self, sizes: Sequence[tuple[float, float]], edges: Sequence[tuple[int, int]], layer: list[int]
    ) -> None:
        self.sizes = list(sizes)
        self.layer = list(layer)
        self.real = len(sizes)
        self.before: list[list[int]] = [[] for _ in sizes]
        self.after: list[list[int]] = [[] for _ in sizes]
        self.points: dict[int, list[int]] = {}  # edge -> its points, from its source as drawn
        spans = sum(max(layer[target] - layer[source] - 1, 0) for source, target in edges)
        self.is_straight = spans > MOST_POINTS
        for number, (source, target) in enumerate(edges):
            if source != target:
                self._join(number, source, target)

    def _join(self, number: int, source: int, target: int) -> None:
        if self.is_straight and self.layer[target] - self.layer[source] > 1:
            return
        previous = source
        for layer in range(self.layer[source] + 1, self.layer[target]):
            point = len(self.sizes)
            self.sizes.append((0.0, 2.0))
            self.layer.append(layer)
            self.before.append([])
            self.after.append([])
            self.points.setdefault(number, []).append(point)
            self._link(previous, point)
            previous = point
        self._link(previous, target)

    def _link(self, source: int, target: int) -> None:
        self.after[source].append(target)
        self.before[target].append(source)


def _ordered(web: _Web) -> list[list[int]]:
    """The layers, each in an order with few crossings."""
    rows: list[list[int]] = [[] for _ in range(max(web.layer) + 1)]
    for node in range(len(web.sizes)):
        rows[web.layer[node]].append(node)
    best, fewest = [list(row) for row in rows], _crossings(web, rows)
    for sweep in range(SWEEPS):
        if not fewest:
            break
        forwards = sweep % 2 == 0
        neighbours = web.before if forwards else web.after
        place = {node: index for row in rows for index, node in enumerate(row)}
        for row in rows[1:] if forwards else rows[-2::-1]:
            wanted = {
                node: sum(place[other] for other in neighbours[node]) / len(neighbours[node])
                if neighbours[node] else float(place[node])
                for node in row
            }  # fmt: skip
            row.sort(key=lambda node: (wanted[node], place[node]))
            place.update((node, index) for index, node in enumerate(row))
        found = _crossings(web, rows)
        if found < fewest:
            best, fewest = [list(row) for row in rows], found
    return best


def _crossings(web: _Web, rows: list[list[int]]) -> int:
    """How often edges between neighbouring layers cross."""
    crossed = 0
    for row, following in pairwise(rows):
        place = {node: index for index, node in enumerate(following)}
        seen: list[int] = []
        for node in row:
            ends = sorted(place[other] for other in web.after[node])
            for end in ends:
                crossed += len(seen) - bisect_left(seen, end + 1)
            for end in ends:
                insort(seen, end)
    return crossed


def _spread(web: _Web, rows: list[list[int]]) -> list[float]:
    """The middle of each node across the layers, near to those of its neighbours. The least upper edge is 0."""
    centres = [0.0] * len(web.sizes)
    for row in rows:
        top = 0.0
        for node in row:
            centres[node] = top + web.sizes[node][1] / 2
            top += web.sizes[node][1] + GAP_IN_LAYER
    for sweep in range(SWEEPS + 1):  # the last one looks at both sides
        sides = (web.before, web.after, None)[2 if sweep == SWEEPS else sweep % 2]
        for row in rows if sweep % 2 == 0 else reversed(rows):
            _settle(web, row, centres, sides)
    top = min(centres[node] - web.sizes[node][1] / 2 for node in range(len(web.sizes)))
    return [centre - top for centre in centres]


def _settle(web: _Web, row: list[int], centres: list[float], sides: list[list[int]] | None) -> None:
    """Move the nodes of a layer as near to the mean of their neighbours as their order and distances allow."""
    shift, wanted, weights = 0.0, [], []
    shifts: list[float] = []
    for index, node in enumerate(row):
        if index:
            both = web.sizes[row[index - 1]][1] + web.sizes[node][1]
            shift += both / 2 + GAP_IN_LAYER
        shifts.append(shift)
        near = sides[node] if sides is not None else web.before[node] + web.after[node]
        aim = sum(centres[other] for other in near) / len(near) if near else centres[node]
        wanted.append(aim - shift)
        weights.append((4.0 if node >= web.real else 1.0) if near else 0.2)  # points straighten edges
    blocks: list[tuple[float, float, int]] = []  # mean, weight, length: neighbours that push each other
    for aim, weight in zip(wanted, weights, strict=True):
        blocks.append((aim, weight, 1))
        while len(blocks) > 1 and blocks[-2][0] > blocks[-1][0]:
            (one, heavy, many), (other, light, few) = blocks[-2:]
            blocks[-2:] = [((one * heavy + other * light) / (heavy + light), heavy + light, many + few)]
    means = (mean for mean, _, length in blocks for _ in range(length))
    for node, mean, moved in zip(row, means, shifts, strict=True):
        centres[node] = mean + moved


def _columns(web: _Web, rows: list[list[int]]) -> list[tuple[float, float]]:
    """Where each layer begins and ends."""
    found, left = [], 0.0
    for row in rows:
        width = max((web.sizes[node][0] for node in row), default=0.0)
        found.append((left, left + width))
        left += width + GAP_BETWEEN_LAYERS
    return found


def _route(
    web: _Web, number: int, edge: tuple[int, int], columns: list[tuple[float, float]], centres: list[float]
) -> tuple[Point, ...]:  # fmt: skip
    """The points of an edge from the right side of its source to the left side of its target."""
    source, target = edge
    if source == target:
        return ()
    between: list[Point] = []
    for point in web.points.get(number, []):
        between += [(end, centres[point]) for end in columns[web.layer[point]]]
    if web.layer[source] > web.layer[target]:
        between.reverse()
    begin = (columns[web.layer[source]][0] + web.sizes[source][0], centres[source])
    return (begin, *between, (columns[web.layer[target]][0], centres[target]))
