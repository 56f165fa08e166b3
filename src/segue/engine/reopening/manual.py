"""`skip` and `mark`: a person decides how one step ends.

A step that has not begun ends at once, and its children are released. One that failed, was cancelled or was skipped is
reopened first: steps below it that were skipped, cancelled or failed wait again, and a final run becomes live.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec

from segue.engine.act import Act
from segue.engine.acting import audit_detail
from segue.engine.audit import record_event
from segue.engine.locking import lock_run
from segue.engine.payload_uses import use_text
from segue.engine.reopening.reopen import NOT_SUCCEEDED, NOTHING, Reopening
from segue.engine.reopening.retry import complete, refuse_busy, refuse_ending, refuse_running
from segue.engine.reopening.rewrite import write_reopening
from segue.engine.reopening.run_graph import RunGraph, StepRow, find_step, load_graph
from segue.engine.resolve import load
from segue.engine.verbs import Done
from segue.errors import RunStateError
from segue.model import StepStatus
from segue.plan.frames import has_frame, read
from segue.plan.payload_frames import payloads_in
from segue.store.protocol import Finish


def skip_step(
    act: Act,
    run_id: str,
    *,
    step: str | int,
    actor: str | None = None,
    reason: str | None = None,
) -> Done:
    """Skip a step, found by name or number. A step that was skipped before is not changed.

    Raises RunStateError for a step that runs, or that succeeded.
    """
    status, graph, found = _load(act, run_id, step)
    what = f"skip {found.name}"
    if found.status == StepStatus.SKIPPED:
        return Done(status, False)
    if found.status == StepStatus.SUCCEEDED:
        raise RunStateError(
            f"Cannot {what} of run {run_id}: it succeeded, and other steps may have used its result. To run it again, "
            "retry the run from it; to continue without it, fork the run at it."
        )
    _refuse(graph, found, run_id, what)
    record_event(act, "step.skipped_by_hand", run_id=run_id, step=found.step, **audit_detail(actor, reason))
    if _is_uncalled_hook(graph, found):
        return Done(_skip_before_outcome(act, run_id, graph, found), True)
    return Done(_finish(act, run_id, graph, found, StepStatus.SKIPPED, None, what), True)


def mark_step(
    act: Act,
    run_id: str,
    *,
    step: str | int,
    result: str,
    actor: str | None = None,
    reason: str | None = None,
) -> Done:
    """Mark a step, found by name or number, as succeeded with this result (JSON text).

    A step that succeeded with an equal result is not changed. Raises RunStateError for a step that runs, or that
    succeeded with another result.
    """
    status, graph, found = _load(act, run_id, step)
    what = f"mark {found.name}"
    if found.status == StepStatus.SUCCEEDED:
        before = load(act.tx, run_id, [found.step])[found.step]
        if before == result or read(before) == read(result):
            return Done(status, False)
        raise RunStateError(
            f"Cannot {what} of run {run_id}: it succeeded with another result, which other steps may have used. To run "
            "it again, retry the run from it; to continue with another result, fork the run at it."
        )
    _refuse(graph, found, run_id, what)
    use_text(act, run_id, result)
    if _is_uncalled_hook(graph, found):
        raise RunStateError(
            f"Cannot {what} of run {run_id}: it is an {found.hook} hook. Whether it runs is decided when all other "
            "steps have ended. Mark it then, or skip it now."
        )
    detail = {**_result_detail(result), **audit_detail(actor, reason)}
    record_event(act, "step.marked", run_id=run_id, step=found.step, **detail)
    return Done(_finish(act, run_id, graph, found, StepStatus.SUCCEEDED, result, what), True)


def _load(act: Act, run_id: str, step: str | int) -> tuple[str, RunGraph, StepRow]:
    status = lock_run(act.tx, run_id).status
    number = find_step(act.tx, run_id, step)
    graph = load_graph(act, run_id)
    return status, graph, graph.step(number)


def _refuse(graph: RunGraph, step: StepRow, run_id: str, what: str) -> None:
    refuse_running(step, run_id, what)
    refuse_ending(graph, run_id, f"{what} of run {run_id}", about=step)


def _finish(
    act: Act, run_id: str, graph: RunGraph, step: StepRow, status: StepStatus, result: str | None,
    what: str,
) -> str:  # fmt: skip
    reopening = Reopening(graph)
    cascade = NOT_SUCCEEDED if step.is_final else NOTHING
    reopening.set_aside(step, cascade)
    reopening.reopen_above(step, cascade)
    complete(reopening, step)
    if step.step in reopening.reset:
        raise RunStateError(
            f"Cannot {what} of run {run_id}: it is a hook of a plan that was cancelled before its outcome was known. "
            "Retry the run first."
        )
    refuse_busy(reopening, f"{what} of run {run_id}")
    finish = Finish(run_id, step.step, step.attempt, StepStatus.BLOCKED, status, result)
    return write_reopening(act, run_id, reopening, finishes=[finish])


def _is_uncalled_hook(graph: RunGraph, step: StepRow) -> bool:
    """Whether a step is a hook that waits for the outcome of its scope."""
    return step.hook is not None and graph.is_pending(step.scope)


def _skip_before_outcome(act: Act, run_id: str, graph: RunGraph, hook: StepRow) -> str:
    """Skip a hook that was not called yet: only later hooks wait for it, and only their counters change."""
    act.tx.later("end_hook_by_hand", run_id=run_id, step=hook.step, status=StepStatus.SKIPPED, result=None, now=act.now)
    if act.journal is not None:
        act.journal.note("step.skipped", run_id, hook.step, hook.attempt)
    hook.status = StepStatus.SKIPPED
    return write_reopening(act, run_id, Reopening(graph))


def _result_detail(result: str) -> Mapping[str, Any]:
    """The result for the event; only its size if it is long."""
    if has_frame(result):
        return {"result_bytes": sum(payload.size for payload in payloads_in(result))}
    return {"result": msgspec.Raw(result.encode())} if len(result) <= 1000 else {"result_bytes": len(result)}
