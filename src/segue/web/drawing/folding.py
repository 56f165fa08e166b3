"""Fewer nodes, where many say the same: a graph that fits a page, with the counts of all its steps.

1. Members `x[0]`, `x[1]` ... with the same parents and children become one node.
2. So do many members of one name, if no other node lies between them: three tasks for each of 10,000 items are drawn as
   three nodes.
3. If there are still too many nodes, the middles of the longest chains become one node each: "… 312 steps …".
4. If that is not enough, the nodes that come last are left out, and counted.

Promise: every step is counted in exactly one node, or in `left_out`. Rules 1 and 2 close no circle.
"""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Collection, Iterable
from dataclasses import replace

from segue.web.drawing.shapes import Edge, Graph, Node

MOST_NODES = 150
TWINS = 4
"""So many members with the same neighbours are drawn as one node; fewer are easier to read one by one."""
MEMBERS = 9
"""The same for members with different neighbours."""
MOST_OPENED = 60
"""A group that is opened is drawn step by step if it has at most so many."""
_MEMBER = re.compile(r"(.+)\[\d+\]", re.DOTALL)
_INNER = 4  # a chain of at least so many nodes is worth folding


def fold(graph: Graph, *, opened: Collection[str] = (), most: int = MOST_NODES) -> Graph:
    """The graph with at most `most` nodes. `opened` has the ids of folded nodes that are to be drawn step by step."""
    graph = _members(graph, opened)
    if len(graph.nodes) > most:
        graph = _chains(graph, most)
    return _cut(graph, most) if len(graph.nodes) > most else graph


def _members(graph: Graph, opened: Collection[str]) -> Graph:
    parents, children = neighbours(graph)
    classes: dict[tuple[object, ...], list[Node]] = defaultdict(list)
    for node in graph.nodes:
        match = None if node.is_joint else _MEMBER.fullmatch(node.label)
        if match is not None:
            classes[node.path, match[1], node.is_hook].append(node)
    large = {key: of for key, of in classes.items() if len(of) >= MEMBERS and not _is_opened(of, opened)}
    whole = _without_circle(graph, {node.id: of[0].id for of in large.values() for node in of})
    into: dict[str, str] = {}
    for of in classes.values():
        if whole.get(of[0].id) is not None:
            into |= {node.id: of[0].id for node in of}
            continue
        twins: dict[object, list[Node]] = defaultdict(list)
        for node in of:
            twins[parents[node.id], children[node.id]].append(node)
        for same in twins.values():
            if len(same) >= TWINS and not _is_opened(same, opened):
                into |= {node.id: same[0].id for node in same}
    return _merged(graph, into)


def _is_opened(members: list[Node], opened: Collection[str]) -> bool:
    return members[0].id in opened and len(members) <= MOST_OPENED


def neighbours(graph: Graph) -> tuple[dict[str, frozenset[str]], dict[str, frozenset[str]]]:
    """The parents and the children of each node."""
    parents: dict[str, set[str]] = {node.id: set() for node in graph.nodes}
    children: dict[str, set[str]] = {node.id: set() for node in graph.nodes}
    for edge in graph.edges:
        if edge.source in children and edge.target in parents:
            children[edge.source].add(edge.target)
            parents[edge.target].add(edge.source)
    return tuple({one: frozenset(others) for one, others in of.items()} for of in (parents, children))  # type: ignore[return-value]


def _without_circle(graph: Graph, into: dict[str, str]) -> dict[str, str]:
    """The part of what is to be merged that closes no circle."""
    after: dict[str, set[str]] = defaultdict(set)
    before: dict[str, set[str]] = defaultdict(set)
    for edge in graph.edges:
        source, target = into.get(edge.source, edge.source), into.get(edge.target, edge.target)
        after[source].add(target)
        before[target].add(source)
    left = {*after, *before}
    for ways in (before, after), (after, before):  # what is neither before nor after any circle is in none
        away = [node for node in left if not ways[0][node] & left]
        while away:
            node = away.pop()
            left.discard(node)
            away += [other for other in ways[1][node] & left if not ways[0][other] & left]
    return {node: first for node, first in into.items() if first not in left}


def _merged(graph: Graph, into: dict[str, str]) -> Graph:
    """The graph in which each node is a part of the one that `into` names, with the name of the group."""
    if not into:
        return graph
    counts: dict[str, Counter[str]] = defaultdict(Counter)
    for node in graph.nodes:
        counts[into.get(node.id, node.id)].update(node.counts)
    kept = []
    for node in graph.nodes:
        first = into.get(node.id)
        if first is None:
            kept.append(node)
        elif first == node.id:
            match = _MEMBER.fullmatch(node.label)
            label = match[1] if match else node.label
            kept.append(replace(node, label=label, counts=counts[first], note="", opens=None))
    return replace(graph, nodes=tuple(kept), edges=_edges(graph.edges, into))


def _edges(edges: Iterable[Edge], into: dict[str, str]) -> tuple[Edge, ...]:
    moved = (Edge(into.get(each.source, each.source), into.get(each.target, each.target), each.kind) for each in edges)
    return tuple(dict.fromkeys(edge for edge in moved if edge.source != edge.target))


def _chains(graph: Graph, most: int) -> Graph:
    """The middles of the longest chains as one node each, until few enough nodes are left."""
    parents, children = neighbours(graph)
    nodes = {node.id: node for node in graph.nodes}
    links = {one for one in nodes if len(parents[one]) == 1 and len(children[one]) == 1 and not nodes[one].is_hook}
    chains: list[list[str]] = []
    for start in nodes:
        if start not in links or _is_link_after(start, next(iter(parents[start])), links, nodes):
            continue
        chain, following = [start], next(iter(children[start]))
        while _is_link_after(following, chain[-1], links, nodes) and following != start:
            chain.append(following)
            following = next(iter(children[following]))
        if len(chain) >= _INNER:
            chains.append(chain[1:-1])
    chains.sort(key=len, reverse=True)
    into: dict[str, str] = {}
    for chain in chains:
        if len(nodes) - len(into) <= most:
            break
        middle = [nodes[one] for one in chain]
        counts: Counter[str] = Counter()
        for node in middle:
            counts.update(node.counts)
        first = middle[0]
        nodes[first.id] = Node(first.id, f"… {counts.total():,} steps …", counts, path=first.path, href=first.href)
        into |= {node.id: first.id for node in middle[1:]}
    kept = tuple(nodes[node.id] for node in graph.nodes if node.id not in into)
    return replace(graph, nodes=kept, edges=_edges(graph.edges, into))


def _is_link_after(one: str, other: str, links: set[str], nodes: dict[str, Node]) -> bool:
    return one in links and other in links and nodes[one].path == nodes[other].path


def _cut(graph: Graph, most: int) -> Graph:
    """The nodes that come first, by the edges."""
    parents, children = neighbours(graph)
    missing = {one: len(of) for one, of in parents.items()}
    position = {node.id: index for index, node in enumerate(graph.nodes)}
    order = [node.id for node in graph.nodes if not missing[node.id]]
    for one in order:  # grows
        for child in sorted(children[one], key=position.__getitem__):
            missing[child] -= 1
            if not missing[child]:
                order.append(child)
    order += [node.id for node in graph.nodes if missing[node.id] > 0]
    kept = set(order[:most])
    nodes = tuple(node for node in graph.nodes if node.id in kept)
    edges = tuple(edge for edge in graph.edges if edge.source in kept and edge.target in kept)
    return replace(graph, nodes=nodes, edges=edges, left_out=graph.left_out + len(graph.nodes) - len(nodes))
