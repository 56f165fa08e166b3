"""Collects the steps of one plan while a workflow is traced or a chain is laid out, and makes the plan of them.

Steps are `Draft`s, numbered in the order in which they were added. That is a topological order already, unless `after`
named a later step; then `finish` sorts, and reports a cycle with the names on it.
"""

from __future__ import annotations

from contextvars import ContextVar
from heapq import heapify, heappop, heappush
from typing import Any

import msgspec

from segue.authoring.handle import Handle, gathered, source_of
from segue.authoring.limits import NoArgumentError, collect, finder, limit_uses, turns_of
from segue.authoring.options import Placement
from segue.authoring.values import encode
from segue.errors import DefinitionError, PlanError, Problem, SerializationError
from segue.model import DEFAULT_PRIORITY, DEFAULT_QUEUE, Expr, Gather, Hole, Hook, JoinRule, Mapping, Ref, Span, Value
from segue.plan.check import Parameters, find_problems
from segue.plan.graph import LimitTerms, LimitUse, Node, Plan, Turns

MAX_DEPTH = 100

Where = tuple[str | int, ...]
current_trace: ContextVar[Trace | None] = ContextVar("segue_trace", default=None)

_PLAIN = Placement()
_NO_NAMES: dict[str, Any] = {}


class Scope:
    """The workflow that steps belong to while it is traced: where their names begin and what they get by default."""

    __slots__ = ("depth", "index", "name", "parent", "priority", "queue", "turns")

    def __init__(self, name: str, parent: Scope | None, queue: str | None, priority: int | None) -> None:
        self.name = name
        self.parent = parent
        self.queue: str | None = queue or (parent.queue if parent else None)
        self.priority: int | None = priority if priority is not None else (parent.priority if parent else None)
        self.depth: int = parent.depth + 1 if parent else 0
        self.index: int | None = None  # of several of the same name
        self.turns: Turns | None = parent.turns if parent else None


