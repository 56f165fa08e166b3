"""What the command line prints as JSON: `to_dict()` with the names that its documentation uses.

The namespace is left out. The command line adds it where it shows several.
"""

from __future__ import annotations

from typing import Any

from segue.engine.platforms import ExecutorInfo
from segue.engine.views.checkpoints import CheckpointInfo
from segue.engine.views.look import AttemptInfo, RunInfo, StepInfo, WorkerInfo
from segue.engine.views.queues import QueueInfo
from segue.engine.views.reason import Reason
from segue.engine.views.waiting import EventInfo, WaitInfo
from segue.jsonable import Jsonable
from segue.model import StepStatus


def run_record(run: RunInfo, counts: dict[StepStatus, int] | None = None) -> dict[str, Any]:
    """A run, with the number of its steps in each status if they were counted."""
    counted = {} if counts is None else {"counts": {status.value: count for status, count in counts.items()}}
    return _record(run) | counted


def step_record(step: StepInfo) -> dict[str, Any]:
    """A step with all its fields."""
    return _record(step)


def attempt_record(attempt: AttemptInfo) -> dict[str, Any]:
    """One attempt."""
    return _record(attempt)


def checkpoint_record(checkpoint: CheckpointInfo) -> dict[str, Any]:
    """What a task recorded inside its step; `value` is JSON in a text, which may be a reference to a payload."""
    return _record(checkpoint)


def worker_record(worker: WorkerInfo) -> dict[str, Any]:
    """A worker."""
    return _record(worker)


def queue_record(queue: QueueInfo) -> dict[str, Any]:
    """A queue."""
    return _record(queue)


def executor_record(executor: ExecutorInfo) -> dict[str, Any]:
    """An executor that is polled."""
    return _record(executor)


def wait_record(wait: WaitInfo) -> dict[str, Any]:
    """A step that waits for a message."""
    return _about_run(wait)


def event_record(event: EventInfo) -> dict[str, Any]:
    """An event that was recorded."""
    return _about_run(event)


def reason_record(reason: Reason) -> dict[str, Any]:
    """A reason why something does not continue."""
    return _record(reason)


def _record(value: Jsonable) -> dict[str, Any]:
    return {name: each for name, each in value.to_dict().items() if name != "namespace"}


def _about_run(value: Jsonable) -> dict[str, Any]:
    return {"run" if name == "run_id" else name: each for name, each in _record(value).items()}
