"""The steps of a run that say how it goes: those that run, were sent, are ready or have failed. Reads only.

Promise: one statement, which reads a bounded number of steps of each status.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from segue.engine.views.look import StepInfo, step_of_row
from segue.model import StepStatus
from segue.store.protocol import Transaction

STEPS_LOOKED_AT = 200
"""Steps of each status, at most."""

NONE = 2**31 - 1
"""There is no step from this number on."""

ASKED = (StepStatus.RUNNING, StepStatus.SENT, StepStatus.READY, StepStatus.FAILED)


class ActiveSteps(NamedTuple):
    """The first steps of each status, in order, and the lanes of those that are ready."""

    running: list[StepInfo]
    sent: list[StepInfo]
    ready: list[StepInfo]
    failed: list[StepInfo]
    lanes: dict[int, str | None]


def active_steps(
    tx: Transaction, run_id: str, *, first: Mapping[StepStatus, int] | None = None, failed: int = 0
) -> ActiveSteps:  # fmt: skip
    """Its active steps, and the first `failed` of those that failed.

    `first` has the number of the first step in each status, if that is known: then nothing before it is read, and
    nothing of a status that is not there.
    """
    begin = {status.value: 0 if first is None else first.get(status, NONE) for status in ASKED}
    found: dict[StepStatus, list[StepInfo]] = {status: [] for status in ASKED}
    lanes = {}
    rows = tx.all("active_steps", run_id=run_id, limit=STEPS_LOOKED_AT, most_failed=failed, **begin)
    for lane, *row in rows:
        step = step_of_row(tx, row)
        found[step.status].append(step)
        if step.status is StepStatus.READY:
            lanes[step.step] = lane
    running, sent, ready, failures = found.values()
    return ActiveSteps(running, sent, ready, failures, lanes)
