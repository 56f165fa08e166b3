"""Starts runs: turns plans into committed rows, once for each key, any number of runs in one transaction."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from segue.engine.act import Act
from segue.engine.alarms import alarms_of
from segue.engine.keys import mend_key, release_key, run_of_key, take_keys
from segue.engine.labels import encode_tags, labels_of_plan, put_labels
from segue.engine.limiting.admission import NONE, Admitted, admit_or_raise
from segue.engine.limiting.limit_rows import declare_limits
from segue.engine.limiting.places import LimitKey
from segue.engine.propagate import Propagation
from segue.engine.rows import PlanRows, RowContext, insert_steps, plan_rows
from segue.errors import StoreConflictError
from segue.model import RUN
from segue.observing.metrics import registry
from segue.observing.tracing.switch import tracing
from segue.plan.graph import LimitUse, Plan, RunTerms
from segue.plan.lanes import limit_key
from segue.plan.namespaces import bare
from segue.store.protocol import Row, Transaction

_NO_TERMS = RunTerms()
_TRIES = 5


class NewRun(msgspec.Struct, frozen=True):
    """A run to start. Its id is made beforehand, so that a start whose answer was lost can be repeated."""

    id: str
    plan: Plan
    key: str | None = None
    reuses_key: bool = False  # takes the key from a run that has ended
    started_by: str | None = None  # who started it


def start_runs(
    act: Act, runs: Sequence[NewRun], *, is_ours: bool = True,
    missed: set[LimitKey] | None = None, made: Mapping[str, PlanRows] | None = None,
) -> list[str]:  # fmt: skip
    """Insert the runs that do not exist yet. Returns the id of each; if its key was taken, that of the older run.

    Everything here may be repeated under the same ids: existing rows stay as they are, joins are passed once. In a
    borrowed transaction no run is admitted: its owner may keep it open for a long time. `missed` collects the limits of
    runs that another transaction is admitting: they must be tried again. `made` are rows of these runs that were made
    beforehand.
    """
    made = made or rows_of(RowContext.at(act.now, act.tx), runs)
    created_at = act.tx.time(act.now)
    ids = _insert(act.tx, runs, [_run_row(created_at, run, made[run.id]) for run in runs])
    fresh = [run for run, id_ in zip(runs, ids, strict=True) if run.id == id_]
    put_labels(act.tx, [row for run in fresh for row in labels_of_plan(run.plan, run_id=run.id)])
    for run in fresh:
        _say_started(act, run)
        if run.plan.terms is not None and run.plan.terms.run_at is not None:
            act.tx.later("set_run_at", run_id=run.id, run_at=run.plan.terms.run_at)
    _write_steps(act, [(run.id, run.plan, made[run.id]) for run in fresh])
    admitted = _admit(act, [run.plan for run in fresh]) if is_ours else NONE
    if missed is not None:
        missed |= admitted.missed
    return ids


def rows_of(context: RowContext, runs: Sequence[NewRun]) -> dict[str, PlanRows]:
    """The rows of runs by their ids. For a large run, making them takes as long as writing: so this is done before."""
    return {run.id: _rows(context, run.id, run.plan) for run in runs}


def insert_run(act: Act, run: NewRun) -> str:
    """Insert a run that gets its steps later, by `write_steps`; until then it waits for nothing and cannot end.

    Returns its id; if its key was taken, that of the older run.
    """
    context = RowContext.at(act.now, act.tx)
    [id_] = _insert(act.tx, [run], [_run_row(context.moment, run, _rows(context, run.id, run.plan))])
    if id_ == run.id:
        _say_started(act, run)
        put_labels(act.tx, labels_of_plan(run.plan, run_id=run.id))
    return id_


def _say_started(act: Act, run: NewRun) -> None:
    """Count it, and remember the span that is current, if this process has metrics and traces."""
    act.count(registry.RUNS_STARTED, bare(run.plan.name))
    trace = None if tracing.spans is None else tracing.spans.started(run.id, bare(run.plan.name))
    if trace is not None:
        act.tx.later("set_trace", run_id=run.id, trace=trace)


def write_steps(act: Act, run_id: str, plan: Plan) -> bool:
    """Give a run that was inserted without steps those of `plan`; the caller holds its lock. False if it has some."""
    rows = _rows(RowContext.at(act.now, act.tx), run_id, plan)
    filled = act.tx.all(
        "fill_run", run_id=run_id, waiting_on=rows.waiting_on, steps=len(rows.steps), fail_fast=plan.fail_fast,
        has_hooks=rows.has_hooks, result_expr=rows.result_expr, arguments=(plan.terms or _NO_TERMS).arguments,
    )  # fmt: skip
    if filled:
        limit = _limit_of(plan)
        if limit is not None:
            act.tx.later("set_run_limit", run_id=run_id, name=limit.limit, key=limit_key(limit))
        # The labels of the run exist already, and may have changed.
        put_labels(act.tx, labels_of_plan(plan, run_id=run_id, base=0))
        _write_steps(act, [(run_id, plan, rows)])
        _admit(act, [plan])
    return bool(filled)


def _write_steps(act: Act, runs: Sequence[tuple[str, Plan, PlanRows]]) -> None:
    """Insert the steps of runs whose own rows exist, with everything that belongs to them."""
    insert_steps(act.tx, [rows for _, _, rows in runs])
    alarms = [row for run_id, plan, _ in runs for row in alarms_of(act, plan, run_id=run_id)]
    if alarms:
        act.tx.each("put_alarms", alarms)
    propagation = Propagation(act)
    for run_id, plan, rows in runs:
        if rows.open_joins and _limit_of(plan) is None:  # otherwise they are passed when it is admitted
            propagation.pass_joins(run_id, rows.open_joins)
        if not rows.waiting_on:
            propagation.end_empty_run(run_id)
    if any(rows.claimable for _, _, rows in runs):
        act.tx.later("wake")
    declare_limits(act.tx, [terms for _, plan, _ in runs for terms in plan.limits], act.now)


def _rows(context: RowContext, run_id: str, plan: Plan) -> PlanRows:
    return plan_rows(context, plan, run_id=run_id, base=0, scope=RUN, is_admitted=_limit_of(plan) is None)


def _limit_of(plan: Plan) -> LimitUse | None:
    return None if plan.terms is None else plan.terms.limit


def _admit(act: Act, plans: Sequence[Plan]) -> Admitted:
    limits = [limit for plan in plans if (limit := _limit_of(plan)) is not None]
    return admit_or_raise(act, {(limit.limit, limit_key(limit)) for limit in limits})


def _run_row(created_at: Any, run: NewRun, rows: PlanRows) -> Row:
    plan = run.plan
    terms = plan.terms or _NO_TERMS
    return (
        run.id, plan.name, run.key, rows.waiting_on, len(rows.steps), plan.fail_fast, rows.has_hooks,
        rows.result_expr, created_at, terms.arguments, encode_tags(terms.tags), terms.metadata,
        terms.limit and terms.limit.limit, terms.limit and limit_key(terms.limit), run.started_by,
    )  # fmt: skip


def _insert(tx: Transaction, runs: Sequence[NewRun], rows: Sequence[Row]) -> list[str]:
    """Insert runs. Returns the stored id of each: another one if an older run has the key.

    It repeats if an older run had the key at the insertion and was deleted before it was looked up.
    """
    wanted = [(run.plan.name, run.key, run.id) for run in runs if run.key is not None]
    for _ in range(_TRIES):
        for run in runs:
            if run.reuses_key and run.key is not None:
                release_key(tx, run.plan.name, run.key, heir=run.id)
        take_keys(tx, wanted)
        tx.each("insert_runs", rows)
        asked = [run_of_key(tx, workflow, key) for workflow, key, _ in wanted]
        found = [next(iter(later.rows()), None) for later in asked]
        if None not in found:
            answers = iter(found)
            return [run.id if run.key is None else str(next(answers)[0]) for run in runs]  # type: ignore[index]
        for (workflow, key, _), row in zip(wanted, found, strict=True):
            if row is None:
                mend_key(tx, workflow, key)
    raise StoreConflictError(
        "A run was started under a key whose run is being deleted, again and again. Nothing was written: start it "
        "again."
    )
