"""Pausing and resuming runs.

Promise: after `pause` returns nothing new of the run starts, and `resume` goes on exactly there.

A pause locks the run, sets its status and gates every step that is ready; a claim sees only steps without a gate. A
claim that is under way holds its rows, so the pause waits for it and finds those steps running. What becomes ready
while the run is paused is gated in the same transaction: `finish` gates what it makes ready itself, everything else (a
retry, a rescue, steps that a task added, hooks) says `hold_paused` at its end, with the run's lock in hand.

Any run that is not final may be paused, one that is ending as well: then its hooks wait, too. A `cancel` resumes it.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from typing import Any

from segue.engine.admission import admit_after
from segue.engine.events import record_event
from segue.engine.locking import LockedRun, lock_run
from segue.engine.verbs import Done, said
from segue.model import RunStatus
from segue.store.protocol import Store, Transaction


def pause_run(
    store: Store,
    tx: Transaction,
    run_id: str,
    now: datetime,
    *,
    stop_running: bool = False,
    actor: str | None = None,
    reason: str | None = None,
) -> Done:
    """Let nothing new of the run start; what runs goes on, or is asked to end when `stop_running`.

    A step that ends because it was asked to starts again after `resume`, with the same arguments, and that was no try.
    What it completes nevertheless counts. A final run is left as it is.
    """
    status = lock_run(tx, run_id).status
    if RunStatus(status).is_final:
        return Done(status, False)
    is_new = status != RunStatus.PAUSED
    if is_new:
        hold_steps(tx, [run_id])
        tx.later("pause_run", run_id=run_id)
    asked = len(tx.all("ask_to_end", run_id=run_id)) if stop_running else 0
    if asked:
        tx.later("wake")  # workers look for what they are asked to end
    if is_new or asked:
        stopped: dict[str, Any] = {"stopped": asked} if stop_running else {}
        record_event(tx, now, "run.paused", run_id=run_id, **stopped, **said(actor, reason))
    return Done(RunStatus.PAUSED, is_new or asked > 0)


def resume_run(
    store: Store, tx: Transaction, run_id: str, now: datetime, *, actor: str | None = None, reason: str | None = None
) -> Done:
    """Go on exactly where the run was paused. A run that is not paused is left as it is."""
    status = lock_run(tx, run_id).status
    if status != RunStatus.PAUSED:
        return Done(status, False)
    status = unpause(tx, run_id, now)
    admit_after(store, tx, now, [run_id])
    record_event(tx, now, "run.resumed", run_id=run_id, **said(actor, reason))
    return Done(status, True)


def unpause(tx: Transaction, run_id: str, now: datetime) -> str:
    """Give a paused run its status and its steps their gates back; returns the status. The caller holds the lock."""
    status: str = tx.all("resume_run", run_id=run_id)[0][0]
    tx.later("free_steps", run_id=run_id, now=now)
    tx.later("wake")
    return status


def hold_paused(tx: Transaction, locked: Iterable[LockedRun]) -> None:
    """Gate what became ready in those of these runs that are paused, or wait for their admission."""
    hold_steps(tx, [run.id for run in locked if run.is_held])


def hold_steps(tx: Transaction, run_ids: Iterable[str]) -> None:
    """Gate what is ready in these runs; the caller holds their locks."""
    for run_id in sorted(run_ids):
        tx.later("hold_steps", run_id=run_id)
