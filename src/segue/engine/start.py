"""Starting runs: from plans to committed rows, once for each key, in one transaction however many there are."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

import msgspec

from segue.engine.admission import NONE, Admitted, admit
from segue.engine.alarms import alarms_of
from segue.engine.claiming.places import Spot
from segue.engine.claiming.standing import declare_limits
from segue.engine.labels import encode_tags, labels_of_plan, put_labels
from segue.engine.rows import PlanRows, plan_rows
from segue.engine.settle import Settler
from segue.model import RUN
from segue.plan.graph import LimitUse, Plan, RunTerms
from segue.plan.lanes import limit_key
from segue.store.protocol import Row, Store, Transaction

_NO_TERMS = RunTerms()


class NewRun(msgspec.Struct, frozen=True):
    """A run to be: its id is made beforehand, so that a start whose answer was lost can be repeated."""

    id: str
    plan: Plan
    key: str | None = None


def start_runs(
    store: Store, tx: Transaction, runs: Sequence[NewRun], now: datetime, *, is_ours: bool = True,
    missed: set[Spot] | None = None,
) -> list[str]:  # fmt: skip
    """Insert the runs that are not there yet; returns the id of each, that of the older run where its key was taken.

    Everything here may be repeated under the same ids: rows that are there stay as they are, joins are passed once.
    In a transaction of somebody else's no run is admitted, because he may keep it open for long. `missed` is told the
    limits of runs that somebody else admits just now: to be asked again.
    """
    made = {run.id: _rows(store, run.id, run.plan, now) for run in runs}
    tx.each("insert_runs", [_run_row(store, run, made[run.id], now) for run in runs])
    ids = _ids(tx, runs)
    fresh = [run for run, id_ in zip(runs, ids, strict=True) if run.id == id_]
    put_labels(tx, [row for run in fresh for row in labels_of_plan(run.plan, run_id=run.id)])
    _write_steps(store, tx, [(run.id, run.plan, made[run.id]) for run in fresh], now)
    admitted = _admit(store, tx, [run.plan for run in fresh], now) if is_ours else NONE
    if missed is not None:
        missed |= admitted.missed
    return ids


def insert_run(store: Store, tx: Transaction, run: NewRun, now: datetime) -> None:
    """Insert a run that gets its steps later, by `write_steps`; until then it waits for nothing and cannot end."""
    tx.each("insert_runs", [_run_row(store, run, _rows(store, run.id, run.plan, now), now)])
    put_labels(tx, labels_of_plan(run.plan, run_id=run.id))


def write_steps(store: Store, tx: Transaction, run_id: str, plan: Plan, now: datetime) -> bool:
    """Give a run that was inserted without steps those of `plan`; the caller holds its lock. False when it has some."""
    rows = _rows(store, run_id, plan, now)
    filled = tx.all(
        "fill_run", run_id=run_id, waiting_on=rows.waiting_on, steps=len(rows.steps), fail_fast=plan.fail_fast,
        has_hooks=rows.has_hooks, result_expr=rows.result_expr, arguments=(plan.terms or _NO_TERMS).arguments,
    )  # fmt: skip
    if filled:
        limit = _limit_of(plan)
        if limit is not None:
            tx.later("set_run_limit", run_id=run_id, name=limit.limit, key=limit_key(limit))
        put_labels(tx, labels_of_plan(plan, run_id=run_id, base=0))  # those of the run are there, and may have changed
        _write_steps(store, tx, [(run_id, plan, rows)], now)
        _admit(store, tx, [plan], now)
    return bool(filled)


def _write_steps(store: Store, tx: Transaction, runs: Sequence[tuple[str, Plan, PlanRows]], now: datetime) -> None:
    """The steps of runs whose own rows are there, and everything that goes with them."""
    tx.each("insert_steps", [row for _, _, rows in runs for row in rows.steps])
    alarms = [row for run_id, plan, _ in runs for row in alarms_of(store, plan, run_id=run_id, now=now)]
    if alarms:
        tx.each("put_alarms", alarms)
    settler = Settler(store, tx, now)
    for run_id, plan, rows in runs:
        if rows.open_joins and _limit_of(plan) is None:  # otherwise they are passed when it is admitted
            settler.pass_joins(run_id, rows.open_joins)
        if not rows.waiting_on:
            settler.end_empty_run(run_id)
    if any(rows.claimable for _, _, rows in runs):
        tx.later("wake")
    declare_limits(tx, [terms for _, plan, _ in runs for terms in plan.limits], now)


def _rows(store: Store, run_id: str, plan: Plan, now: datetime) -> PlanRows:
    return plan_rows(
        store, plan, run_id=run_id, base=0, scope=RUN, now=now, is_admitted=_limit_of(plan) is None
    )  # fmt: skip


def _limit_of(plan: Plan) -> LimitUse | None:
    return None if plan.terms is None else plan.terms.limit


def _admit(store: Store, tx: Transaction, plans: Sequence[Plan], now: datetime) -> Admitted:
    limits = [limit for plan in plans if (limit := _limit_of(plan)) is not None]
    return admit(store, tx, now, {(limit.limit, limit_key(limit)) for limit in limits})


def _run_row(store: Store, run: NewRun, rows: PlanRows, now: datetime) -> Row:
    plan = run.plan
    terms = plan.terms or _NO_TERMS
    return (
        run.id, plan.name, run.key, rows.waiting_on, len(rows.steps), plan.fail_fast, rows.has_hooks,
        rows.result_expr, store.time(now), terms.arguments, encode_tags(terms.tags), terms.metadata,
        terms.limit and terms.limit.limit, terms.limit and limit_key(terms.limit),
    )  # fmt: skip


def _ids(tx: Transaction, runs: Sequence[NewRun]) -> list[str]:
    """The id that stands in the database for each: another one where an older run has the key."""
    asked = [
        (run, tx.later("run_of_key", workflow=run.plan.name, key=run.key) if run.key is not None else None)
        for run in runs
    ]
    return [run.id if later is None else str(later.rows()[0][0]) for run, later in asked]
