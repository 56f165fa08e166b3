"""Makes the rows of a run from a plan: numbers, children, counters, and which steps may start immediately."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from functools import lru_cache
from types import MappingProxyType
from typing import Any, NamedTuple, Self

import msgspec

from segue.engine.payload_uses import Use, uses_of, write_uses
from segue.errors import SerializationError
from segue.model import ENGINE_TASKS, Expr, Gate, JoinRule, Policy, StepStatus
from segue.plan import codec
from segue.plan.graph import Node, Plan
from segue.plan.lanes import is_open, lane_of
from segue.store.protocol import Conversions, Row, Transaction

_encoder = msgspec.json.Encoder()
_policy_decoder = msgspec.json.Decoder(Policy)
_DEFAULT_POLICY = Policy()
_NO_USES: list[Use] = []
_NO_TRIES = Policy(retries=0, lost_retries=0)
_BLOCKED, _READY = StepStatus.BLOCKED.value, StepStatus.READY.value  # looking them up is slow
NO_OTHERS: Mapping[int, Sequence[int]] = MappingProxyType({})
EARLY_RULES = (JoinRule.ANY_SUCCEEDED, JoinRule.ANY_FAILED)


class RowContext(NamedTuple):
    """The input for the rows of a plan besides the plan. No transaction is needed to make them."""

    conversions: Conversions
    now: datetime
    moment: Any  # `now` as it is stored

    @classmethod
    def at(cls, now: datetime, conversions: Conversions) -> Self:
        """For rows that are made now."""
        return cls(conversions, now, conversions.time(now))


class PlanRows(msgspec.Struct, frozen=True):
    """The rows to insert for a plan: `steps` in the format of `insert_steps`, or of `insert_executor_steps`."""

    steps: list[Row]
    waiting_on: int  # how many of them the scope waits for before its hooks
    open_joins: list[int]  # joins without parents: passed through immediately
    has_hooks: bool
    result_expr: str | None
    claimable: int  # steps that may be claimed immediately
    has_executor: bool = False  # some steps are run by executors
    payloads: list[Use] = []  # that the arguments refer to


@lru_cache(maxsize=4096)
def decode_policy(text: str | None) -> Policy:
    """A policy from its column. Raises SerializationError for an invalid one."""
    if text is None:
        return _DEFAULT_POLICY
    try:
        return _policy_decoder.decode(text)
    except codec.UNREADABLE as error:
        raise codec.unreadable("how often a step is tried", text, error) from None


def policy_or_none(text: str | None) -> Policy:
    """The same for deciding what follows an attempt: a step whose policy cannot be read is not tried again."""
    try:
        return decode_policy(text)
    except SerializationError:
        return _NO_TRIES


@lru_cache(maxsize=4096)
def _encode_policy(policy: Policy) -> str | None:
    return None if policy == _DEFAULT_POLICY else _encoder.encode(policy).decode()


def plan_rows(
    context: RowContext, plan: Plan, *, run_id: str, base: int, scope: int, lane_above: str | None = None,
    is_admitted: bool = True, awaited_by: Mapping[int, Sequence[int]] = NO_OTHERS,
) -> PlanRows:  # fmt: skip
    """The rows of `plan`, numbered from `base`, inside `scope` (RUN, or the step that returned the plan).

    `lane_above` is the lane of that step. `awaited_by` are steps outside of the plan that wait for some of its nodes.
    Steps that could start in a run that is not admitted have a gate.
    """
    if base:
        plan = codec.shift(plan, base)
    children = _children(plan.nodes, base)
    ends = _ends(plan.nodes, base)
    time, now = context.conversions.time, context.now
    steps: list[Row] = []
    moment, open_joins, claimable = context.moment, [], 0
    waiting, has_hooks, has_executor = 0, False, False
    arrays = _Arrays(context.conversions)
    for number, node in enumerate(plan.nodes):
        below = children[number]
        if number in awaited_by:
            below.extend(awaited_by[number])
            ends[number] = False
        is_hook = node.hook is not None
        has_hooks |= is_hook
        has_executor |= node.executor is not None
        if ends[number]:
            below.append(scope)
            waiting += not is_hook
        waiting_on = len(node.parents) + is_hook
        status, gate, ready_at = _BLOCKED, None, None
        if node.run_at is not None and node.run_at > now:
            ready_at = time(node.run_at)
        lane = lane_of(node, lane_above)
        is_join = is_passed(node) or is_open(lane)
        if not waiting_on:
            if is_join:
                open_joins.append(base + number)
            else:
                status, claimable = _READY, claimable + 1
                due = due_at(now, node.delay, node.run_at)
                gate, ready_at = (Gate.TIMER.value, time(due)) if due > now else (_gate(lane), moment)
                if not is_admitted:
                    gate = Gate.ADMISSION.value
        steps.append(
            (
                run_id, base + number, scope, node.name, node.task, is_join, status, gate, node.queue, node.priority,
                ready_at, node.delay, node.rule.value, waiting_on, arrays.of(below), node.hook and node.hook.value,
                node.policy.may_fail, node.args, codec.encode_holes(node.holes), _expr(node.when),
                _encode_policy(node.policy), _expr(node.result), lane, node.metadata,
            )
        )  # fmt: skip
    if has_executor:
        steps = [(*row, node.executor, node.spec, node.handle) for row, node in zip(steps, plan.nodes, strict=True)]
    framed = [node.args for node in plan.nodes if "\\" in node.args]  # `uses_of` finds out whether they are
    payloads = uses_of(run_id, framed, moment) if framed else _NO_USES
    return PlanRows(steps, waiting, open_joins, has_hooks, _expr(plan.result), claimable, has_executor, payloads)


def insert_steps(tx: Transaction, plans: Iterable[PlanRows]) -> None:
    """Insert the steps of plans, those without executors by a statement that does not know of them.

    Also records which payloads their arguments use.
    """
    local: list[Row] = []
    sent: list[Row] = []
    payloads: list[Use] = []
    for rows in plans:
        (sent if rows.has_executor else local).extend(rows.steps)
        payloads += rows.payloads
    tx.each("insert_steps", local)
    if sent:
        tx.each("insert_executor_steps", sent)
    write_uses(tx, payloads)


def is_passed(node: Node) -> bool:
    """Whether the engine handles the step itself once its parents allow it, instead of a worker."""
    return node.task is None or node.task in ENGINE_TASKS


def _gate(lane: str | None) -> str | None:
    return None if lane is None else Gate.LIMIT.value


def due_at(now: datetime, delay: float | None, not_before: datetime | None) -> datetime:
    """The time from which a step that is ready now may be claimed."""
    try:
        due = now + timedelta(seconds=delay) if delay else now
    except (TypeError, OverflowError):  # a damaged value: it does not wait
        due = now
    return max(due, not_before) if not_before is not None else due


class _Arrays:
    """Array literals; those of a single child are cached, because every member of a large group has the same one."""

    def __init__(self, conversions: Conversions) -> None:
        self._array = conversions.array
        self._single: dict[int, Any] = {}

    def of(self, numbers: list[int]) -> Any:
        if len(numbers) != 1:
            return self._array(numbers)
        number = numbers[0]
        if number not in self._single:
            self._single[number] = self._array(numbers)
        return self._single[number]


def _children(nodes: Sequence[Node], base: int) -> list[list[int]]:
    children: list[list[int]] = [[] for _ in nodes]
    for number, node in enumerate(nodes):
        for parent in node.parents:
            children[parent - base].append(base + number)
    return children


def _ends(nodes: Sequence[Node], base: int) -> list[bool]:
    """Which nodes the scope itself must wait for: those that no other node waits for to the end.

    A child that may start early (any_succeeded, any_failed) may also end before all of its parents have.
    """
    ends = [True] * len(nodes)
    for node in nodes:
        if node.rule not in EARLY_RULES:
            for parent in node.parents:
                ends[parent - base] = False
    return ends


def _expr(expr: Expr | None) -> str | None:
    return None if expr is None else codec.encode_expr(expr)
