"""A run that was planned with `fail_fast` is brought to its end by the first failure that counts."""

from __future__ import annotations

from datetime import datetime

import msgspec

from segue.model import ErrorInfo, RunStatus
from segue.store.protocol import Transaction


def fail_fast(tx: Transaction, run_id: str, step: str, error: ErrorInfo | None, now: datetime) -> bool:
    """Cancel what has not begun, ask what runs to end; the caller holds the run's lock. False when it ends already."""
    info = {"step": step, "type": error.type if error else "Failed", "message": error.message if error else ""}
    text = msgspec.json.encode(info).decode()
    if not tx.all("set_intent", run_id=run_id, intent=RunStatus.FAILED, error=text):
        return False
    tx.later("cancel_waiting_steps", run_id=run_id, now=now)
    tx.later("request_cancel", run_id=run_id)
    return True
