"""Bringing a run to an early end: somebody cancels it, or it was planned to fail fast and a step failed."""

from __future__ import annotations

from datetime import datetime

import msgspec

from segue.model import ErrorInfo, FailureInfo, RunStatus
from segue.store.protocol import Transaction


def end_early(tx: Transaction, run_id: str, intent: RunStatus, now: datetime, *, error: str | None = None) -> bool:
    """Cancel what has not begun, ask what runs to end; the caller holds the run's lock. False when it ends already.

    `error` is the JSON of a `FailureInfo`.
    """
    if not tx.all("set_intent", run_id=run_id, intent=intent, error=error):
        return False
    _cancel_waiting_steps(tx, run_id, now)
    tx.later("request_cancel", run_id=run_id)
    return True


def fail_fast(tx: Transaction, run_id: str, step: str, error: ErrorInfo | None, now: datetime) -> bool:
    """End a run early because this step failed."""
    failure = FailureInfo(step, error.type, error.message) if error else FailureInfo(step, "Failed", "")
    return end_early(tx, run_id, RunStatus.FAILED, now, error=msgspec.json.encode(failure).decode())


def _cancel_waiting_steps(tx: Transaction, run_id: str, now: datetime) -> None:
    journal = tx.journal
    if journal is None or "step.cancelled" not in journal.wanted:
        tx.later("cancel_waiting_steps", run_id=run_id, now=now)
        return
    for step, attempt, task in tx.all("cancel_waiting_steps_told", run_id=run_id, now=now):
        if task is not None:
            journal.note("step.cancelled", run_id, step, attempt)
