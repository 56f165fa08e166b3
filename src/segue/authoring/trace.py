"""Collects the steps of one plan while a workflow is traced or a chain is laid out, and makes the plan.

Steps are `Draft`s, numbered in the order in which they were added. That is a topological order already, unless `after`
named a later step; then `finish` sorts them, and reports a cycle with the names of its steps.
"""

from __future__ import annotations

from contextvars import ContextVar
from functools import partial
from typing import Any

import msgspec

from segue.authoring.drafts import Draft, Scope, draft_of, names_of, node_of, sorted_numbers
from segue.authoring.handle import Handle, gathered, source_of
from segue.authoring.known import holds_unknown
from segue.authoring.limits import NoArgumentError, collect, finder, key_source, limit_uses, share_of
from segue.authoring.options import Placement
from segue.authoring.pushed import pushed_problems
from segue.authoring.renumbering import renumbered
from segue.authoring.templates import Templates, Where
from segue.authoring.values import Converters, encode, key_text
from segue.errors import DefinitionError, PlanError, Problem, SerializationError
from segue.model import Expr, Hole, Hook, JoinRule, Mapping, Value
from segue.plan.check import MAX_NESTING, Parameters, find_problems
from segue.plan.codec import shift
from segue.plan.graph import LimitTerms, Plan
from segue.plan.writing import key_step

MAX_DEPTH = 100

current_trace: ContextVar[Trace | None] = ContextVar("segue_trace", default=None)

_PLAIN = Placement()


