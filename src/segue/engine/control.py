"""What a person does to a run. Each verb is one transaction, and may be said twice."""

from __future__ import annotations

from datetime import datetime

from segue.engine.ending import end_early
from segue.engine.settle import Settler
from segue.errors import RunNotFoundError
from segue.model import RunStatus
from segue.store.protocol import Store, Transaction


def cancel_run(store: Store, tx: Transaction, run_id: str, now: datetime) -> str:
    """End a run: what has not begun is cancelled now, what runs is asked to end, finalizers still run.

    Returns the status of the run afterwards. A run that is final, or that ends already, is left as it is.
    """
    locked = tx.all("lock_runs", ids=[run_id])
    if not locked:
        raise RunNotFoundError(f"No run has the id {run_id}.")
    if end_early(tx, run_id, RunStatus.CANCELLED, now):
        Settler(store, tx, now).settle([], ending=[run_id])
        tx.later("wake")  # workers look for what they are asked to end
    status: str = tx.all("run_status", run_id=run_id)[0][0]
    return status
