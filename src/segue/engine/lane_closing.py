"""Closes the lane of a step whose limits, or turn, depend on results: they are there when its parents let it start.

Until then such a step is passed like a join: no worker sees it before its lane is known.
"""

from __future__ import annotations

from datetime import datetime

import msgspec

from segue.engine.resolve import load
from segue.engine.rows import due_at
from segue.engine.waits import Begun, Failing
from segue.errors import SerializationError
from segue.model import ErrorInfo, Gate, StepStatus
from segue.plan.lanes import close, needed_steps
from segue.store.protocol import Finish, Store, Transaction


def close_lane(store: Store, tx: Transaction, run_id: str, step: int, lane: str, now: datetime) -> Begun | None:
    """Make the step ready, in its lane. None when that is done; what is to be finished when no key can be made.

    The caller holds the run's lock, and sees to it that nothing starts in a run that is paused.
    """
    name, hook, may_fail, fails_fast, delay, not_before, attempt = tx.all("lane_to_close", run_id=run_id, step=step)[0]
    try:
        closed = close(lane, load(tx, run_id, needed_steps(lane)))
    except SerializationError as error:
        info = ErrorInfo("SerializationError", f"the key of its limit, or turn, cannot be told: {error}")
        text = msgspec.json.encode(info).decode()
        finish = Finish(run_id, step, attempt, StepStatus.BLOCKED, StepStatus.FAILED, None, text)
        ends_run = fails_fast and hook is None and not may_fail
        return Begun([finish], [Failing(run_id, name, info)] if ends_run else [])
    due = due_at(now, delay, store.datetime(not_before))
    gate = Gate.TIMER if due > now else Gate.LIMIT
    tx.all("close_lane", run_id=run_id, step=step, lane=closed, ready_at=due, gate=gate)
    return None
