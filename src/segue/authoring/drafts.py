"""Steps that are not nodes yet, and their conversion when all are known: their names, their order, their nodes."""

from __future__ import annotations

import re
from collections.abc import Sequence
from heapq import heapify, heappop, heappush
from typing import NamedTuple

from segue.authoring.options import Placement
from segue.authoring.pushed import is_pushable
from segue.errors import Problem
from segue.model import DEFAULT_PRIORITY, DEFAULT_QUEUE, Expr, Hole, Hook
from segue.plan.check import MAX_NAME_LENGTH
from segue.plan.graph import FairShare, LimitUse, Node, Sla
from segue.plan.pushed import queue_of

_NUMBER = re.compile(r"\[\d+\]$")


class Scope:
    """The workflow that steps belong to while it is traced: the prefix of their names, and their default options."""

    __slots__ = ("depth", "executor", "index", "name", "parent", "priority", "queue", "share")

    def __init__(
        self, name: str, parent: Scope | None, queue: str | None, priority: int | None, executor: str | None = None
    ) -> None:  # fmt: skip
        self.name = name
        self.parent = parent
        inherited = parent.executor if parent is not None and queue is None else None
        self.executor: str | None = executor or inherited
        self.queue: str | None = queue or (parent.queue if parent else None)
        self.priority: int | None = priority if priority is not None else (parent.priority if parent else None)
        self.depth: int = parent.depth + 1 if parent else 0
        self.index: int | None = None  # of several of the same name
        self.share: FairShare | None = parent.share if parent else None


class Outside(NamedTuple):
    """What a step needs that an executor runs, as in its node."""

    executor: str
    queue: str
    spec: str | None = None
    handle: str | None = None


class Draft:
    """A step that is not a node yet."""

    __slots__ = (
        "args",
        "base",
        "holes",
        "hook",
        "outside",
        "parents",
        "placement",
        "result",
        "rule",
        "scope",
        "share",
        "task",
        "uses",
        "when",
    )  # fmt: skip

    def __init__(
        self,
        base: str,
        task: str | None,
        args: str,
        holes: tuple[Hole, ...],
        parents: tuple[int, ...],
        placement: Placement,
        scope: Scope,
        hook: Hook | None,
    ) -> None:
        self.base = base
        self.task = task
        self.args = args
        self.holes = holes
        self.parents = parents
        self.placement = placement
        self.scope = scope
        self.hook = hook
        self.rule = placement.rule
        self.when: Expr | None = None
        self.result: Expr | None = None
        self.outside: Outside | None = None  # None: Segue's workers run it
        self.uses: tuple[LimitUse, ...] = ()
        self.share: FairShare | None = scope.share if task is not None else None


def names_of(drafts: Sequence[Draft]) -> list[str]:
    """The names of the steps: prefixed with their workflows, and numbered if several have the same name."""
    _number_scopes(drafts)
    counts: dict[tuple[int, str], int] = {}
    for draft in drafts:
        key = (id(draft.scope), draft.base)
        counts[key] = counts.get(key, 0) + 1
    prefixes: dict[int, str] = {}
    taken: dict[tuple[int, str], int] = {}
    names = []
    for draft in drafts:
        key = (id(draft.scope), draft.base)
        prefix = prefixes.get(key[0])
        if prefix is None:
            prefix = prefixes[key[0]] = _prefix(draft.scope)
        if counts[key] == 1:
            names.append(f"{prefix}{draft.base}")
        else:
            index = taken.get(key, 0)
            taken[key] = index + 1
            names.append(f"{prefix}{draft.base}[{index}]")
        if len(names[-1]) > MAX_NAME_LENGTH:
            names[-1] = _cut(names[-1], len(names))
    return names


def _number_scopes(drafts: Sequence[Draft]) -> None:
    scopes: dict[int, Scope] = {}
    for draft in drafts:
        scope: Scope | None = draft.scope
        while scope is not None and id(scope) not in scopes:
            scopes[id(scope)] = scope
            scope = scope.parent
    same: dict[tuple[int, str], list[Scope]] = {}
    for scope in scopes.values():
        same.setdefault((id(scope.parent), scope.name), []).append(scope)
    for group in same.values():
        for index, scope in enumerate(group):
            scope.index = index if len(group) > 1 else None


