"""`retry`: steps run again, and the run continues from there.

    retry(run)          every step that failed or was cancelled runs again, with its current arguments. Steps that
                        succeeded stay. If a step's task returned a plan, only what failed inside the plan runs again
    retry(run, STEP)    this step and all steps below it run again, also those that succeeded

Steps that were skipped because of them wait again. A final run becomes live; hooks run after the new outcome.
"""

from __future__ import annotations

from segue.engine.act import Act
from segue.engine.acting import audit_detail
from segue.engine.audit import record_event
from segue.engine.locking import lock_run
from segue.engine.propagate import Propagation, is_called
from segue.engine.reopening.reopen import ALL_STATUSES, CANCELLED, NOTHING, UNSUCCESSFUL, Reopening
from segue.engine.reopening.rewrite import write_reopening
from segue.engine.reopening.run_graph import RunGraph, StepRow, find_step, is_begun, load_graph, named, why_begun
from segue.engine.verbs import Done
from segue.errors import RunStateError
from segue.model import RUN, RunStatus, StepStatus
from segue.store.protocol import Transaction

_WAIT = "Wait until it has ended, or stop it first: pause the run with stop_running (segue pause --stop-running)."


def retry_run(
    act: Act,
    run_id: str,
    *,
    act_id: str | None = None,
    actor: str | None = None,
    reason: str | None = None,
    fresh: bool = False,
) -> Done:
    """Run all steps again that failed or were cancelled. If there are none, or the run succeeded, nothing changes.

    Their tasks go on from their checkpoints, or, if `fresh`, from scratch.

    With `act_id` the act is done once: a repetition that finds its event does nothing, even if the retried steps have
    failed again since.
    """
    status = lock_run(act.tx, run_id).status
    if _is_done(act.tx, act_id):
        return Done(status, True)
    if status == RunStatus.SUCCEEDED:
        return Done(status, False)
    graph = load_graph(act, run_id)
    if graph.run.is_final and not graph.steps:
        raise RunStateError(
            f"Cannot retry run {run_id}: it is {status} and never had any steps, because it was a debounced start "
            "whose window had not passed, or whose workflow raised. Start it again."
        )
    refuse_ending(graph, run_id, f"retry run {run_id}")
    reopening = Reopening(graph)
    reopening.is_fresh = fresh
    reopening.complete(UNSUCCESSFUL)
    if not reopening.changed and not graph.run.is_final:
        return Done(status, False)
    refuse_busy(reopening, f"retry run {run_id}")
    detail = {"steps": len(reopening.reset)} | ({"fresh": True} if fresh else {}) | audit_detail(actor, reason)
    record_event(act, "run.retried", id_=act_id, run_id=run_id, **detail)
    return Done(write_reopening(act, run_id, reopening), True)


def retry_from(
    act: Act,
    run_id: str,
    *,
    step: str | int,
    act_id: str | None = None,
    actor: str | None = None,
    reason: str | None = None,
    fresh: bool = False,
) -> Done:
    """Run a step, found by name or number, and all steps below it again, whatever their statuses.

    Those that had succeeded forget their checkpoints; if `fresh`, the others do, too. Failures elsewhere stay, so the
    run can still fail because of them. Raises RunStateError while an attempt of one of these steps is running. With
    `act_id` the act is done once: a repetition that finds its event does nothing.
    """
    status = lock_run(act.tx, run_id).status
    if _is_done(act.tx, act_id):
        return Done(status, True)
    number = find_step(act.tx, run_id, step)
    graph = load_graph(act, run_id)
    found = graph.step(number)
    what = f"retry run {run_id} from {found.name}"
    refuse_ending(graph, run_id, what, about=found)
    _refuse_uncalled(Propagation(act), graph, run_id, found, what)
    reopening = Reopening(graph)
    reopening.is_fresh = fresh
    reopening.reset_step(found, ALL_STATUSES)
    reopening.reopen_above(found, ALL_STATUSES)
    complete(reopening, found)
    refuse_busy(reopening, what)
    detail = {"steps": len(reopening.reset)} | ({"fresh": True} if fresh else {}) | audit_detail(actor, reason)
    record_event(act, "run.retried", id_=act_id, run_id=run_id, step=number, **detail)
    return Done(write_reopening(act, run_id, reopening), True)


def _is_done(tx: Transaction, act_id: str | None) -> bool:
    """Whether this act was committed before, but its answer was lost."""
    return act_id is not None and bool(tx.all("event_recorded", id=act_id))


def complete(reopening: Reopening, about: StepRow) -> None:
    """Add the hooks that run again. If the run was ended early, undo that, unless `about` is in one of its hooks."""
    run = reopening.graph.run
    outermost = next((scope for scope in reopening.graph.enclosing(about) if scope.scope == RUN), about)
    is_about_hook = outermost.hook is not None
    undoes_end = run.is_final and run.intent is not None and not is_about_hook
    reopening.complete(CANCELLED if undoes_end else NOTHING, keeps_intent=is_about_hook)


def refuse_ending(graph: RunGraph, run_id: str, what: str, about: StepRow | None = None) -> None:
    """Raise RunStateError for a run that is being ended early, unless `about` is a hook that was called."""
    run = graph.run
    if run.is_final or run.intent is None:
        return
    if run.outcome is not None and about is not None and about.hook is not None and about.scope == RUN:
        return
    raise RunStateError(
        f"Cannot {what}: the run is being ended as {run.intent}, and waits for steps that still run. "
        "Repeat the command when it has ended."
    )


def refuse_busy(reopening: Reopening, what: str) -> None:
    """Raise RunStateError if a step that would be reset has a running attempt."""
    if reopening.busy:
        busy = named(sorted(reopening.busy, key=lambda step: step.step))
        raise RunStateError(f"Cannot {what}: this would reset {busy}, but an attempt has not ended yet. {_WAIT}")


def refuse_running(step: StepRow, run_id: str, what: str) -> None:
    """Raise RunStateError for a step that runs, or whose plan has not ended."""
    if is_begun(step.status):
        raise RunStateError(f"Cannot {what} of run {run_id}: {why_begun(step.status)}. {_WAIT}")
    if step.is_scope and step.status == StepStatus.BLOCKED:
        raise RunStateError(
            f"Cannot {what} of run {run_id}: its task returned a plan whose steps have not all ended. Change those "
            "steps, or wait until they have ended."
        )


def _refuse_uncalled(propagation: Propagation, graph: RunGraph, run_id: str, step: StepRow, what: str) -> None:
    """Raise RunStateError for a hook that the outcome did not call: it cannot run by itself."""
    if step.hook is None or step.status != StepStatus.SKIPPED or graph.is_pending(step.scope):
        return
    intent = graph.run.intent if step.scope == RUN else None
    outcome = intent or propagation.outcome_of(run_id, step.scope)[0]
    if not is_called(step.hook, outcome):
        raise RunStateError(
            f"Cannot {what}: it is an {step.hook} hook, but the steps {outcome}, which does not call it."
        )
