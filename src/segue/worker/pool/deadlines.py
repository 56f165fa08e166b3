"""When a child of the process pool needs attention even if it sends nothing. Pure."""

from __future__ import annotations

import math

from segue.worker.pool.slot import Slot
from segue.worker.pool.window import LONG_SECONDS


def next_alarm(slot: Slot) -> float:
    """When this child needs attention: to be killed, ended at its timeout, or relieved of jobs behind a long one.

    For a slot without a child: when it is to get one.
    """
    if not slot.is_open:
        return slot.reopen_at
    if slot.ending is not None:
        return slot.kill_at if slot.kill_at and slot.pid else math.inf
    if not slot.queue:
        return math.inf
    timeout = slot.queue[0].timeout
    alarm = slot.head_since + timeout if timeout is not None and slot.pid else math.inf
    return min(alarm, slot.head_since + LONG_SECONDS) if len(slot.queue) > 1 else alarm


def is_to_be_killed(slot: Slot, now: float) -> bool:
    """Whether it failed to end its attempt in time. A child that is not born yet is killed later."""
    return bool(slot.kill_at and now >= slot.kill_at and slot.pid)


def holds_up_others(slot: Slot, now: float) -> bool:
    """Whether jobs wait behind a long one."""
    return len(slot.queue) > 1 and now - slot.head_since > LONG_SECONDS


def has_timed_out(slot: Slot, now: float) -> bool:
    """Whether its current job has run longer than allowed."""
    timeout = slot.queue[0].timeout if slot.queue else None
    return timeout is not None and bool(slot.pid) and now - slot.head_since >= timeout
