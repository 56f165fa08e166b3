"""Pausing and resuming runs.

Promise: after `pause` returns no step of the run starts, and `resume` continues exactly where it was paused.

A pause locks the run, sets its status and gates every ready step; a claim sees only steps without a gate. A claim that
is under way holds its rows, so the pause waits for it and finds those steps running. Steps that become ready while the
run is paused are gated in the same transaction: `finish` gates the steps that it releases, everything else (a retry, a
rescue, steps that a task added, hooks) calls `hold_paused` at its end, while it holds the run's lock.

What was sent to an executor is halted as well: see engine/halting.py.

Any run that is not final may be paused, also one that is ending: then its hooks wait, too. A `cancel` resumes it.
"""

from __future__ import annotations

from typing import Any

from segue.engine.act import Act
from segue.engine.acting import audit_detail
from segue.engine.audit import record_event
from segue.engine.halting import announce_halts
from segue.engine.limiting.admission import admit_after
from segue.engine.locking import hold_steps, lock_run
from segue.engine.unfinished import refuse_unfinished
from segue.engine.verbs import Done
from segue.model import RunStatus


def pause_run(
    act: Act,
    run_id: str,
    *,
    stop_running: bool = False,
    actor: str | None = None,
    reason: str | None = None,
) -> Done:
    """Start no step of the run from now on; running steps continue, or are asked to end with `stop_running`.

    A step that ends because it was asked to starts again after `resume`, with the same arguments; this does not count
    as a try. If it completes nevertheless, that counts. A final run is left as it is.
    """
    status = lock_run(act.tx, run_id).status
    if status == RunStatus.PENDING:  # it may be a fork that is only half-written
        refuse_unfinished(act.tx, run_id)
    if RunStatus(status).is_final:
        return Done(status, False)
    is_new = status != RunStatus.PAUSED
    if is_new:
        hold_steps(act.tx, [run_id])
        act.tx.later("pause_run", run_id=run_id)
    asked = len(act.tx.all("ask_to_end", run_id=run_id)) if stop_running else 0
    if asked:
        act.tx.later("wake")  # workers check which steps they must end
    if is_new or asked:
        stopped: dict[str, Any] = {"stopped": asked} if stop_running else {}
        record_event(act, "run.paused", run_id=run_id, **stopped, **audit_detail(actor, reason))
    announce_halts(act, run_id)
    return Done(RunStatus.PAUSED, is_new or asked > 0)


def resume_run(act: Act, run_id: str, *, actor: str | None = None, reason: str | None = None) -> Done:
    """Continue exactly where the run was paused. A run that is not paused is left as it is."""
    status = lock_run(act.tx, run_id).status
    if status != RunStatus.PAUSED:
        return Done(status, False)
    status = unpause(act, run_id)
    admit_after(act, [run_id])
    record_event(act, "run.resumed", run_id=run_id, **audit_detail(actor, reason))
    return Done(status, True)


def unpause(act: Act, run_id: str) -> str:
    """Restore the status of a paused run and the gates of its steps. Returns the status. The caller holds the lock."""
    status: str = act.tx.all("resume_run", run_id=run_id)[0][0]
    act.tx.later("free_steps", run_id=run_id, now=act.now)
    act.tx.later("wake")
    return status
