"""The last resort for a run whose rows cannot be processed: it ends as failed, regardless of its rows.

Ending a run in order reads its rows: which steps wait for a step, which hooks are called. If these are damaged, every
attempt to end it fails, forever. Here only statuses are written: the step that caused the error fails, all unfinished
steps are cancelled, no hook runs. After the rows are repaired, `retry` can continue the run.
"""

from __future__ import annotations

import msgspec

from segue.engine.act import Act
from segue.engine.locking import lock_runs, lock_within_a_moment
from segue.engine.notes import note_run_end
from segue.model import RUN, ErrorInfo, FailureInfo, RunStatus

_encode = msgspec.json.Encoder().encode


def break_run(act: Act, run_id: str, step: int, error: ErrorInfo) -> bool:
    """End the run as failed because of this step (RUN: because of the run itself). False if it is final or gone.

    Raises StoreBusyError if another transaction holds the run.
    """
    lock_within_a_moment(act.tx, run_id)
    locked = lock_runs(act.tx, [run_id])
    if not locked or RunStatus(locked[0].status).is_final:
        return False
    names = act.tx.all("step_name", run_id=run_id, step=step) if step != RUN else []
    failure = _encode(FailureInfo(str(names[0][0]) if names else "(run)", error.type, error.message)).decode()
    act.tx.all("break_steps", run_id=run_id, step=step, error=_encode(error).decode(), now=act.now)
    act.tx.all("break_run", run_id=run_id, error=failure, now=act.now)
    act.tx.all("drop_debounce", run_id=run_id)
    note_run_end(act, run_id, RunStatus.FAILED, failure)
    return True