class Draft:
    """A step that is not a node yet."""

    __slots__ = (
        "args", "base", "holes", "hook", "parents", "placement", "result", "rule", "scope", "task", "turns", "uses",
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
        self.uses: tuple[LimitUse, ...] = ()
        self.turns: Turns | None = scope.turns if task is not None else None


class Trace:
    """One plan in the making."""

    def __init__(self, name: str, *, queue: str | None = None, priority: int | None = None) -> None:
        self.name = name
        self.drafts: list[Draft] = []
        self.scope = Scope("", None, queue, priority)
        self.hook: Hook | None = None
        self._seen: list[Handle] = []
        self._encoder = msgspec.json.Encoder(enc_hook=self._note_handle)
        self._known: dict[str, Parameters | None] = {}
        self._unwritable: list[tuple[int, str]] = []
        self._whys: list[str] = []  # of the step that is being added
        self._needs_sorting = False
        self._limits: dict[str, LimitTerms] = {}

    def add(
        self,
        *,
        task: str,
        base: str,
        parameters: Parameters | None,
        args: tuple[Any, ...],
        kwargs: dict[str, Any],
        placement: Placement = _PLAIN,
        given: Handle | None = None,
    ) -> int:
        """Add a step and return its number; `given` becomes its first argument, handles in the arguments holes."""
        if task not in self._known:
            self._known[task] = parameters
        template = [None, *args] if given is not None else args
        text, found = self._template(template, kwargs)
        direct = placement.rule is not JoinRule.ALL_SUCCEEDED
        holes: list[Hole] = []
        parents: list[int] = []
        if given is not None:
            self._open(holes, parents, (0, 0), given, direct)
        for where, handle in found:
            self._open(holes, parents, where, handle, direct)
        draft = Draft(base, task, text, tuple(holes), tuple(dict.fromkeys(parents)), placement, self.scope, self.hook)
        if placement.own_limit is not None or placement.limits or placement.fair is not None:
            self._limit(draft, parameters, args, kwargs, given)
        number = len(self.drafts)  # a join may have come before
        self.drafts.append(draft)
        if self._whys:
            self._unwritable.extend((number, why) for why in self._whys)
            self._whys.clear()
        if placement.after:
            self.order((number,), placement.after, None)
        if placement.when is not None:
            self.condition((number,), placement.when)
        return number

    def _limit(
        self, draft: Draft, parameters: Parameters | None, args: tuple[Any, ...], kwargs: dict[str, Any],
        given: Handle | None,
    ) -> None:  # fmt: skip
        """Find the keys of the step's limits, and of its turn, among its arguments."""
        placement = draft.placement
        find = finder(parameters, args, kwargs, given)
        limits = [limit for limit in (placement.own_limit, *placement.limits) if limit is not None]
        try:
            draft.uses = limit_uses(limits, placement.cost, find, self._expr_of)
            if placement.fair is not None:
                draft.turns = turns_of(placement.fair, find, self._expr_of)
        except NoArgumentError as missing:
            if parameters is None or missing.args[0] not in parameters.required:
                raise DefinitionError(
                    f"{draft.base}: a limit, or fair_by, is counted by {missing.args[0]!r}, which cannot be told here: "
                    "with batch= a step has several items, and of a task that is not imported nothing is known"
                ) from None
        self._limits = collect([*self._limits.values(), *(limit.terms for limit in limits)])

    def _expr_of(self, value: Any) -> Expr:
        return self.lift(value)[0]

    def wait(self, number: int, given: Handle) -> None:
        """Let a step wait for a handle without taking its result."""
        draft = self.drafts[number]
        whole = given._ends == given._steps
        steps = source_of(given, direct=draft.rule is not JoinRule.ALL_SUCCEEDED)[1] if whole else given._ends
        draft.parents = tuple(dict.fromkeys((*steps, *draft.parents)))
        self._needs_sorting = self._needs_sorting or any(step > number for step in steps)

    def join(self, expr: Expr, steps: tuple[int, ...]) -> int:
        """Add a virtual step that waits for `steps` and has `expr` as its result."""
        draft = Draft("join", None, "[[],{}]", (), steps, _PLAIN, self.scope, self.hook)
        draft.result = expr
        self.drafts.append(draft)
        return len(self.drafts) - 1

    def order(self, steps: tuple[int, ...], others: tuple[Any, ...], rule: JoinRule | str | None) -> None:
        """Let `steps` wait for `others`; `rule` is about all parents of each of them."""
        new_rule = None if rule is None else _known_rule(rule)
        parents: list[int] = []
        for other in others:
            handle = self._own(other, "after(...) takes handles, what a task returns when it is called in a workflow")
            direct = len(steps) < 2 or (new_rule or JoinRule.ALL_SUCCEEDED) is not JoinRule.ALL_SUCCEEDED
            parents.extend(handle._ends if direct or handle._ends != handle._steps else source_of(handle)[1])
        for step in steps:
            draft = self.drafts[step]
            draft.parents = tuple(dict.fromkeys((*draft.parents, *parents)))
            if new_rule is not None:
                draft.rule = new_rule
            self._needs_sorting = self._needs_sorting or any(parent >= step for parent in parents)

    def condition(self, steps: tuple[int, ...], when: Any) -> None:
        """Let `steps` be skipped when `when`, a handle or a literal, turns out to be false."""
        expr, parents = self.lift(when)
        for step in steps:
            draft = self.drafts[step]
            draft.when = expr
            draft.parents = tuple(dict.fromkeys((*draft.parents, *parents)))
            self._needs_sorting = self._needs_sorting or any(parent >= step for parent in parents)

    def lift(self, value: Any) -> tuple[Expr, tuple[int, ...]]:
        """A value that may hold handles, as an expression and the steps that it needs."""
        if isinstance(value, Handle):
            return self._own(value, "")._expr, value._steps
        if isinstance(value, (list, tuple)):
            parts = [self.lift(item) for item in value]
            if any(not isinstance(expr, Value) for expr, _ in parts):
                return gathered([expr for expr, _ in parts]), _merged(parts)
        elif isinstance(value, dict):
            parts = [self.lift(item) for item in value.values()]
            if any(not isinstance(expr, Value) for expr, _ in parts):
                keys = tuple(_text_key(key) for key in value)
                return Mapping(keys, tuple(expr for expr, _ in parts)), _merged(parts)
        return Value(msgspec.Raw(encode(value).encode())), ()

    def ends(self, since: int) -> tuple[int, ...]:
        """The steps added from number `since` on that no other of them waits for."""
        waited = {parent for draft in self.drafts[since:] for parent in draft.parents}
        return tuple(number for number in range(since, len(self.drafts)) if number not in waited)

    def begins(self, since: int) -> tuple[int, ...]:
        """The steps added from number `since` on that wait for none of them."""
        return tuple(
            number
            for number in range(since, len(self.drafts))
            if all(parent < since for parent in self.drafts[number].parents)
        )

    def finish(self, result: Expr | None, *, fail_fast: bool = False) -> Plan:
        """The plan; raises `PlanError` with everything that is wrong with it."""
        names = self._names()
        order = self._sorted(names) if self._needs_sorting else None
        nodes = tuple(map(self._node, self.drafts, names))
        if order is not None:
            nodes, result = _renumbered(nodes, result, order)
        plan = Plan(self.name, nodes, result, fail_fast, limits=tuple(self._limits.values()))
        problems = [
            Problem(names[number], what, "Pass a value that JSON can hold, or where to find it")
            for number, what in self._unwritable
        ]
        unwritable = frozenset(names[number] for number, _ in self._unwritable)
        problems += [problem for problem in find_problems(plan, self._known.get) if problem.node not in unwritable]
        if problems:
            raise PlanError(self.name, problems)
        return plan

    def _template(self, args: Any, kwargs: dict[str, Any]) -> tuple[str, list[tuple[Where, Handle]]]:
        try:
            text = self._encoder.encode((args, kwargs)).decode()
        except DefinitionError:
            raise
        except (TypeError, ValueError, OverflowError, RecursionError):
            self._seen.clear()
            return self._placeholder(args, kwargs), []
        if not self._seen:
            return text, []
        count = len(self._seen)
        self._seen.clear()
        found: list[tuple[Where, Handle]] = []
        reached, template = self._without_handles((list(args), kwargs), (), found)
        if reached != count:
            why = "a future result lies inside an object that is not a list, tuple or dict"
            self._whys.append(why)
            return encode(([None] * len(args), dict.fromkeys(kwargs))), []
        return self._encoder.encode(template).decode(), found

    def _placeholder(self, args: Any, kwargs: dict[str, Any]) -> str:
        """Arguments of the right shape for the other checks, once it is noted which ones cannot be written."""
        named = [(f"argument {index}", value) for index, value in enumerate(args)]
        for label, value in (*named, *((f"argument {key!r}", value) for key, value in kwargs.items())):
            try:
                self._encoder.encode(value)
            except (TypeError, ValueError, OverflowError, RecursionError):
                self._whys.append(f"{label}: {_why_unwritable(value)}")
        self._seen.clear()
        return encode(([None] * len(args), dict.fromkeys(kwargs)))

    def _note_handle(self, value: Any) -> Any:
        if isinstance(value, Handle):
            self._seen.append(self._own(value, ""))
            return None
        return msgspec.Raw(encode(value).encode())

    def _without_handles(self, value: Any, where: Where, found: list[tuple[Where, Handle]]) -> tuple[int, Any]:
        """How many handles were reached in `value`, and a copy with null in their places."""
        if isinstance(value, Handle):
            found.append((where, value))
            return 1, None
        if isinstance(value, (list, tuple)):
            if where and len(value) > 1 and len(where) > 1 and all(isinstance(item, Handle) for item in value):
                exprs, steps = zip(*((item._expr, item._steps) for item in value), strict=True)
                merged = tuple(dict.fromkeys(step for part in steps for step in part))
                found.append((where, Handle(self, gathered(list(exprs)), merged)))
                return len(value), None
            pairs: list[tuple[Any, Any]] = list(enumerate(value))
        elif isinstance(value, dict):
            pairs = [(str(key), item) for key, item in value.items()]
        else:
            return 0, value
        reached = 0
        copies = []
        for key, item in pairs:
            count, copy = self._without_handles(item, (*where, key), found)
            reached += count
            copies.append(copy)
        if isinstance(value, dict):
            return reached, dict(zip((key for key, _ in pairs), copies, strict=True))
        return reached, copies

    def _open(self, holes: list[Hole], parents: list[int], where: Where, handle: Handle, direct: bool) -> None:
        expr, steps = source_of(self._own(handle, ""), direct=direct)
        holes.append(Hole(where, expr))
        parents.extend(steps)

    def _own(self, value: Any, expected: str) -> Handle:
        if not isinstance(value, Handle):
            raise DefinitionError(f"{expected}; found {value!r}")
        if value._graph is not self:
            raise DefinitionError(
                f"{value!r} belongs to another workflow than {self.name}; hand results on with arguments and returns"
            )
        return value

    def _names(self) -> list[str]:
        self._number_scopes()
        counts: dict[tuple[int, str], int] = {}
        for draft in self.drafts:
            key = (id(draft.scope), draft.base)
            counts[key] = counts.get(key, 0) + 1
        prefixes: dict[int, str] = {}
        taken: dict[tuple[int, str], int] = {}
        names = []
        for draft in self.drafts:
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
        return names

    def _number_scopes(self) -> None:
        scopes: dict[int, Scope] = {}
        for draft in self.drafts:
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

    def _node(self, draft: Draft, name: str) -> Node:
        placement = draft.placement
        scope = draft.scope
        priority = placement.priority if placement.priority is not None else scope.priority
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
            queue=placement.queue or scope.queue or DEFAULT_QUEUE,
            priority=DEFAULT_PRIORITY if priority is None else priority,
            uses=draft.uses,
            turns=draft.turns,
            cost=placement.cost,
            delay=placement.delay,
            run_at=placement.run_at,
            policy=placement.policy,
            metadata=placement.metadata,
            sla=placement.sla,
        )

    def _sorted(self, names: list[str]) -> list[int]:
        """The numbers of the drafts in topological order, as near to the written order as it goes."""
        missing = [len(draft.parents) for draft in self.drafts]
        children: dict[int, list[int]] = {}
        for number, draft in enumerate(self.drafts):
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
        if len(order) < len(self.drafts):
            raise PlanError(self.name, [_cycle(self.drafts, names, set(order))])
        return order


