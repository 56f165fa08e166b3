"""`fork`: a new run that takes over what another one has done, and goes another way from one of its steps.

Its rows are copies; the other run is not changed, and may still be under way. What succeeded there, and is not the
step or below it, is taken over with its result; steps that were skipped stay so when nothing above them is done again.
All else begins anew, hooks too. Step numbers are the same in both, so arguments refer to what they always did.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any

from segue.engine.events import record_event
from segue.engine.labels import annotate
from segue.engine.locking import lock_run
from segue.engine.reopening.edit import NewArguments, with_new
from segue.engine.reopening.reopen import ANY, UNSETTLED, Reopening
from segue.engine.reopening.rewrite import write_reopening
from segue.engine.reopening.run_graph import RunRow, find_step, load_graph
from segue.engine.verbs import said
from segue.errors import RunStateError
from segue.model import RunStatus
from segue.plan.check import Knows
from segue.store.protocol import Store, Transaction


def fork_run(
    store: Store,
    tx: Transaction,
    run_id: str,
    now: datetime,
    *,
    new_id: str,
    step: str | int,
    key: str | None = None,
    tags: Iterable[str] = (),
    metadata: Mapping[str, Any] | None = None,
    new: NewArguments | None = None,
    parameters: Knows,
    actor: str | None = None,
    reason: str | None = None,
) -> str:
    """Start the run `new_id` from this one, at its step of this name or number; returns its id.

    With a key that a run of the workflow has already, that run's id is returned and nothing is done; so it is when it
    is said again with the same `new_id`. `new` are other arguments for the step; they must be what its task takes
    (PlanError). `tags` and `metadata` are added to those of this run.
    """
    lock_run(tx, run_id)
    if tx.all("run_status", run_id=new_id):
        return new_id
    number = find_step(tx, run_id, step)
    graph = load_graph(store, tx, run_id)
    if not tx.all("fork_run", run_id=run_id, new_id=new_id, key=key, now=now):
        return str(tx.all("run_of_fork", run_id=run_id, key=key)[0][0])
    tx.later("fork_steps", run_id=run_id, new_id=new_id)
    tx.later("fork_labels", run_id=run_id, new_id=new_id)
    if new is not None:
        _edit(tx, new_id, number, new, parameters)
    graph.run = RunRow(RunStatus.PENDING, None, None, None, None)
    reopening = Reopening(graph)
    reopening.again(graph.steps[number], ANY)
    reopening.reopen_above(graph.steps[number], ANY)
    reopening.complete(UNSETTLED, is_new=True)
    for each in graph.steps.values():
        each.attempt = 0
    detail = {"fork": new_id} | said(actor, reason)
    record_event(tx, now, "run.forked", run_id=run_id, step=number, **detail)
    write_reopening(store, tx, new_id, reopening, now, source=run_id)
    annotate(store, tx, new_id, now, tags=tags, metadata=metadata)
    return new_id


def _edit(tx: Transaction, run_id: str, step: int, new: NewArguments, parameters: Knows) -> None:
    name, task, _, _, args, holes, _ = tx.all("step_arguments", run_id=run_id, step=step)[0]
    if task is None:
        raise RunStateError(f"Cannot give {name} other arguments: it is a join, which has none. Fork without them.")
    after = with_new(args, holes, new, name=name, task=task, parameters=parameters)
    tx.later("set_arguments", run_id=run_id, step=step, args=after[0], holes=after[1])
