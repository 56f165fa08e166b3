"""Messages to runs: each is taken by one step that waits for its name, or kept until one does.

Promises: one message for each (run, name, key), however often it is sent, also when it was taken or the run ended
meanwhile. Messages of one name are taken in the order of sending, by the step that has waited for the longest.
"""

from __future__ import annotations

from datetime import datetime

import msgspec

from segue.engine.events import record_event
from segue.engine.locking import lock_run
from segue.engine.pausing import hold_paused
from segue.engine.settle import Settler
from segue.engine.waits import WAIT_ALARM, received
from segue.errors import RunStateError
from segue.model import RunStatus
from segue.store.protocol import Store, Transaction


class Sent(msgspec.Struct, frozen=True):
    """What became of a message. `step` is the name of the step that took it; None: it is kept for one that will."""

    run_id: str
    name: str
    step: str | None
    is_new: bool  # False: one of this name and key was sent before, so nothing was done


def send_message(
    store: Store, tx: Transaction, run_id: str, now: datetime, *, name: str, value: str, key: str,
    shows_key: bool = True,
) -> Sent:  # fmt: skip
    """Send `value` (JSON) to the run under a name. Raises RunNotFoundError, and RunStateError when it is final.

    The same name and key once more changes nothing, so that a sending whose answer was lost may be repeated. A key that
    was made up for that only is not written down (`shows_key`).
    """
    run = lock_run(tx, run_id)
    before = _sent_before(tx, run_id, name, key)
    if before is not None:
        return before
    if RunStatus(run.status).is_final:
        raise RunStateError(
            f"{name!r} was sent to run {run_id}, which {run.status}: nothing in it waits any more. "
            "Look at it with `segue show`; a new run must be sent its own messages."
        )
    waiting = tx.all("step_waiting", run_id=run_id, name=name)
    step, attempt, step_name = waiting[0] if waiting else (None, 0, None)
    tx.later("put_message", run_id=run_id, name=name, key=key, value=value, sent_at=now, taken_by=step)
    detail = {"name": name} | ({"key": key} if shows_key else {})
    record_event(tx, now, "run.sent", run_id=run_id, step=step, **detail)
    if step is not None:
        tx.later("drop_alarm", run_id=run_id, step=step, kind=WAIT_ALARM)
        Settler(store, tx, now).settle([received(run_id, step, attempt, value)])
        hold_paused(tx, [run])
        tx.later("wake")
    return Sent(run_id, name, step_name, is_new=True)


def _sent_before(tx: Transaction, run_id: str, name: str, key: str) -> Sent | None:
    found = tx.all("find_message", run_id=run_id, name=name, key=key)
    if not found:
        return None
    names = tx.all("step_name", run_id=run_id, step=found[0][0]) if found[0][0] is not None else []
    return Sent(run_id, name, names[0][0] if names else None, is_new=False)