def _renumbered(nodes: tuple[Node, ...], result: Expr | None, order: list[int]) -> tuple[tuple[Node, ...], Expr | None]:
    new = [0] * len(order)
    for position, number in enumerate(order):
        new[number] = position
    replace = msgspec.structs.replace
    moved = tuple(
        replace(
            node,
            parents=tuple(new[parent] for parent in node.parents),
            holes=tuple(Hole(hole.where, _moved(hole.what, new)) for hole in node.holes),
            uses=tuple(use if use.key is None else replace(use, key=_moved(use.key, new)) for use in node.uses),
            turns=None if node.turns is None else replace(node.turns, key=_moved(node.turns.key, new)),
            when=None if node.when is None else _moved(node.when, new),
            result=None if node.result is None else _moved(node.result, new),
        )
        for node in (nodes[number] for number in order)
    )
    return moved, None if result is None else _moved(result, new)


def _moved(expr: Expr, new: list[int]) -> Expr:
    match expr:
        case Ref():
            return Ref(new[expr.step], expr.path) if expr.step >= 0 else expr
        case Span():
            return gathered([Ref(new[step]) for step in range(expr.first, expr.last + 1)])
        case Gather():
            return Gather(tuple(_moved(item, new) for item in expr.items))
        case Mapping():
            return Mapping(expr.keys, tuple(_moved(item, new) for item in expr.items))
        case _:
            return expr


