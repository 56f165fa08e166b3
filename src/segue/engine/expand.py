"""A task returned a plan: its nodes become steps of the same run; the step waits for them and takes their result."""

from __future__ import annotations

from datetime import datetime

import msgspec

from segue.engine.alarms import alarms_of
from segue.engine.labels import labels_of_plan, put_labels
from segue.engine.rows import EARLY_RULES, plan_rows
from segue.engine.settle import Settler
from segue.model import Outcome, Value
from segue.plan import codec
from segue.store.protocol import Finish, Store, Transaction

_NOTHING = codec.encode_expr(Value(msgspec.Raw(b"null")))


def expand(
    store: Store, tx: Transaction, settler: Settler, outcome: Outcome, *, rule: str, lane: str | None, now: datetime
) -> list[Finish]:
    """Insert the plan in `outcome.result`. The caller holds the run's lock and has checked that the attempt is live.

    Returns what is to be finished: the step itself, when the plan has no steps, and joins without parents.
    """
    run_id, step = outcome.run_id, outcome.step
    plan = codec.decode(outcome.result or "")
    if not plan.nodes:
        result = codec.evaluate(plan.result, {}) if plan.result is not None else codec.NULL
        return [Finish(run_id, step, outcome.attempt, "running", "succeeded", result, None, outcome.seconds)]
    base = tx.all("take_step_numbers", run_id=run_id, count=len(plan.nodes))[0][0]
    if rule in EARLY_RULES:
        tx.later("forget_late_parents", run_id=run_id, step=step)
    rows = plan_rows(store, plan, run_id=run_id, base=base, scope=step, now=now, lane_above=lane)
    tx.each("insert_steps", rows.steps)
    alarms = alarms_of(store, plan, run_id=run_id, base=base, now=now)
    if alarms:
        tx.each("put_alarms", alarms)
    put_labels(tx, labels_of_plan(plan, run_id=run_id, base=base))
    tx.all(
        "expand_step", run_id=run_id, step=step, attempt=outcome.attempt, waiting_on=rows.waiting_on,
        result_expr=rows.result_expr or _NOTHING, has_hooks=rows.has_hooks, seconds=outcome.seconds,
    )  # fmt: skip
    settler.note_started(rows.claimable)
    if not rows.waiting_on:  # it has hooks and nothing else
        return settler.end_scope(run_id, step, outcome.attempt)
    return settler.pass_open(run_id, rows.open_joins)
