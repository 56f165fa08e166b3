"""`schedule_to_start` of steps at executors that are polled: what has not begun in time is ended outside, and fails.

not submitted   it is withdrawn at once
outside         the dispatcher asks the platform to end it, and records its end as a failure, unless it begins first
"""

from __future__ import annotations

from enum import StrEnum

from segue.engine.act import Act
from segue.engine.executing import recall_steps
from segue.model import Attempt

SCHEDULE_TO_START_TIMEOUT = "ScheduleToStartTimeout"


class Late(StrEnum):
    """What came of a push that should have begun."""

    WITHDRAWN = "withdrawn"  # nothing of it is outside: its step is ready, and may fail
    IS_ENDED = "is ended"  # from now on, by the dispatcher
    AS_IT_WAS = "as it was"  # there is none, or it has begun, or is ended already


def end_late(act: Act, attempt: Attempt) -> Late:
    """End the push of an attempt that was sent and has not begun in time. The caller holds the lock of the run."""
    run_id, step, number = attempt
    rows = act.tx.all("open_push_of", run_id=run_id, step=step, attempt=number)
    if not rows:
        return Late.AS_IT_WAS
    [(push_id,)] = rows
    if act.tx.all("withdraw_push", id=push_id, now=act.now):
        recall_steps(act, [attempt])
        return Late.WITHDRAWN
    is_noted = act.tx.all("note_late", id=push_id, now=act.now)
    return Late.IS_ENDED if is_noted else Late.AS_IT_WAS
