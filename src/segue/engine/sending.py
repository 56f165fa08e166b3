"""Messages to runs: each is taken by one step that waits for its name, or kept until a step does.

Promises: one message for each (run, name, key), however often it is sent, also if it was taken or the run ended
meanwhile. Messages of one name are taken in the order in which they were sent, by the step that has waited longest.
"""

from __future__ import annotations

import msgspec

from segue.engine.act import Act
from segue.engine.audit import record_event
from segue.engine.checkpoints import Waiting, give_message, waiting_for
from segue.engine.locking import hold_paused, lock_run
from segue.engine.payload_uses import use_text
from segue.engine.propagate import Propagation
from segue.engine.stored import known_moment
from segue.engine.waits import WAIT_ALARM, received
from segue.errors import RunStateError
from segue.jsonable import Jsonable
from segue.model import RunStatus
from segue.store.protocol import Transaction


class Sent(Jsonable, msgspec.Struct, frozen=True):
    """The effect of a message. `step` is the name of the step that took it; None: it is kept until a step does."""

    run_id: str
    name: str
    step: str | None
    is_new: bool  # False: one of this name and key was sent before, so nothing was changed


def send_message(
    act: Act, run_id: str, *, name: str, value: str, key: str,
    shows_key: bool = True,
) -> Sent:  # fmt: skip
    """Send `value` (JSON) to the run under a name. Raises RunNotFoundError, and RunStateError if the run is final.

    Sending the same name and key again changes nothing, so a call whose answer was lost may be repeated. A key that was
    generated only for that is not recorded (`shows_key`).
    """
    run = lock_run(act.tx, run_id)
    before = _sent_before(act.tx, run_id, name, key)
    if before is not None:
        return before
    if RunStatus(run.status).is_final:
        raise RunStateError(
            f"{name!r} was sent to run {run_id}, which {run.status}: no step in it waits any more. "
            "Look at it with `segue show`; a new run must be sent its own messages."
        )
    step, attempt, step_name, inside = _taker(act.tx, run_id, name)
    use_text(act, run_id, value)
    act.tx.later("put_message", run_id=run_id, name=name, key=key, value=value, sent_at=act.now, taken_by=step)
    detail = {"name": name} | ({"key": key} if shows_key else {})
    record_event(act, "run.sent", run_id=run_id, step=step, **detail)
    if inside is not None:
        give_message(act, run_id, inside, value)
        act.tx.later("wake")
    elif step is not None:
        act.tx.later("drop_alarm", run_id=run_id, step=step, kind=WAIT_ALARM)
        Propagation(act).run([received(run_id, step, attempt, value)])
        hold_paused(act.tx, [run])
        act.tx.later("wake")
    return Sent(run_id, name, step_name, is_new=True)


def _taker(tx: Transaction, run_id: str, name: str) -> tuple[int | None, int, str | None, Waiting | None]:
    """The step that takes the message: that has waited longest, as a step or inside its task."""
    inside = waiting_for(tx, run_id, name)
    for step, attempt, step_name, since in tx.all("step_waiting", run_id=run_id, name=name):
        if inside is None or known_moment(tx, since) <= inside.since:
            return step, attempt, step_name, None
    return (None, 0, None, None) if inside is None else (inside.step, 0, inside.step_name, inside)


def _sent_before(tx: Transaction, run_id: str, name: str, key: str) -> Sent | None:
    found = tx.all("find_message", run_id=run_id, name=name, key=key)
    if not found:
        return None
    [(step,)] = found
    names = tx.all("step_name", run_id=run_id, step=step) if step is not None else []
    return Sent(run_id, name, names[0][0] if names else None, is_new=False)
