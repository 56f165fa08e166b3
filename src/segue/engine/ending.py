"""Ends a run early: because a person cancels it, or because a step failed and the run is to fail fast."""

from __future__ import annotations

import msgspec

from segue.engine.act import Act
from segue.model import RUN, ErrorInfo, FailureInfo, RunStatus


def end_early(act: Act, run_id: str, intent: RunStatus, *, error: str | None = None, but: int = RUN) -> bool:
    """Cancel steps that have not begun, ask running ones to end. The caller holds the run's lock. False if it ends
    already.

    `error` is the JSON of a `FailureInfo`. The step `but` is left as it is: its own end is about to be written.
    """
    if not act.tx.all("set_intent", run_id=run_id, intent=intent, error=error):
        return False
    _cancel_waiting_steps(act, run_id, but)
    act.tx.later("request_cancel", run_id=run_id)
    return True


def fail_fast(act: Act, run_id: str, name: str, error: ErrorInfo | None, *, step: int = RUN) -> bool:
    """End a run early because the step of this name failed; give its number as `step` if its end is not written yet."""
    failure = FailureInfo(name, error.type, error.message) if error else FailureInfo(name, "Failed", "")
    return end_early(act, run_id, RunStatus.FAILED, error=msgspec.json.encode(failure).decode(), but=step)


def _cancel_waiting_steps(act: Act, run_id: str, but: int) -> None:
    journal = act.journal
    if journal is None or "step.cancelled" not in journal.wanted:
        act.tx.later("cancel_waiting_steps", run_id=run_id, but=but, now=act.now)
        return
    for step, attempt, task in act.tx.all("cancel_waiting_steps_returning", run_id=run_id, but=but, now=act.now):
        if task is not None:
            journal.note("step.cancelled", run_id, step, attempt)
