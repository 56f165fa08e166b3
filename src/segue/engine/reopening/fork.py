"""`fork`: a new run that keeps the results of another run, and runs again from one of its steps.

The rows of the new run are copies; the other run is not changed, and need not have ended. Steps that succeeded keep
their results, except the step itself and everything below it. Skipped steps stay skipped if no step above them runs
again. All other steps run again, also hooks. Steps have the same numbers in both runs, so references stay valid.

A large run is not locked. One statement copies it as it is at one moment. Which steps run again is computed from the
copy, and written in parts (`ahead`). This work is recorded with the copy (`HalfFork`), so another process continues if
this one dies. Invariant: in a half-made fork no step has started or can be claimed, no alarm fires, and its limit is
not set. Its status is `pending`, and a verb on it completes the fork first.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from segue.engine.act import Act
from segue.engine.acting import audit_detail, present_actor
from segue.engine.alarms import AT_REST
from segue.engine.audit import record_event
from segue.engine.checkpoints import forget_checkpoints
from segue.engine.keys import mend_key, run_of_key, take_keys
from segue.engine.labels import annotate
from segue.engine.locking import lock_run, lock_runs
from segue.engine.reopening.ahead import BufferedWrites, stamp_of
from segue.engine.reopening.edit import NewArguments, moved_lane, with_new
from segue.engine.reopening.reopen import ALL_STATUSES, NOT_COMPLETED, Reopening
from segue.engine.reopening.rewrite import write_reopening
from segue.engine.reopening.run_graph import RunGraph, RunRow, find_step, is_large, load_graph, read_graph
from segue.engine.unfinished import HalfFork, UnfinishedRun, leave, take_fork
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
    """Start the run `new_id` as a fork of this one, from the step with this name or number; returns its id.

    If a run of the workflow has this key, its id is returned and nothing is written. Repeating the call with the same
    `new_id` is harmless. `new` are other arguments for the step; raises PlanError if its task does not accept them.
    `tags` and `metadata` are added to those of the forked run.
    """
    of_large = is_large(act.tx, run_id)
    if not of_large:
        lock_run(act.tx, run_id)
    if act.tx.all("run_status", run_id=new_id):
        return new_id
    number = find_step(act.tx, run_id, step)
    graph = None if of_large else load_graph(act, run_id, is_copied=True)
    limit = act.tx.all("lock_run_for_copy", run_id=run_id) if of_large else []
    [(workflow, *_)] = act.tx.all("run_outcome", run_id=run_id)
    if key is not None:
        take_keys(act.tx, [(workflow, key, new_id)])
    by = actor or present_actor()
    is_new = bool(act.tx.all("fork_run", run_id=run_id, new_id=new_id, key=key, now=act.now, started_by=by))
    if key is not None and (older := _other_run(act.tx, workflow, key, new_id)) is not None:
        return older
    if not is_new:  # the run that had the key was deleted just now, so the key is free
        raise StoreConflictError(f"The run with the key {key!r} was deleted in the meantime: fork again.")
    if graph is None:
        _copy(act.tx, run_id, new_id, number)
    else:
        act.tx.later("fork_steps", run_id=run_id, new_id=new_id)
        act.tx.later("fork_labels", run_id=run_id, new_id=new_id)
        act.tx.later("fork_checkpoints", run_id=run_id, new_id=new_id)
    act.tx.later("fork_payload_uses", run_id=run_id, new_id=new_id)
    planned_lane = _edit(act.tx, new_id, number, new, parameters) if new is not None else None
    if new is not None:
        forget_checkpoints(act, new_id, [number])  # they are of other arguments
    record_event(act, "run.forked", run_id=run_id, step=number, fork=new_id, **audit_detail(actor, reason))
    if graph is None:
        if planned_lane is not None:
            act.tx.later("set_planned_lane", run_id=new_id, step=number, planned_lane=planned_lane)
        name, key_of_limit = limit[0]
        leave(act, [HalfFork(new_id, number, None if name is None else (name, key_of_limit))])
    else:
        graph.steps[number].planned_lane = planned_lane or graph.steps[number].planned_lane
        write_reopening(act, new_id, _reset_from(graph, number), source=run_id)
    annotate(act, new_id, tags=tags, metadata=metadata)
    return new_id


def _other_run(tx: Transaction, workflow: str, key: str, new_id: str) -> str | None:
    """The id of the other run that has the key; None if the new run has it."""
    found = run_of_key(tx, workflow, key).rows()
    if not found:
        mend_key(tx, workflow, key)
        found = run_of_key(tx, workflow, key).rows()
    return str(found[0][0]) if found and str(found[0][0]) != new_id else None


def work_out_fork(act: Act, fork: HalfFork) -> None:
    """Compute which steps run again in the copy of a large run. The act's transaction buffers all writes."""
    reopening = _reset_from(read_graph(act.tx, fork.run_id), fork.step)
    act.tx.later("drop_resting_alarms", run_id=fork.run_id, at_rest=AT_REST)
    write_reopening(act, fork.run_id, reopening, source=fork.run_id, limit=fork.limit)


def write_fork(act: Act, ahead: BufferedWrites, fork: HalfFork) -> None:
    """Record the buffered writes as the fork's unfinished work, unless another process has, or the run has changed."""
    tx, run_id = act.tx, fork.run_id
    if lock_runs(tx, [run_id]) and stamp_of(tx, run_id) == ahead.stamp and take_fork(tx, run_id):
        leave(act, ahead.kept)


def _copy(tx: Transaction, run_id: str, new_id: str, step: int) -> None:
    """Copy the steps of a run, and all that belongs to them, as they are at one moment. The run may be live."""
    names = {"run_id": run_id, "new_id": new_id}
    at_rest = tx.time(AT_REST)
    if not tx.all("copy_run", **names, at_rest=at_rest):
        raise UnfinishedRun(run_id)
    tx.later("copy_steps", **names)
    tx.later("copy_labels", **names)
    tx.later("copy_checkpoints", **names)
    tx.later("copy_alarms", **names, at_rest=at_rest)
    if not tx.all("step_name", run_id=new_id, step=step):
        raise StoreConflictError(f"Step {step} of run {run_id} was discarded in the meantime: fork again.")


def _reset_from(graph: RunGraph, step: int) -> Reopening:
    graph.run = RunRow(RunStatus.PENDING, None, None, None, None)
    reopening = Reopening(graph)
    reopening.reset_step(graph.steps[step], ALL_STATUSES)
    reopening.reopen_above(graph.steps[step], ALL_STATUSES)
    reopening.complete(NOT_COMPLETED, is_new=True)
    for each in graph.steps.values():
        each.attempt = 0
    return reopening


def _edit(tx: Transaction, run_id: str, step: int, new: NewArguments, parameters: Knows) -> str | None:
    """Change the arguments of the step; returns its lane with them."""
    name, task, _, _, args, holes, lane, planned_lane = tx.all("step_arguments", run_id=run_id, step=step)[0]
    if task is None:
        raise RunStateError(f"Cannot give {name} other arguments: it is a join, which has none. Fork without them.")
    after = with_new(args, holes, new, name=name, task=task, parameters=parameters)
    tx.later("set_arguments", run_id=run_id, step=step, args=after[0], holes=after[1])
    return None if lane is None else moved_lane(planned_lane or lane, after, name)  # where it waits when it is reset