def node_of(draft: Draft, name: str) -> Node:
    """The node of the step in the plan."""
    placement = draft.placement
    scope = draft.scope
    outside = draft.outside
    priority = placement.priority if placement.priority is not None else scope.priority
    executor = placement.executor
    if executor is None and scope.executor is not None and placement.queue is None and is_pushable(draft.task):
        executor = scope.executor
    queue = placement.queue or scope.queue or DEFAULT_QUEUE if executor is None else queue_of(executor)
    return Node(
        name=name,
        task=draft.task,
        args=draft.args,
        holes=draft.holes,
        parents=draft.parents,
        rule=draft.rule,
        when=draft.when,
        result=draft.result,
        hook=draft.hook,
        queue=outside.queue if outside else queue,
        priority=DEFAULT_PRIORITY if priority is None else priority,
        uses=draft.uses,
        share=draft.share,
        cost=placement.cost,
        delay=placement.delay,
        run_at=placement.run_at,
        policy=placement.policy,
        metadata=placement.metadata,
        sla=placement.sla,
        executor=outside.executor if outside else executor,
        spec=outside.spec if outside else placement.spec if executor is not None else None,
        handle=outside.handle if outside else None,
    )


def draft_of(node: Node, scope: Scope, hook: Hook | None) -> Draft:
    """The draft of a node of another plan, whose numbers are those of the trace."""
    sla = node.sla or Sla()
    placement = Placement(
        queue=node.queue, priority=node.priority, delay=node.delay, run_at=node.run_at, rule=node.rule,
        policy=node.policy, metadata=node.metadata, sla_start=sla.start, sla_end=sla.end, cost=node.cost,
    )  # fmt: skip
    base = _NUMBER.sub("", node.name)  # the steps of this plan may have the same names
    draft = Draft(base, node.task, node.args, node.holes, node.parents, placement, scope, hook)
    draft.when, draft.result, draft.uses = node.when, node.result, node.uses
    draft.share = node.share or draft.share
    if node.executor is not None:
        draft.outside = Outside(node.executor, node.queue, node.spec, node.handle)
    return draft


def sorted_numbers(drafts: Sequence[Draft], names: list[str]) -> list[int] | Problem:
    """The numbers of the drafts in topological order, as close to the written order as possible.

    Returns a `Problem` that names the cycle if they wait for each other.
    """
    missing = [len(draft.parents) for draft in drafts]
    children: dict[int, list[int]] = {}
    for number, draft in enumerate(drafts):
        for parent in draft.parents:
            children.setdefault(parent, []).append(number)
    ready = [number for number, count in enumerate(missing) if count == 0]
    heapify(ready)
    order: list[int] = []
    while ready:
        number = heappop(ready)
        order.append(number)
        for child in children.get(number, ()):
            missing[child] -= 1
            if missing[child] == 0:
                heappush(ready, child)
    if len(order) < len(drafts):
        return _cycle(drafts, names, set(order))
    return order


def _cycle(drafts: Sequence[Draft], names: list[str], sorted_already: set[int]) -> Problem:
    number = next(step for step in range(len(drafts)) if step not in sorted_already)
    path: list[int] = []
    while number not in path:  # every step left over has a parent that is left over, so this ends in a cycle
        path.append(number)
        number = next(parent for parent in drafts[number].parents if parent not in sorted_already)
    circle = [names[step] for step in reversed([*path[path.index(number) :], number])]
    return Problem(
        circle[0], f"it waits for itself: {' -> '.join(circle)}", "Remove one of the after(...) on this path"
    )


def _prefix(scope: Scope) -> str:
    parts: list[str] = []
    at: Scope | None = scope
    while at is not None and at.parent is not None:
        parts.append(at.name if at.index is None else f"{at.name}[{at.index}]")
        at = at.parent
    return "".join(f"{part}/" for part in reversed(parts))


def _cut(name: str, number: int) -> str:
    """A name that deeply nested workflows make too long: its beginning and its end, and a unique number."""
    return f"{name[: MAX_NAME_LENGTH // 3]}…{name[-MAX_NAME_LENGTH // 2 :]}~{number}"
