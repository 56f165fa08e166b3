"""What a person does to a run. Each verb is one transaction, and may be said twice."""

from __future__ import annotations

from datetime import datetime

from segue.engine.ending import end_early
from segue.engine.events import record_event
from segue.engine.locking import lock_run
from segue.engine.pausing import pause_run, resume_run, unpause
from segue.engine.settle import Settler
from segue.engine.verbs import Done, Verb, said
from segue.model import RunStatus
from segue.store.protocol import Store, Transaction

__all__ = ["Done", "Verb", "cancel_run", "pause_run", "resume_run"]


def cancel_run(
    store: Store, tx: Transaction, run_id: str, now: datetime, *, actor: str | None = None, reason: str | None = None
) -> Done:
    """End a run: what has not begun is cancelled now, what runs is asked to end, finalizers still run.

    A run that is final, or that ends already, is left as it is; but a paused one always goes on, to its end.
    """
    status = lock_run(tx, run_id).status
    was_paused = status == RunStatus.PAUSED
    if was_paused:
        unpause(tx, run_id, now)
    ends_early = end_early(tx, run_id, RunStatus.CANCELLED, now)
    if ends_early:
        Settler(store, tx, now).settle([], ending=[run_id])
        tx.later("wake")  # workers look for what they are asked to end
    if ends_early or was_paused:
        kind = "run.cancel_requested" if ends_early else "run.resumed"  # it is run.cancelled when it has ended
        record_event(tx, now, kind, run_id=run_id, **said(actor, reason))
    return Done(tx.all("run_status", run_id=run_id)[0][0], ends_early or was_paused)
