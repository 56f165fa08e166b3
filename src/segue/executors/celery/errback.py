"""Error callbacks that want the exception itself: `def on_error(request, exc, traceback)`.

Celery calls them in the process where the task failed. The step of one makes it durable: if that process dies before
the callback ended, a node calls it, with what the result backend keeps of the request and the exception.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any, NamedTuple

from celery.app.task import Context
from celery.exceptions import ChordError

from segue.attempt.outcomes import describe
from segue.executors.celery.calls import IMMUTABLE
from segue.executors.celery.codec import decode_arguments
from segue.executors.celery.spec import has
from segue.executors.celery.stored import stored_result
from segue.model import Outcome, Verdict

if TYPE_CHECKING:
    from segue.engine.dispatch import SentStep
    from segue.executors.celery.door import Door


class Failure(NamedTuple):
    """What a task failed with, in the process where it did."""

    task_id: str
    request: Any
    exception: BaseException
    traceback: Any


def call_errback(door: Door, step: SentStep, failure: Failure | None) -> Outcome:
    """Call an error callback here and now; returns what came of it."""
    job, begun = step.job, time.monotonic()
    attempt = (job.run_id, job.step, job.attempt)
    try:
        (task_id, *args), kwargs = decode_arguments(job.args, job.holes, job.values, door.values.fetch)
        if failure is None or failure.task_id != task_id:
            failure = _rebuilt(door, task_id, failure)
        _, _, name = job.task.partition(":")
        given = () if has(step.spec, IMMUTABLE) else failure[1:]
        door.app.tasks[name](*given, *args, **kwargs)
    except Exception as error:  # noqa: BLE001 - it is the user's
        return Outcome(*attempt, Verdict.FAILED, error=describe(error), retryable=False)
    return Outcome(*attempt, Verdict.SUCCEEDED, result="null", seconds=time.monotonic() - begun)


def _rebuilt(door: Door, task_id: str, failure: Failure | None) -> Failure:
    """The failure of another task than the one that failed here: a chord's, or one that another process recorded."""
    found: object = stored_result(door.app, task_id)
    exception = found if isinstance(found, BaseException) else None
    if exception is None:
        exception = ChordError("a task of the header failed") if failure is None else ChordError(
            f"Dependency {failure.task_id} raised {failure.exception!r}"
        )  # fmt: skip
    return Failure(task_id, Context(id=task_id, errbacks=[], delivery_info={}), exception, None)
