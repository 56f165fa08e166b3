"""What a graph consists of, whatever it was made from."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Node:
    """A step, or several that are drawn as one.

    Example::

        Node("3", "price", {"succeeded": 698, "running": 2}, href="/runs/7/steps/3", path=("takings",))
    """

    id: str
    label: str
    counts: Mapping[str, int]  # how many of its steps have which status; a step alone counts one
    href: str | None = None
    note: str = ""  # a few words below the label: "0.8 ms"
    path: tuple[str, ...] = ()  # the boxes that it is in, the outermost first
    is_joint: bool = False  # only joins two groups, and has nothing to say
    is_hook: bool = False
    opens: str | None = None  # the link that opens what its task returned, or the members of a group

    @property
    def count(self) -> int:
        """How many steps it stands for."""
        return sum(self.counts.values())


@dataclass(frozen=True, slots=True)
class Edge:
    """The target waits for the source."""

    source: str
    target: str
    kind: str = (
        "success"  # "success"; "any": it may start although the source failed; "hook"; "passed": takes its place
    )


@dataclass(frozen=True, slots=True)
class Graph:
    """Nodes in a fixed order, and the edges between them. Edges to nodes that are not there are left out."""

    nodes: tuple[Node, ...]
    edges: tuple[Edge, ...]
    labels: Mapping[tuple[str, ...], str] = field(default_factory=dict)
    """What is written on a box; without it, the last part of its path."""
    left_out: int = 0  # nodes that were too many
