"""The steps of a run as a graph. Reads only.

Promise: what is read into memory is bounded, whatever a run consists of. Up to MOST_STEPS steps are read one by one.
If there are more on a level, the database counts them by name, in one pass over the rows of the run, and edges are
those of the first and the last step of each name. What the task of a step returned is read only if that step is opened;
the items of a `map` always are, and so is everything in a small run.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Collection, Iterable, Sequence
from datetime import datetime
from typing import Any, NamedTuple

import msgspec

from segue.engine.stored import length_of, moment_of, number_of
from segue.engine.views.look import run_info
from segue.jsonable import Jsonable
from segue.model import RUN, JoinRule
from segue.plan.codec import UNREADABLE
from segue.store.protocol import Row, Transaction

MOST_STEPS = 1000
MOST_GROUPS = 300
MOST_EDGES = 5000
MOST_LEVELS = 8
SMALL = 150
"""A run with at most so many steps is read with all that its tasks returned."""
MAP = "segue.map"


class GraphStep(Jsonable, msgspec.Struct, frozen=True):
    """A step of a run, or all of one name. Times are aware UTC."""

    first: int  # its number; of several, the least
    last: int
    scope: int  # the step whose task returned the plan that it is of; -1: the run's own
    name: str  # of several: "price[*]"
    task: str | None
    counts: dict[str, int]
    rule: str
    hook: str | None
    is_joint: bool  # only joins two groups; no worker executes it
    returned_steps: bool  # its task returned a plan, so it can be opened
    ready_at: datetime | None
    started_at: datetime | None
    finished_at: datetime | None
    seconds: float | None  # of several, the longest

    @property
    def count(self) -> int:
        """How many steps it stands for."""
        return sum(self.counts.values())


class GraphEdge(Jsonable, msgspec.Struct, frozen=True):
    """The target waits for the source; both by the number of their first step."""

    source: int
    target: int
    kind: str = "success"  # "success"; "any": whether the source succeeds or not; "hook"; "passed": takes its place


class RunGraph(Jsonable, msgspec.Struct, frozen=True):
    """What a run looks like: its steps in order, and what waits for what."""

    steps: tuple[GraphStep, ...]
    edges: tuple[GraphEdge, ...]
    opened: tuple[int, ...]  # the steps whose returned plans are there as well
    is_grouped: bool = False  # there are too many steps to look at the edges of all
    is_cut: bool = False  # there are more groups than are here


def graph_of_run(
    tx: Transaction, run_id: str, *, opened: Collection[int] = (), steps: int | None = None
) -> RunGraph:  # fmt: skip
    """The graph of a run, with what the tasks of the steps in `opened` returned.

    Raises RunNotFoundError, unless the number of its `steps` is known.
    """
    count = run_info(tx, run_id).steps if steps is None else steps
    reading = _Reading(tx, run_id, opened, everything=count <= SMALL)
    scopes = [RUN]
    while scopes and len(reading.levels) < MOST_LEVELS and reading.count < MOST_STEPS:
        reading.levels.append(reading.level(scopes))
        scopes = [step.first for step in reading.levels[-1] if reading.is_to_be_opened(step)]
        reading.opened += scopes
    found = tuple(step for level in reading.levels for step in level)
    kinds = {step.first: _kind(step) for step in found}
    edges = [GraphEdge(one, other, kinds[other]) for one, other in reading.edges if other in kinds]
    edges += [GraphEdge(one, other, "passed") for one, other in reading.passed if other in kinds]
    edges += _to_hooks(found, reading.exits)
    return RunGraph(
        found, tuple(dict.fromkeys(edges)), tuple(reading.opened), reading.is_grouped, reading.is_cut
    )  # fmt: skip


class _Counted(NamedTuple):
    """Steps of one name in one status."""

    scope: Any
    name: str
    is_joint: int
    status: str
    many: int
    first: int
    last: int
    task: str | None
    rule: str
    hook: str | None
    returned_steps: int
    ready: Any
    begun: Any
    ended: Any
    seconds: Any


class _Reading:
    """A graph that is being read, level by level."""

    def __init__(self, tx: Transaction, run_id: str, wanted: Collection[int], *, everything: bool) -> None:
        self._tx, self._run_id, self._wanted, self._everything = tx, run_id, frozenset(wanted), everything
        self.levels: list[list[GraphStep]] = []
        self.opened: list[int] = []
        self.edges: list[tuple[int, int]] = []
        self.passed: list[tuple[int, int]] = []
        self.exits: list[tuple[int, int]] = []  # scope, step
        self.is_grouped = self.is_cut = False

    @property
    def count(self) -> int:
        return sum(map(len, self.levels))

    def is_to_be_opened(self, step: GraphStep) -> bool:
        if not step.returned_steps:
            return False
        return self._everything or step.task == MAP or step.first in self._wanted

    def level(self, scopes: Sequence[int]) -> list[GraphStep]:
        most = MOST_STEPS - self.count
        rows = self._tx.all("steps_of_graph", run_id=self._run_id, scopes=list(scopes), limit=most + 1)
        if len(rows) > most:
            return self._groups(scopes)
        return [self._step(row) for row in rows]

    def _step(self, row: Row) -> GraphStep:
        step, scope, name, task, is_join, status, rule, hook, children, passed_on_to, ready, begun, ended, seconds = row
        step, scope = number_of(step), number_of(scope)
        for child in self._children(children):
            if child == scope:
                self.exits.append((scope, step))
            else:
                self.edges.append((step, child))
        if passed_on_to is not None:
            self.passed.append((step, number_of(passed_on_to)))
        return GraphStep(
            step, step, scope, name, task, {status: 1}, rule, hook, bool(is_join) and task is None,
            bool(is_join) and task is not None and passed_on_to is None, *self._times(ready, begun, ended),
            length_of(seconds),
        )  # fmt: skip

    def _groups(self, scopes: Sequence[int]) -> list[GraphStep]:
        self.is_grouped = True
        rows = self._tx.all("groups_of_graph", run_id=self._run_id, scopes=list(scopes), limit=8 * MOST_GROUPS)
        found: dict[tuple[int, str, int], list[_Counted]] = {}
        for row in map(_Counted._make, rows):
            found.setdefault((number_of(row.scope), row.name, row.is_joint), []).append(row)
        self.is_cut = self.is_cut or len(rows) == 8 * MOST_GROUPS or len(found) > MOST_GROUPS
        groups = {key: self._group(key, found[key]) for key in list(found)[:MOST_GROUPS]}
        self._edges_between(groups)
        return list(groups.values())

    def _group(self, key: tuple[int, str, int], rows: list[_Counted]) -> GraphStep:
        scope, name, is_joint = key
        counts: dict[str, int] = {}
        for row in rows:
            counts[row.status] = counts.get(row.status, 0) + row.many
        times = [self._times(row.ready, row.begun, row.ended) for row in rows]
        ready, begun, ended = ([time for time in column if time is not None] for column in zip(*times, strict=True))
        longest = [taken for row in rows if (taken := length_of(row.seconds)) is not None]
        one = rows[0]
        return GraphStep(
            min(row.first for row in rows), max(row.last for row in rows), scope,
            f"{name}*]" if name.endswith("[") else name, one.task, counts, one.rule, one.hook, bool(is_joint),
            sum(counts.values()) == 1 and bool(one.returned_steps), min(ready, default=None), min(begun, default=None),
            max(ended, default=None), max(longest, default=None),
        )  # fmt: skip

    def _edges_between(self, groups: dict[tuple[int, str, int], GraphStep]) -> None:
        """Add the edges of the first and the last member of each group.

        A child is of the group whose range of numbers it is in, if that has no numbers of others; only of the rest are
        the names read. So a step with 100,000 children is no 100,000 looks.
        """
        ends = {number: group for group in groups.values() for number in (group.first, group.last)}
        whole = sorted(
            (group for group in groups.values() if group.count == group.last - group.first + 1),
            key=lambda group: group.first,
        )
        starts = [group.first for group in whole]
        unclear: list[tuple[GraphStep, int]] = []
        for step, text in self._tx.all("children_of_steps", run_id=self._run_id, steps=list(ends)):
            source = ends[number_of(step)]
            children = sorted(self._children(text))
            if source.scope in children:
                self.exits.append((source.scope, source.first))
            at = bisect_left(children, 0)
            while at < len(children):
                child = children[at]
                place = bisect_right(starts, child) - 1
                if place >= 0 and child <= whole[place].last:
                    self._edge_between(source, whole[place])
                    at = bisect_right(children, whole[place].last, at)
                else:
                    unclear.append((source, child))
                    at += 1
        self._unclear_edges(groups, unclear[:MOST_EDGES])

    def _unclear_edges(self, groups: dict[tuple[int, str, int], GraphStep], found: list[tuple[GraphStep, int]]) -> None:
        steps = sorted({child for _, child in found})
        rows = self._tx.all("groups_of_steps", run_id=self._run_id, steps=steps) if steps else ()
        group_of = {step: groups.get((number_of(scope), name, is_joint)) for step, scope, name, is_joint in rows}
        for source, child in found:
            self._edge_between(source, group_of.get(child))

    def _edge_between(self, source: GraphStep, target: GraphStep | None) -> None:
        if target is not None and target.scope == source.scope:
            self.edges.append((source.first, target.first))

    def _times(self, *moments: Any) -> tuple[datetime | None, datetime | None, datetime | None]:
        ready, begun, ended = (moment_of(self._tx, moment) for moment in moments)
        return ready, begun, ended

    def _children(self, children: Any) -> list[int]:
        try:
            return [child if child >= RUN else -2 - child for child in self._tx.integers(children)]
        except UNREADABLE:
            return []


def _kind(step: GraphStep) -> str:
    return "success" if step.rule in (JoinRule.ALL_SUCCEEDED, JoinRule.NONE_FAILED) else "any"


def _to_hooks(steps: Iterable[GraphStep], exits: list[tuple[int, int]]) -> list[GraphEdge]:
    """Hooks wait for the end of everything in their scope: they are drawn behind what ends last."""
    hooks = [step for step in steps if step.hook is not None]
    are_hooks = {step.first for step in hooks}
    return [
        GraphEdge(step, hook.first, "hook")
        for hook in hooks for scope, step in dict.fromkeys(exits) if scope == hook.scope and step not in are_hooks
    ]  # fmt: skip
