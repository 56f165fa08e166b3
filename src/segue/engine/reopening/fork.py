"""`fork`: a new run that takes over what another one has done, and goes another way from one of its steps.

Its rows are copies; the other run is not changed, and may still be under way. What succeeded there, and is not the
step or below it, is taken over with its result; steps that were skipped stay so when nothing above them is done again.
All else begins anew, hooks too. Step numbers are the same in both, so arguments refer to what they always did.

A large run is not locked for it. One statement copies it, as it stands at one moment; what begins anew is worked out
from the copy, and written in parts (`ahead`). That is left to do with the copy itself (`HalfFork`), so any process goes
on when this one dies. Invariant: of a half fork nothing has started, is claimable or rings, and its limit is not said;
its status is `pending`, and a verb on it has the rest done first.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from segue.engine.act import Act
from segue.engine.alarms import AT_REST
from segue.engine.audit import record_event
from segue.engine.keys import mend_key, run_of_key, take_keys
from segue.engine.labels import annotate
from segue.engine.locking import lock_run, lock_runs
from segue.engine.reopening.ahead import Ahead, stamp_of
from segue.engine.reopening.edit import NewArguments, moved_lane, with_new
from segue.engine.reopening.reopen import ALL_STATUSES, NOT_COMPLETED, Reopening
from segue.engine.reopening.rewrite import write_reopening
from segue.engine.reopening.run_graph import RunGraph, RunRow, find_step, is_large, load_graph, read_graph
from segue.engine.unfinished import HalfFork, UnfinishedRun, leave, take_fork
from segue.engine.verbs import audit_detail
from segue.errors import RunStateError, StoreConflictError
from segue.model import RunStatus
from segue.plan.check import Knows
from segue.store.protocol import Transaction


def fork_run(
    act: Act,
    run_id: str,
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
    of_large = is_large(act.tx, run_id)
    if not of_large:
        lock_run(act.tx, run_id)
    if act.tx.all("run_status", run_id=new_id):
        return new_id
    number = find_step(act.tx, run_id, step)
    graph = None if of_large else load_graph(act, run_id, is_copied=True)
    limit = act.tx.all("keep_run", run_id=run_id) if of_large else []
    workflow = str(act.tx.all("run_outcome", run_id=run_id)[0][0])
    if key is not None:
        take_keys(act.tx, [(workflow, key, new_id)])
    is_new = bool(act.tx.all("fork_run", run_id=run_id, new_id=new_id, key=key, now=act.now))
    if key is not None and (older := _other_run(act.tx, workflow, key, new_id)) is not None:
        return older
    if not is_new:  # the one that had it was pruned just now, so the key is free
        raise StoreConflictError(f"The run that had the key {key!r} was deleted meanwhile: fork again.")
    if graph is None:
        _copy(act.tx, run_id, new_id, number)
    else:
        act.tx.later("fork_steps", run_id=run_id, new_id=new_id)
        act.tx.later("fork_labels", run_id=run_id, new_id=new_id)
    planned_lane = _edit(act.tx, new_id, number, new, parameters) if new is not None else None
    detail = {"fork": new_id} | audit_detail(actor, reason)
    record_event(act, "run.forked", run_id=run_id, step=number, **detail)
    if graph is None:
        if planned_lane is not None:
            act.tx.later("set_planned_lane", run_id=new_id, step=number, planned_lane=planned_lane)
        name, key_of_limit = limit[0]
        leave(act, [HalfFork(new_id, number, None if name is None else (name, key_of_limit))])
    else:
        graph.steps[number].planned_lane = planned_lane or graph.steps[number].planned_lane
        write_reopening(act, new_id, _begin_anew(graph, number), source=run_id)
    annotate(act, new_id, tags=tags, metadata=metadata)
    return new_id


def _other_run(tx: Transaction, workflow: str, key: str, new_id: str) -> str | None:
    """The other run that has the key; None when it is the new one's."""
    found = run_of_key(tx, workflow, key).rows()
    if not found:
        mend_key(tx, workflow, key)
        found = run_of_key(tx, workflow, key).rows()
    return str(found[0][0]) if found and str(found[0][0]) != new_id else None


def work_out_fork(act: Act, fork: HalfFork) -> None:
    """Work out what begins anew in the copy of a large run. The act's transaction is one that keeps what it is told."""
    reopening = _begin_anew(read_graph(act.tx, fork.run_id), fork.step)
    act.tx.later("drop_resting_alarms", run_id=fork.run_id, at_rest=AT_REST)
    write_reopening(act, fork.run_id, reopening, source=fork.run_id, limit=fork.limit)


def write_fork(act: Act, ahead: Ahead, fork: HalfFork) -> None:
    """Make what was worked out what is left to do of the fork, unless another process has, or the run was changed."""
    tx, run_id = act.tx, fork.run_id
    if lock_runs(tx, [run_id]) and stamp_of(tx, run_id) == ahead.stamp and take_fork(tx, run_id):
        leave(act, ahead.kept)


def _copy(tx: Transaction, run_id: str, new_id: str, step: int) -> None:
    """Copy the steps of a run that may go on meanwhile, and all that belongs to them, as they are at one moment."""
    names = {"run_id": run_id, "new_id": new_id}
    at_rest = tx.time(AT_REST)
    if not tx.all("copy_run", **names, at_rest=at_rest):
        raise UnfinishedRun(run_id)
    tx.later("copy_steps", **names)
    tx.later("copy_labels", **names)
    tx.later("copy_alarms", **names, at_rest=at_rest)
    if not tx.all("step_name", run_id=new_id, step=step):
        raise StoreConflictError(f"Step {step} of run {run_id} was thrown away meanwhile: fork again.")


def _begin_anew(graph: RunGraph, step: int) -> Reopening:
    graph.run = RunRow(RunStatus.PENDING, None, None, None, None)
    reopening = Reopening(graph)
    reopening.reset_step(graph.steps[step], ALL_STATUSES)
    reopening.reopen_above(graph.steps[step], ALL_STATUSES)
    reopening.complete(NOT_COMPLETED, is_new=True)
    for each in graph.steps.values():
        each.attempt = 0
    return reopening


def _edit(tx: Transaction, run_id: str, step: int, new: NewArguments, parameters: Knows) -> str | None:
    """Give it the arguments; returns the lane in which it belongs then."""
    name, task, _, _, args, holes, lane, planned_lane = tx.all("step_arguments", run_id=run_id, step=step)[0]
    if task is None:
        raise RunStateError(f"Cannot give {name} other arguments: it is a join, which has none. Fork without them.")
    after = with_new(args, holes, new, name=name, task=task, parameters=parameters)
    tx.later("set_arguments", run_id=run_id, step=step, args=after[0], holes=after[1])
    return None if lane is None else moved_lane(planned_lane or lane, after, name)  # where it waits when it is reset
