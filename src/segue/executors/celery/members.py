"""`self.add_to_chord(...)`: a task adds members to the header of the chord that it is in, while it runs.

The body waits for them as well, and gets their results behind the others (engine/extend.py). If the process dies and
the same try is made again, it adds nothing twice; a try after `self.retry()` adds again, as in Celery.
"""

from __future__ import annotations

from collections.abc import Callable
from hashlib import sha256
from typing import TYPE_CHECKING, Any

import msgspec
from msgspec import structs

from segue.engine.extend import extend
from segue.executors.celery.attempt import current_attempt
from segue.executors.celery.capture import captured
from segue.executors.celery.plans import plan_of_capture
from segue.executors.celery.reports import out_of_reach
from segue.executors.celery.standins import patiently
from segue.model import Attempt, Gather
from segue.observing.harmless_log import get_logger
from segue.plan.codec import steps_in
from segue.plan.graph import Plan

if TYPE_CHECKING:
    from segue.executors.celery.door import Door

logger = get_logger("segue.celery")


def add_to_chord_of(door: Door, member: Attempt, name: str, apply: Callable[[], Any]) -> Any:
    """Add what `apply` applies to the chord of a member that runs; returns its result object."""
    if door.is_in_worker:
        raise out_of_reach("self.add_to_chord")
    capture, result = captured(door.app, apply)
    plan = plan_of_capture(door, name, capture, result)
    if plan.result is None:
        return result
    plan = structs.replace(plan, result=Gather((plan.result,)))
    stored, key = door.values.of_plan(plan), _key(member, plan)
    found = patiently(lambda: door.engine.act(extend, member, stored, key=key))
    if found is None:
        logger.warning("%s was not added to its chord: the task that adds it has ended, or its run is ending", name)
    elif not found.is_new:
        return _result_of(door, member[0], found.base, plan)
    door.exchange([])
    return result


def _key(member: Attempt, plan: Plan) -> str:
    """What is added, and how often this attempt has added the same before. Ids differ from attempt to attempt."""
    what = [(node.task, node.args, node.parents, node.holes) for node in plan.nodes]
    digest = sha256(msgspec.json.encode(what)).hexdigest()[:32]
    attempt = current_attempt()
    if attempt is None or attempt.header.attempt != member:  # it is applied elsewhere: its ids are all that is known
        return str(plan.nodes[-1].handle)
    attempt.added[digest] += 1
    return f"{digest}:{attempt.added[digest]}"


def _result_of(door: Door, run_id: str, base: int, plan: Plan) -> Any:
    """The result object of what an attempt before this one has added."""
    [place] = list(steps_in(plan.result))[-1:] if plan.result is not None else [0]
    with door.engine.reading() as tx:
        [(_, _, _, _, handle, _)] = tx.all("step_of_executor", run_id=run_id, step=base + place)
    return door.app.AsyncResult(handle)