class Trace:
    """One plan in the making."""

    def __init__(
        self, name: str, *, queue: str | None = None, priority: int | None = None, executor: str | None = None
    ) -> None:  # fmt: skip
        self.name = name
        self.drafts: list[Draft] = []
        self.scope = Scope("", None, queue, priority, executor)
        self.hook: Hook | None = None
        self.written: str | None = None  # the task of the latest signature, which adds no step by itself
        self._templates = Templates(self, partial(self._own, expected=""))
        self._known: dict[str, Parameters | None] = {}
        self._unwritable: list[tuple[int, str]] = []
        self._misfits: list[tuple[int, str]] = []
        self._needs_sorting = False
        self._limits: dict[str, LimitTerms] = {}

    def watch_signatures(self) -> int:
        """Forget which signatures were written before; returns the number of steps so far."""
        self.written = None
        return len(self.drafts)

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
        converters: Converters | None = None,
    ) -> int:
        """Add a step and return its number; `given` becomes its first argument, handles in the arguments become holes.

        An argument that would not come back equal, according to `converters`, is noted as a problem of the plan.
        """
        if task not in self._known:
            self._known[task] = parameters
        template = [None, *args] if given is not None else args
        text, found, whys = self._templates.write(template, kwargs, converters)
        misfits: list[str] = []
        if converters is not None and not whys:
            faults = converters.find_changed(text, template, kwargs, unknown=Handle, first=len(template) - len(args))
            misfits = [f"argument {name}{fault.path}: {fault.why}" for name, fault in faults]
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
        number = len(self.drafts)  # a join may have been added before it
        self.drafts.append(draft)
        self._unwritable.extend((number, why) for why in whys)
        self._misfits.extend((number, why) for why in misfits)
        if placement.after:
            self.order((number,), placement.after, None)
        if placement.when is not None:
            self.condition((number,), placement.when)
        return number

    def _limit(
        self, draft: Draft, parameters: Parameters | None, args: tuple[Any, ...], kwargs: dict[str, Any],
        given: Handle | None,
    ) -> None:  # fmt: skip
        """Compute the keys of the step's limits, and of its fair share, from its arguments."""
        placement = draft.placement
        find = finder(parameters, args, kwargs, given)
        limits = [limit for limit in (placement.own_limit, *placement.limits) if limit is not None]
        try:
            source_of = partial(key_source, parameters=parameters, kwargs=kwargs)
            draft.uses = limit_uses(limits, placement.cost, find, self._expr_of, source_of)
            if placement.fair is not None:
                draft.share = share_of(placement.fair, find, self._expr_of, source_of(placement.fair.by))
        except NoArgumentError as missing:
            if parameters is None or missing.args[0] not in parameters.required:
                raise DefinitionError(
                    f"{draft.base}: a limit, or fair_by, is counted by {missing.args[0]!r}, which is not known here: "
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

    def embed(self, plan: Plan) -> Expr:
        """Add the steps of a plan. Returns its result, which is null if it has none.

        Raises DefinitionError for one that says something about a whole run.
        """
        if plan.fail_fast or plan.terms is not None or any(node.hook is not None for node in plan.nodes):
            raise DefinitionError(
                f"{plan.name} has hooks, fail_fast or terms, which are about a whole run; start it as a run"
            )
        moved = shift(plan, len(self.drafts))
        for node in moved.nodes:
            if node.task is not None:
                self._known.setdefault(node.task, None)
            self.drafts.append(draft_of(node, self.scope, self.hook))
        self._limits = collect([*self._limits.values(), *plan.limits])
        return moved.result if moved.result is not None else Value(msgspec.Raw(b"null"))

    def called(self, step: int) -> str:
        """What a step is called, for messages."""
        return self.drafts[step].base

    def join(self, expr: Expr, steps: tuple[int, ...], rule: JoinRule = JoinRule.ALL_SUCCEEDED) -> int:
        """Add a virtual step that waits for `steps` and has `expr` as its result."""
        draft = Draft("join", None, "[[],{}]", (), steps, _PLAIN, self.scope, self.hook)
        draft.result, draft.rule = expr, rule
        self.drafts.append(draft)
        return len(self.drafts) - 1

    def order(self, steps: tuple[int, ...], others: tuple[Any, ...], rule: JoinRule | str | None) -> None:
        """Let `steps` wait for `others`; `rule` applies to all parents of each of them."""
        new_rule = None if rule is None else _known_rule(rule)
        parents: list[int] = []
        for other in others:
            handle = self._own(other, "after(...) takes handles, which a task returns when it is called in a workflow")
            direct = len(steps) < 2 or (new_rule or JoinRule.ALL_SUCCEEDED) is not JoinRule.ALL_SUCCEEDED
            parents.extend(handle._ends if direct or handle._ends != handle._steps else source_of(handle)[1])
        for step in steps:
            draft = self.drafts[step]
            draft.parents = tuple(dict.fromkeys((*draft.parents, *parents)))
            if new_rule is not None:
                draft.rule = new_rule
            self._needs_sorting = self._needs_sorting or any(parent >= step for parent in parents)

    def condition(self, steps: tuple[int, ...], when: Any) -> None:
        """Skip `steps` if `when`, a handle or a literal, turns out to be false."""
        expr, parents = self.lift(when, "when")
        for step in steps:
            draft = self.drafts[step]
            draft.when = expr
            draft.parents = tuple(dict.fromkeys((*draft.parents, *parents)))
            self._needs_sorting = self._needs_sorting or any(parent >= step for parent in parents)

    def lift(self, value: Any, what: str = "value", depth: int = 0) -> tuple[Expr, tuple[int, ...]]:
        """A value that may contain handles, as an expression and the steps that it needs; messages call it `what`."""
        if isinstance(value, Handle):
            return self._own(value, "")._expr, value._steps
        if depth > MAX_NESTING:
            return self._lift_plain(value)
        if holds_unknown(value, Handle):
            if isinstance(value, dict):
                keys = tuple(map(key_text, value))
                parts = [
                    self.lift(item, f"{what}{key_step(key)}", depth + 1)
                    for key, item in zip(keys, value.values(), strict=True)
                ]
                return Mapping(keys, tuple(expr for expr, _ in parts)), _merged(parts)
            parts = [self.lift(item, f"{what}[{index}]", depth + 1) for index, item in enumerate(value)]
            return gathered([expr for expr, _ in parts]), _merged(parts)
        return Value(msgspec.Raw(encode(value, what).encode())), ()

    def _lift_plain(self, value: Any) -> tuple[Expr, tuple[int, ...]]:
        """A value that lies too deep for a search for handles."""
        try:
            return Value(msgspec.Raw(encode(value).encode())), ()
        except SerializationError as error:
            raise DefinitionError(
                f"{self.name}: a value that lies {MAX_NESTING} lists and dicts deep cannot be a future result "
                f"({error}); let a task build it"
            ) from None

    def ends(self, since: int) -> tuple[int, ...]:
        """The steps added from number `since` on for which no other of them waits."""
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
        """The plan. Raises `PlanError` with all its problems."""
        names = names_of(self.drafts)
        order = sorted_numbers(self.drafts, names) if self._needs_sorting else None
        if isinstance(order, Problem):
            raise PlanError(self.name, [order])
        nodes = tuple(map(node_of, self.drafts, names))
        if order is not None:
            nodes, result = renumbered(nodes, result, order)
        plan = Plan(self.name, nodes, result, fail_fast, limits=tuple(self._limits.values()))
        problems = [
            Problem(names[number], what, "Pass a value that JSON can hold, or its location")
            for number, what in self._unwritable
        ]
        problems += [Problem(names[number], what, self._call_of(number)) for number, what in self._misfits]
        at_fault = frozenset(problem.node for problem in problems)
        found = [*find_problems(plan, self._known.get), *pushed_problems(nodes)]
        problems += [problem for problem in found if problem.node not in at_fault]
        if problems:
            raise PlanError(self.name, problems)
        return plan

    def _call_of(self, number: int) -> str:
        task = self.drafts[number].task or ""
        takes = self._known.get(task)
        return f"Call it as {task.rpartition('.')[2]}{'(...)' if takes is None else takes.text}"

    def _open(self, holes: list[Hole], parents: list[int], where: Where, handle: Handle, direct: bool) -> None:
        expr, steps = source_of(self._own(handle, ""), direct=direct)
        holes.append(Hole(where, expr))
        parents.extend(steps)

    def _own(self, value: Any, expected: str) -> Handle:
        if not isinstance(value, Handle):
            raise DefinitionError(f"{expected}; found {value if isinstance(value, str) else type(value).__name__!r}")
        if value._graph is not self:
            raise DefinitionError(
                f"{value!r} belongs to another workflow than {self.name}; pass results as arguments and return values"
            )
        return value


def _merged(parts: list[tuple[Expr, tuple[int, ...]]]) -> tuple[int, ...]:
    return tuple(dict.fromkeys(step for _, steps in parts for step in steps))


def _known_rule(rule: JoinRule | str) -> JoinRule:
    try:
        return JoinRule(rule)
    except ValueError:
        raise DefinitionError(f"rule={rule!r} is not known; choose {', '.join(JoinRule)}") from None
