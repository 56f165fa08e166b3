"""Operations of people on a run. Each verb is one transaction, and may be applied twice."""

from __future__ import annotations

from segue.engine.act import Act
from segue.engine.acting import audit_detail
from segue.engine.audit import record_event
from segue.engine.ending import end_early
from segue.engine.locking import lock_run
from segue.engine.pausing import pause_run, resume_run, unpause
from segue.engine.propagate import Propagation
from segue.engine.unfinished import refuse_unfinished
from segue.engine.verbs import Done, Verb
from segue.model import RunStatus

__all__ = ["Done", "Verb", "cancel_run", "pause_run", "resume_run"]


def cancel_run(act: Act, run_id: str, *, actor: str | None = None, reason: str | None = None) -> Done:
    """End a run: steps that have not begun are cancelled now, running steps are asked to end, finalizers still run.

    A run that is final, or that is ending already, is left as it is; but a paused one always continues, to its end.
    """
    status = lock_run(act.tx, run_id).status
    if status == RunStatus.PENDING:  # it may be a fork that is only half-written
        refuse_unfinished(act.tx, run_id)
    was_paused = status == RunStatus.PAUSED
    if was_paused:
        unpause(act, run_id)
    ends_early = end_early(act, run_id, RunStatus.CANCELLED)
    if ends_early:
        Propagation(act).run([], ending=[run_id])
        act.tx.later("wake")  # workers check which steps they must end
    if ends_early or was_paused:
        kind = "run.cancel_requested" if ends_early else "run.resumed"  # it is run.cancelled when it has ended
        record_event(act, kind, run_id=run_id, **audit_detail(actor, reason))
    return Done(act.tx.all("run_status", run_id=run_id)[0][0], ends_early or was_paused)
