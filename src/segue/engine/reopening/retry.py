"""`retry`: steps run again, and the run goes on from there.

    retry(run)          every step that failed or was cancelled runs again, with its arguments as they are. What
                        succeeded stays; a step whose task returned a plan is not run again, but what failed inside
    retry(run, STEP)    this step and everything below it run again, also what succeeded

Steps that had been skipped over them come back. A final run becomes running again; hooks run after the new outcome.
"""

from __future__ import annotations

from segue.engine.act import Act
from segue.engine.audit import record_event
from segue.engine.locking import lock_run
from segue.engine.propagate import Propagation, is_called
from segue.engine.reopening.reopen import ALL_STATUSES, CANCELLED, NOTHING, UNSUCCESSFUL, Reopening
from segue.engine.reopening.rewrite import write_reopening
from segue.engine.reopening.run_graph import RunGraph, StepRow, find_step, is_begun, load_graph, named, why_begun
from segue.engine.verbs import Done, audit_detail
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
) -> Done:
    """Run again whatever failed or was cancelled. A run that succeeded, or in which nothing did, is left as it is.

    With `act_id` the act is done once: one that finds its own event does nothing. What was retried may have failed
    again before a repetition comes.
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
            "whose window had not passed, or whose workflow raised. Start it anew."
        )
    refuse_ending(graph, run_id, f"retry run {run_id}")
    reopening = Reopening(graph)
    reopening.complete(UNSUCCESSFUL)
    if not reopening.changed and not graph.run.is_final:
        return Done(status, False)
    refuse_busy(reopening, f"retry run {run_id}")
    detail = {"steps": len(reopening.reset)} | audit_detail(actor, reason)
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
) -> Done:
    """Run this step, of that name or number, and everything below it again, whatever became of them.

    What failed elsewhere stays as it is, and so it counts against the run. Raises RunStateError while an attempt at one
    of these steps is under way. With `act_id` the act is done once: one that finds its own event does nothing.
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
    reopening.reset_step(found, ALL_STATUSES)
    reopening.reopen_above(found, ALL_STATUSES)
    complete(reopening, found)
    refuse_busy(reopening, what)
    detail = {"steps": len(reopening.reset)} | audit_detail(actor, reason)
    record_event(act, "run.retried", id_=act_id, run_id=run_id, step=number, **detail)
    return Done(write_reopening(act, run_id, reopening), True)


def _is_done(tx: Transaction, act_id: str | None) -> bool:
    """Whether the answer to this act was lost, and so it is said again."""
    return act_id is not None and bool(tx.all("event_recorded", id=act_id))


def complete(reopening: Reopening, about: StepRow) -> None:
    """See to the hooks, and take back that the run was ended early; but not when it is about one of its own hooks."""
    run = reopening.graph.run
    outermost = next((scope for scope in reopening.graph.enclosing(about) if scope.scope == RUN), about)
    is_about_hook = outermost.hook is not None
    goes_on = run.is_final and run.intent is not None and not is_about_hook
    reopening.complete(CANCELLED if goes_on else NOTHING, keeps_intent=is_about_hook)


def refuse_ending(graph: RunGraph, run_id: str, what: str, about: StepRow | None = None) -> None:
    """Raise RunStateError for a run that is on its way to an early end, unless it is about a hook that was called."""
    run = graph.run
    if run.is_final or run.intent is None:
        return
    if run.outcome is not None and about is not None and about.hook is not None and about.scope == RUN:
        return
    raise RunStateError(
        f"Cannot {what}: the run is being ended as {run.intent}, and waits for what still runs. "
        "Do it again when it has ended."
    )


def refuse_busy(reopening: Reopening, what: str) -> None:
    """Raise RunStateError when an attempt is under way at something that would begin anew."""
    if reopening.busy:
        busy = named(sorted(reopening.busy, key=lambda step: step.step))
        raise RunStateError(f"Cannot {what}: {busy} would begin anew, and runs now. {_WAIT}")


def refuse_running(step: StepRow, run_id: str, what: str) -> None:
    """Raise RunStateError for a step that runs, or whose plan is being worked."""
    if is_begun(step.status):
        raise RunStateError(f"Cannot {what} of run {run_id}: {why_begun(step.status)}. {_WAIT}")
    if step.is_scope and step.status == StepStatus.BLOCKED:
        raise RunStateError(
            f"Cannot {what} of run {run_id}: its task returned a plan, whose steps are being worked. Deal with those, "
            "or wait until they have ended."
        )


def _refuse_uncalled(propagation: Propagation, graph: RunGraph, run_id: str, step: StepRow, what: str) -> None:
    """A hook that the outcome did not call for is not run by itself."""
    if step.hook is None or step.status != StepStatus.SKIPPED or graph.is_pending(step.scope):
        return
    intent = graph.run.intent if step.scope == RUN else None
    outcome = intent or propagation.outcome_of(run_id, step.scope)[0]
    if not is_called(step.hook, outcome):
        raise RunStateError(
            f"Cannot {what}: it is an {step.hook} hook, and the steps {outcome}, which does not call for it."
        )
