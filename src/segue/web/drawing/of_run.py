"""From what was read of a run to what is drawn: the nodes of its graph, and the rows of its timeline."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from itertools import chain

from segue.engine.views.graph import MAP, GraphStep, RunGraph
from segue.engine.views.look import AttemptInfo
from segue.times import duration
from segue.web.drawing.graph_svg import status_of
from segue.web.drawing.shapes import Edge, Graph, Node
from segue.web.drawing.timeline import Piece, Row, Span, density

Link = Callable[[GraphStep], str | None]
Path = tuple[str, ...]
SLEEPERS = ("segue.wait_for", "segue.sleep")
"""Tasks of steps that wait for a message or a time, and do nothing."""

MOST_BOXES = 6
"""How deep a name may put its step; the rest of the name is not a box."""


def graph_of(run: RunGraph, *, link: Link, opener: Link = lambda step: None) -> Graph:
    """The graph to draw, not folded yet. `link` leads to a step, `opener` to the page on which it is opened or closed.

    A step that is opened is in a box with what its task returned. A `map` that is opened is drawn as its items alone.
    """
    by_number = {step.first: step for step in run.steps}
    opened = {number for number in run.opened if number in by_number}
    inner: dict[int, list[GraphStep]] = {}
    for step in run.steps:
        inner.setdefault(step.scope, []).append(step)
    maps = {number for number in opened if by_number[number].task == MAP and inner.get(number)}
    paths = _Paths(by_number, opened, maps)
    nodes = tuple(
        Node(
            str(step.first), _label(step), step.counts, href=link(step), note=_note(step), path=paths.of(step),
            is_joint=step.is_joint, is_hook=step.hook is not None, opens=opener(step) if step.returned_steps else None,
        )
        for step in run.steps if step.first not in maps
    )  # fmt: skip
    joints, edges = _edges(run, maps, opened - maps, inner, lambda number: paths.of(by_number[number]))
    return Graph(nodes + joints, edges, paths.labels)


class _Paths:
    """The boxes in which each step is."""

    def __init__(self, steps: Mapping[int, GraphStep], opened: set[int], maps: set[int]) -> None:
        self._steps, self._opened, self._maps = steps, opened, maps
        self.labels: dict[Path, str] = {}

    def of(self, step: GraphStep) -> Path:
        path = self._outside(step)
        if step.first in self._opened and step.first not in self._maps:
            path = (*path, f"#{step.first}")
            self.labels[path] = _label(step)
        return path

    def _outside(self, step: GraphStep) -> Path:
        owner = self._steps.get(step.scope)
        path: Path = ()
        if owner is not None:
            path = self._outside(owner) if owner.first in self._maps else self.of(owner)
        for part in step.name.split("/")[:-1][:MOST_BOXES]:
            path = (*path, part)
            self.labels[path] = part
        return path


def _edges(
    run: RunGraph, maps: set[int], boxes: set[int], inner: Mapping[int, list[GraphStep]], path_of: Callable[[int], Path]
) -> tuple[tuple[Node, ...], tuple[Edge, ...]]:
    """The edges, those of a map given to its items, and one from the step of a box to each step that begins in it.

    Between two maps, a joint takes the edges of all items.
    """
    inside = {step.first for steps in inner.values() for step in steps}
    within = [edge for edge in run.edges if edge.source in inside and edge.target in inside]
    is_entered = {edge.target for edge in within}
    is_left = {edge.source for edge in within}

    def ends(number: int, used: set[int]) -> Iterable[int]:
        if number not in maps:
            return (number,)
        return chain.from_iterable(ends(step.first, used) for step in inner[number] if step.first not in used)

    found: list[Edge] = []
    joints: list[Node] = []
    for edge in within:
        sources = [str(source) for source in ends(edge.source, is_left)]
        targets = [str(target) for target in ends(edge.target, is_entered)]
        if len(sources) > 1 and len(targets) > 1:  # an edge for each pair would be a million of them
            joint = f"{edge.source}-{edge.target}"
            joints.append(Node(joint, "", {"blocked": 1}, path=path_of(edge.source), is_joint=True))
            found += [Edge(source, joint, edge.kind) for source in sources]
            sources = [joint]
        found += [Edge(source, target, edge.kind) for source in sources for target in targets]
    found += [
        Edge(str(number), str(target))
        for number in boxes for step in inner.get(number, ()) if step.first not in is_entered
        for target in ends(step.first, is_entered)
    ]  # fmt: skip
    return tuple(joints), tuple(dict.fromkeys(found))


def _label(step: GraphStep) -> str:
    name = step.name.rpartition("/")[2]
    return name.removesuffix("[*]") if step.count > 1 else name


def _note(step: GraphStep) -> str:
    return duration(step.seconds) if step.seconds is not None and step.count == 1 else ""


def timeline_of(run: RunGraph, attempts: Iterable[AttemptInfo], *, link: Link) -> list[Row]:
    """The rows of the timeline, in the order in which the steps began. Items of a group share a row."""
    earlier: dict[int, list[AttemptInfo]] = {}
    for attempt in attempts:
        earlier.setdefault(attempt.step, []).append(attempt)
    groups: dict[tuple[int, str], list[GraphStep]] = {}
    for step in run.steps:
        if step.started_at is not None and not step.is_joint and not (step.task == MAP and step.first in run.opened):
            base = step.name.rpartition("[")[0] or step.name
            groups.setdefault((step.scope, base), []).append(step)
    rows = []
    for (_, base), steps in groups.items():
        if len(steps) > 8 or steps[0].count > 1:
            rows.append(_group_row(base, steps, link))
        else:
            rows += [_row(step, earlier.get(step.first, []), link) for step in steps]
    return sorted(rows, key=lambda row: row.pieces[0].start)


def spans_of(run: RunGraph) -> tuple[dict[str, Span], dict[str, list[str]]]:
    """The steps that have ended, and the parents of each, for `critical_path`."""
    spans = {
        str(step.first): Span(
            str(step.first),
            step.ready_at,
            step.finished_at if step.task in SLEEPERS else step.started_at,
            step.finished_at,
        )
        for step in run.steps
        if step.started_at is not None and step.finished_at is not None and not step.is_joint
    }
    parents: dict[str, list[str]] = {}
    for edge in graph_of(run, link=lambda step: None).edges:
        parents.setdefault(edge.target, []).append(edge.source)
    return spans, {one: _with_spans(one, parents, spans) for one in spans}


def _with_spans(one: str, parents: Mapping[str, list[str]], spans: Mapping[str, Span]) -> list[str]:
    """The parents of a step; instead of a joint, those of the joint."""
    found: list[str] = []
    seen: set[str] = set()
    left = list(parents.get(one, ()))
    while left:
        above = left.pop()
        if above in seen:
            continue
        seen.add(above)
        if above in spans:
            found.append(above)
        else:
            left += parents.get(above, ())
    return sorted(found)


def _row(step: GraphStep, attempts: list[AttemptInfo], link: Link) -> Row:
    pieces: list[Piece] = []
    status = status_of(step.counts)
    begin = step.started_at
    for attempt in attempts:
        start = attempt.started_at or attempt.finished_at
        if step.finished_at is not None and attempt.finished_at >= step.finished_at:
            continue  # the last one, which is the step itself
        pieces.append(Piece("running", start, attempt.finished_at, attempt.status))
    if begin is not None and (not pieces or pieces[-1].start < begin or step.finished_at is not None):
        before = pieces[-1].end if pieces else step.ready_at
        if before is not None and before < begin:
            pieces.append(Piece("sleeping" if pieces else "waiting", before, begin))
        if not pieces or pieces[-1].start <= begin:
            kind = "sleeping" if step.task in SLEEPERS else "running"
            pieces.append(Piece(kind, begin, step.finished_at, status))
    return Row(str(step.first), step.name, tuple(sorted(pieces, key=lambda piece: piece.start)), status, link(step))


def _group_row(base: str, steps: list[GraphStep], link: Link) -> Row:
    counts: dict[str, int] = {}
    for step in steps:
        for status, count in step.counts.items():
            counts[status] = counts.get(status, 0) + count
    begun = [step.started_at for step in steps if step.started_at is not None]
    ended = [step.finished_at for step in steps if step.finished_at is not None]
    is_over = not any(counts.get(status) for status in ("blocked", "ready", "sent", "running"))
    ran = [(step.started_at, step.finished_at) for step in steps if step.started_at and step.finished_at]
    shares = density(ran) if is_over and all(step.count == 1 for step in steps) else ()
    pieces = [Piece("running", min(begun), max(ended) if is_over and ended else None)]
    ready = min((step.ready_at for step in steps if step.ready_at is not None), default=None)
    if ready is not None and ready < pieces[0].start:
        pieces.insert(0, Piece("waiting", ready, pieces[0].start))
    return Row(
        str(steps[0].first), base, tuple(pieces), status_of(counts), link(steps[0]), sum(counts.values()), shares
    )
