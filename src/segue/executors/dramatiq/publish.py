"""A step's message: an ordinary message of the user's actor, with one option more."""

from __future__ import annotations

import time
from collections.abc import Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

from dramatiq import Message

from segue.attempt.outcomes import describe
from segue.authoring.filling import Fetch, value_of
from segue.engine.dispatch import SentStep
from segue.errors import PayloadUnavailableError
from segue.executors.dramatiq import spec
from segue.model import Attempt, Job, Outcome, Verdict
from segue.observing.harmless_log import get_logger
from segue.plan.codec import decode_holes, evaluate
from segue.plan.frames import has_frame

if TYPE_CHECKING:
    from segue.executors.dramatiq.door import Door

logger = get_logger("segue.dramatiq")

HIGHEST = 9


class Publisher:
    """Sends messages of steps through the broker of a door."""

    def __init__(self, door: Door) -> None:
        self._door = door

    def send(self, steps: Sequence[SentStep]) -> list[Outcome]:
        """Send the messages of these steps. Returns the outcomes of those that need none, or can never be sent.

        When the broker is away, the rest is not sent: those steps are sent again when they are overdue.
        """
        refused: list[Outcome] = []
        broker = self._door.broker
        for step in steps:
            if _is_pause(step):
                refused.append(Outcome(step.job.run_id, step.job.step, step.job.attempt, Verdict.SUCCEEDED, "null"))
                continue
            if broker is None:
                logger.warning("%s is not sent from here: its broker is not known yet", step.job.name)
                continue
            try:
                message = message_of(step, self._door.name, self._door.values.fetch)
            except PayloadUnavailableError as error:
                logger.warning("%s could not be sent: %s. It is sent again.", step.job.name, error)
                continue
            except Exception as error:  # noqa: BLE001 - a value that the encoder of the project cannot read, a payload
                refused.append(_refused(step, error))
                continue
            try:
                _prioritise(message, step.priority, broker)
                broker.enqueue(message)
            except Exception as error:  # noqa: BLE001 - the broker is away, or refuses it
                wrong = _fault_of(message)
                if wrong is None:
                    logger.warning("%s could not be sent: %s. It is sent again.", step.job.name, error)
                    return refused
                refused.append(_refused(step, wrong))
        return refused


def message_of(step: SentStep, executor: str, fetch: Fetch) -> Message[Any]:
    """The message of a step. Raises SerializationError, PayloadError, and what the encoder of the project raises."""
    job = step.job
    found = spec.read(step.spec)
    args, kwargs = _arguments(job, fetch)
    options = found.options
    if found.encoded is not None:
        values = spec.decoded(found.encoded)
        args, kwargs = [*values["args"], *args], {**values["kwargs"], **kwargs}
        options = values["options"]
    options = dict(options)
    retries = job.failures - found.unknown
    options.pop("retries", None)
    if retries > 0:
        options["retries"] = retries
    options[spec.FENCE] = [job.run_id, job.step, job.attempt, *([1] if step.holds_places else [])]
    queue = step.queue.removeprefix(f"@{executor}:")
    more = {} if step.handle is None else {"message_id": step.handle}
    return Message(
        queue_name=queue, actor_name=job.task.partition(":")[2], args=tuple(args), kwargs=kwargs, options=options,
        message_timestamp=int(time.time() * 1000), **more,
    )  # fmt: skip


def _arguments(job: Job, fetch: Fetch) -> tuple[list[Any], dict[str, Any]]:
    """The arguments, with the results that go into them."""
    found: Any = spec.read_json(job.args, fetch)
    is_plain = not any(map(has_frame, job.values.values()))  # then all that goes into a place is read at once
    for hole in decode_holes(job.holes):
        place = found
        for key in hole.where[:-1]:
            place = place[key]
        what = hole.what
        place[hole.where[-1]] = (
            spec.read_json(evaluate(what, job.values))
            if is_plain
            else value_of(what, job.values, partial(spec.read_json, fetch=fetch))
        )
    args, kwargs = found
    return args, kwargs


def _prioritise(message: Message[Any], priority: int, broker: Any) -> None:
    """Give a message the priority of its step, 0 to 9, where the queues of the broker have priorities.

    Messages that came with one keep theirs.
    """
    most = getattr(broker, "max_priority", None)
    if most and priority:
        message.options.setdefault("broker_priority", priority if most >= HIGHEST else round(priority * most / HIGHEST))


def _is_pause(step: SentStep) -> bool:
    return step.spec is not None and "is_pause" in step.spec and spec.read(step.spec).is_pause


def _fault_of(message: Message[Any]) -> Exception | None:
    """Why a message can never be sent."""
    try:
        message.encode()
    except Exception as error:  # noqa: BLE001 - the encoder of the project
        return error
    return None


def _refused(step: SentStep, error: Exception) -> Outcome:
    job = step.job
    return Outcome(job.run_id, job.step, job.attempt, Verdict.FAILED, error=describe(error), retryable=False)


def fence_of(message: Any) -> tuple[Attempt, bool] | None:
    """The attempt that a message is of, and whether it holds places of limits. None for one that is not Segue's."""
    found = message.options.get(spec.FENCE)
    if not isinstance(found, (list, tuple)) or len(found) < 3:
        return None
    run_id, step, attempt, *more = found
    return (str(run_id), int(step), int(attempt)), bool(more and more[0])
