"""A task returned a plan: its nodes become steps of the same run; the step waits for them and takes their result.

A plan of a single call does not nest if the step that returned it is the only one of its own plan. That step has then
succeeded, and the call takes its place: the place is *passed on*. A task may therefore return itself without end. The
scope, which is the first of these steps, waits for the latest call, and ends as that one does.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from datetime import datetime
from typing import NamedTuple

import msgspec

from segue.engine.act import Act
from segue.engine.alarms import alarms_of
from segue.engine.attempts import Growth
from segue.engine.foresight import Foreseen, ask_for_scope, is_one_call
from segue.engine.labels import labels_of_plan, put_labels
from segue.engine.notes import note_finishes
from segue.engine.propagate import Propagation
from segue.engine.rows import EARLY_RULES, PlanRows, RowContext, insert_steps, plan_rows
from segue.engine.unfinished import Item
from segue.errors import PlanError, SerializationError
from segue.model import Attempt, Outcome, Ref, StepStatus, Value, Verdict
from segue.plan import codec
from segue.plan.graph import Plan
from segue.plan.namespaces import namespace_of, plan_in
from segue.store.protocol import Finish, Store, Transaction

LARGE_CHARACTERS = 100_000
_NOTHING = codec.encode_expr(Value(msgspec.Raw(b"null")))


class LargePlan(NamedTuple):
    """A plan with stored names, and its rows as they are if nothing else is added to its run first."""

    plan: Plan
    base: int  # the number of its first step
    rows: PlanRows  # inside the step, outside of any lane


def read_large_plans(store: Store, outcomes: Iterable[Outcome], now: datetime) -> dict[Attempt, LargePlan]:
    """The large plans among the results, decoded before any run is locked: decoding takes much of the time."""
    plans = {}
    for outcome in outcomes:
        text, run_id, step = outcome.result, outcome.run_id, outcome.step
        if outcome.verdict == Verdict.EXPANDED and text is not None and len(text) > LARGE_CHARACTERS:
            with suppress(PlanError, SerializationError):  # raised again where the attempt at fault is known
                plan = codec.decode(text)
                with store.reading() as tx:
                    base, workflow = next(iter(tx.all("size_of_run", run_id=run_id)), (0, ""))
                plan = plan_in(plan, namespace_of(workflow))
                context = RowContext.at(now, store.conversions)
                rows = plan_rows(context, plan, run_id=run_id, base=base, scope=step)
                plans[run_id, step, outcome.attempt] = LargePlan(plan, base, rows)
    return plans


def expand(
    act: Act, propagation: Propagation, growth: Growth, *, plans: Mapping[Attempt, LargePlan],
    foreseen: Foreseen | None = None,
) -> Sequence[Item]:  # fmt: skip
    """Insert the plan that an attempt returned, which may be among `plans`, or read already (`foreseen`).

    The caller holds the run's lock. Returns the steps to finish: the step itself, if the plan has no steps, and joins
    without parents.
    """
    outcome, rule, lane = growth.outcome, growth.rule, growth.lane
    run_id, step = outcome.run_id, outcome.step
    known = plans.get((run_id, step, outcome.attempt))
    plan = known.plan if known is not None else foreseen.plan if foreseen is not None else None
    if plan is None:
        plan = codec.decode(outcome.result or "")
    if not plan.nodes:
        result = codec.evaluate(plan.result, {}) if plan.result is not None else codec.NULL
        end = (growth.status, StepStatus.SUCCEEDED, result, None, outcome.seconds)
        return [Finish(run_id, step, outcome.attempt, *end)]
    scope = _scope_to_pass_on(act.tx, run_id, step, plan, rule, foreseen)
    base, workflow = _take_numbers(act.tx, run_id, len(plan.nodes), foreseen)
    if known is None:
        plan = plan_in(plan, namespace_of(workflow))
    if rule in EARLY_RULES:
        act.tx.later("forget_late_parents", run_id=run_id, step=step)
    if known is not None and known.base == base and scope is None and lane is None:
        rows = known.rows
    else:
        inside = step if scope is None else scope
        context = RowContext.at(act.now, act.tx)
        rows = plan_rows(context, plan, run_id=run_id, base=base, scope=inside, lane_above=lane)
    insert_steps(act.tx, [rows])
    alarms = alarms_of(act, plan, run_id=run_id, base=base)
    if alarms:
        act.tx.each("put_alarms", alarms)
    put_labels(act.tx, labels_of_plan(plan, run_id=run_id, base=base))
    if scope is not None:
        _pass_on(act, outcome, scope, base)
        propagation.note_started(rows.claimable)
        return propagation.pass_open(run_id, rows.open_joins)
    act.tx.later(
        "expand_step", run_id=run_id, step=step, attempt=outcome.attempt, waiting_on=rows.waiting_on,
        result_expr=rows.result_expr or _NOTHING, has_hooks=rows.has_hooks, seconds=outcome.seconds,
    )  # fmt: skip
    propagation.note_started(rows.claimable)
    if not rows.waiting_on:  # it has only hooks
        return propagation.end_scope(run_id, step, outcome.attempt)
    return propagation.pass_open(run_id, rows.open_joins)


def _scope_to_pass_on(
    tx: Transaction, run_id: str, step: int, plan: Plan, rule: str, foreseen: Foreseen | None
) -> int | None:  # fmt: skip
    """The scope in which the only step of the plan may take the place of the one that returned it; else None."""
    if not is_one_call(plan) or rule in EARLY_RULES:
        return None
    asked = foreseen.scope if foreseen is not None else None
    for scope, children in (asked or ask_for_scope(tx, run_id, step)).rows():
        if tx.integers(children) == [scope]:
            return int(scope)
    return None


def _take_numbers(tx: Transaction, run_id: str, count: int, foreseen: Foreseen | None) -> tuple[int, str]:
    """The number of the first of so many new steps, and the workflow of their run."""
    if foreseen is None or foreseen.size is None:
        [(base, workflow)] = tx.all("take_step_numbers", run_id=run_id, count=count)
    else:
        [(base, workflow)] = foreseen.size.rows()
        tx.later("take_step_numbers", run_id=run_id, count=count)
    return base, workflow


def _pass_on(act: Act, outcome: Outcome, scope: int, to: int) -> None:
    """Make the step succeeded, with the future result of its scope, and let the scope wait for step `to`."""
    run_id, step = outcome.run_id, outcome.step
    act.tx.later(
        "pass_on", run_id=run_id, step=step, attempt=outcome.attempt, next=to,
        result_expr=codec.encode_expr(Ref(scope)), seconds=outcome.seconds, now=act.now,
    )  # fmt: skip
    act.tx.later("set_result_expr", run_id=run_id, step=scope, result_expr=codec.encode_expr(Ref(to)))
    finish = Finish(run_id, step, outcome.attempt, StepStatus.RUNNING, StepStatus.SUCCEEDED)
    note_finishes(act, [finish], 1)
