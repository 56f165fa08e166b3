"""Starting runs: from plans to committed rows, once for each key, in one transaction however many there are."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

import msgspec

from segue.engine.rows import PlanRows, plan_rows
from segue.engine.settle import Settler
from segue.model import RUN
from segue.plan.graph import Plan
from segue.store.protocol import Row, Store, Transaction


class NewRun(msgspec.Struct, frozen=True):
    """A run to be: its id is made beforehand, so that a start whose answer was lost can be repeated."""

    id: str
    plan: Plan
    key: str | None = None


def start_runs(store: Store, tx: Transaction, runs: Sequence[NewRun], now: datetime) -> list[str]:
    """Insert the runs that are not there yet; returns the id of each, that of the older run where its key was taken.

    Everything here may be repeated under the same ids: rows that are there stay as they are, joins are passed once.
    """
    made = {run.id: plan_rows(store, run.plan, run_id=run.id, base=0, scope=RUN, now=now) for run in runs}
    tx.each("insert_runs", [_run_row(store, run, made[run.id], now) for run in runs])
    ids = _ids(tx, runs)
    fresh = [run for run, id_ in zip(runs, ids, strict=True) if run.id == id_]
    tx.each("insert_steps", [row for run in fresh for row in made[run.id].steps])
    settler = Settler(store, tx, now)
    for run in fresh:
        rows = made[run.id]
        if rows.open_joins:
            settler.pass_joins(run.id, rows.open_joins)
        if not rows.waiting_on:
            settler.end_empty_run(run.id)
    if any(made[run.id].claimable for run in fresh):
        tx.later("wake")
    return ids


def _run_row(store: Store, run: NewRun, rows: PlanRows, now: datetime) -> Row:
    plan = run.plan
    return (
        run.id, plan.name, run.key, rows.waiting_on, len(rows.steps), plan.fail_fast, rows.has_hooks,
        rows.result_expr, store.time(now),
    )  # fmt: skip


def _ids(tx: Transaction, runs: Sequence[NewRun]) -> list[str]:
    """The id that stands in the database for each: another one where an older run has the key."""
    asked = [
        (run, tx.later("run_of_key", workflow=run.plan.name, key=run.key) if run.key is not None else None)
        for run in runs
    ]
    return [run.id if later is None else str(later.rows()[0][0]) for run, later in asked]
