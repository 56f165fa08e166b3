"""A step's message: an ordinary message of the user's task, with one header more."""

from __future__ import annotations

from typing import Any, NamedTuple

from celery import Celery

from segue.engine.dispatch import SentStep
from segue.executors.celery.capture import uncaptured
from segue.executors.celery.codec import decode_arguments
from segue.executors.celery.spec import DELAYED, KIN, OURS, options_of
from segue.model import Attempt

HEADER = "segue"


class StepHeader(NamedTuple):
    """What a message says of the step that it is of."""

    attempt: Attempt
    sent_at: float  # seconds since 1970, by the database's clock
    kin: tuple[int, ...] = ()  # how much stands in the task's request: see standins.py


def publish(app: Celery, step: SentStep) -> None:
    """Send the message of a step. Raises what Celery and kombu raise."""
    job = step.job
    spec = options_of(step.spec)
    options = {name: value for name, value in spec.items() if name not in OURS}
    if spec.get(DELAYED):
        options["eta"] = step.sent_at
    args, kwargs = decode_arguments(job.args, job.holes, job.values)
    headers = dict(options.pop("headers", None) or {})
    headers[HEADER] = [job.run_id, job.step, job.attempt, round(step.sent_at.timestamp(), 3)]
    if KIN in spec:
        headers[HEADER].append(spec[KIN]["counts"])
    _, _, task = job.task.partition(":")
    with uncaptured():
        app.send_task(task, args, kwargs, task_id=step.handle, headers=headers, add_to_parent=False, **options)


def header_of(request: Any) -> StepHeader | None:
    """The step that a task's request is of; None for a task that Segue did not send."""
    found = request.get(HEADER)
    if found is None:  # protocol 1 keeps the headers apart
        found = (request.get("headers") or {}).get(HEADER)
    if not isinstance(found, (list, tuple)) or len(found) < 4:
        return None
    run_id, step, attempt, sent_at = found[:4]
    return StepHeader((run_id, step, attempt), sent_at, tuple(found[4]) if len(found) > 4 else ())


def without_header(headers: Any) -> dict[str, Any]:
    """The headers that a message has besides Segue's."""
    return {name: value for name, value in (headers or {}).items() if name != HEADER}