def _cycle(drafts: list[Draft], names: list[str], sorted_already: set[int]) -> Problem:
    number = next(step for step in range(len(drafts)) if step not in sorted_already)
    path: list[int] = []
    while number not in path:  # every step left over has a parent that is left over, so this must come round
        path.append(number)
        number = next(parent for parent in drafts[number].parents if parent not in sorted_already)
    circle = [names[step] for step in reversed([*path[path.index(number) :], number])]
    return Problem(
        circle[0], f"it waits for itself: {' -> '.join(circle)}", "Take out one of the after(...) on this way"
    )


def _merged(parts: list[tuple[Expr, tuple[int, ...]]]) -> tuple[int, ...]:
    return tuple(dict.fromkeys(step for _, steps in parts for step in steps))


def _prefix(scope: Scope) -> str:
    parts: list[str] = []
    at: Scope | None = scope
    while at is not None and at.parent is not None:
        parts.append(at.name if at.index is None else f"{at.name}[{at.index}]")
        at = at.parent
    return "".join(f"{part}/" for part in reversed(parts))


def _known_rule(rule: JoinRule | str) -> JoinRule:
    try:
        return JoinRule(rule)
    except ValueError:
        raise DefinitionError(f"rule={rule!r} is not known; choose {', '.join(JoinRule)}") from None


def _text_key(key: object) -> str:
    if not isinstance(key, str):
        raise DefinitionError(
            f"a workflow returned a dict with the key {key!r}; use text as keys beside future results"
        )
    return key


def _why_unwritable(value: object) -> str:
    try:
        encode(value)
    except SerializationError as exc:
        return str(exc)
    return f"a {type(value).__name__} holds something that cannot be written as JSON"
