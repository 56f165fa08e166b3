"""Closes the lane of a step whose limits or fair share depend on results, which exist when its parents let it start.

Until then such a step is passed like a join: no worker sees it before its lane is known.
"""

from __future__ import annotations

import msgspec

from segue.engine.act import Act
from segue.engine.at_hand import with_payloads
from segue.engine.resolve import load
from segue.engine.rows import due_at
from segue.engine.stored import moment_of
from segue.engine.waits import Begun, Failing
from segue.errors import SerializationError
from segue.model import ErrorInfo, Gate, StepStatus
from segue.plan.codec import UNREADABLE
from segue.plan.lanes import close, needed_steps
from segue.store.protocol import Finish


def close_lane(act: Act, run_id: str, step: int, lane: str) -> Begun | None:
    """Make the step ready, in its lane. None if that succeeded; the steps to finish if no key can be computed.

    The caller holds the run's lock, and makes sure that nothing starts in a run that is paused.
    """
    name, hook, may_fail, fails_fast, delay, not_before, attempt = act.tx.all(
        "lane_to_close", run_id=run_id, step=step
    )[0]
    try:
        needed = needed_steps(lane)
        closed = close(lane, with_payloads(load(act.tx, run_id, needed).of(needed)))
    except (SerializationError, *UNREADABLE) as error:
        kind = type(error) if isinstance(error, SerializationError) else SerializationError
        info = ErrorInfo(kind.__name__, f"the key of its limit or fair share cannot be computed: {error}")
        text = msgspec.json.encode(info).decode()
        finish = Finish(run_id, step, attempt, StepStatus.BLOCKED, StepStatus.FAILED, None, text)
        ends_run = fails_fast and hook is None and not may_fail
        return Begun([finish], [Failing(run_id, name, info)] if ends_run else [])
    due = due_at(act.now, delay, moment_of(act.tx, not_before))
    gate = Gate.TIMER if due > act.now else Gate.LIMIT
    act.tx.all("close_lane", run_id=run_id, step=step, lane=closed, ready_at=due, gate=gate)
    return None
