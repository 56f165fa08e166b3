"""How an attempt ended, as it is written down: its result, or its error, or the retry that follows."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

from segue.attempt.outcomes import RESULT_LIMIT_BYTES, describe, returned
from segue.authoring.planning import is_plan
from segue.engine.backoff import longer_wait
from segue.errors import PASSING_ERRORS, ResultTooLargeError, SerializationError
from segue.executors.dramatiq import spec
from segue.executors.dramatiq.classify import Meaning
from segue.executors.dramatiq.reports import Report
from segue.model import Attempt, Outcome, Verdict
from segue.observing.harmless_log import get_logger

if TYPE_CHECKING:
    from segue.executors.dramatiq.attempt import RunningAttempt
    from segue.executors.dramatiq.door import Door

logger = get_logger("segue.dramatiq")

_LONGEST_WAIT_SECONDS = 5.0


def outcome_of(running: RunningAttempt, meaning: Meaning) -> Outcome:
    """The outcome of an attempt. A result that cannot be stored fails its step if another step takes it."""
    attempt, seconds = running.attempt, running.seconds
    if meaning.verdict != Verdict.SUCCEEDED:
        return Outcome(*attempt, meaning.verdict, error=meaning.error, retryable=False, seconds=seconds)
    if is_plan(running.result):
        outcome = returned(
            attempt, running.result, task_name=str(running.message.actor_name),
            payloads=running.desk.door.values.payloads,
        )  # fmt: skip
        outcome.seconds, outcome.retryable = seconds, False
        return outcome
    try:
        text = running.desk.door.values.of_result(spec.write_result(running.result))
        if len(text) > RESULT_LIMIT_BYTES:
            raise ResultTooLargeError(
                f"the result is {len(text):,} bytes of JSON, and may be {RESULT_LIMIT_BYTES:,}. "
                "Give Segue a payload store, or store it elsewhere and return its location"
            )
    except (SerializationError, ResultTooLargeError) as error:
        if is_needed_as_far_as_known(running.desk.door, attempt):
            return Outcome(*attempt, Verdict.FAILED, error=describe(error), retryable=False, seconds=seconds)
        logger.warning("The result of %s is not kept: %s", running.message.actor_name, error)
        text = "null"
    return Outcome(*attempt, Verdict.SUCCEEDED, result=text, seconds=seconds)


def report_of(outcome: Outcome, message: Any, meaning: Meaning, *, holds_places: bool) -> Report:
    """What is handed to the desk. A retry keeps what became of the message's options."""
    return Report(
        (outcome.run_id, outcome.step, outcome.attempt), outcome, holds_places=holds_places,
        again_seconds=meaning.again_seconds, options=message.options, is_unknown=meaning.is_unknown,
    )  # fmt: skip


def times_unknown(door: Door, attempt: Attempt) -> int:
    """How often the message of a step has come to a process that does not know its actor."""
    run_id, step, _ = attempt
    with door.engine.reading() as tx:
        rows = tx.all("step_of_executor", run_id=run_id, step=step)
    if not rows:
        return 0
    _, _, _, text, _, _ = rows[0]
    return spec.read(text).unknown


def is_needed_as_far_as_known(door: Door, attempt: Attempt) -> bool:
    """Whether another step takes the result; yes, if the database does not say so for a while."""
    wait = 0.0
    while wait < _LONGEST_WAIT_SECONDS:
        try:
            return _is_needed(door, attempt)
        except PASSING_ERRORS:
            wait = longer_wait(wait, first_seconds=0.1, longest_seconds=_LONGEST_WAIT_SECONDS)
            time.sleep(wait)
    return True


def _is_needed(door: Door, attempt: Attempt) -> bool:
    """Whether another step takes the result: one behind it has places to be filled, or only gathers results."""
    run_id, step, _ = attempt
    with door.engine.reading() as tx:
        children = [
            child
            for _, _, _, _, _, found in tx.all("step_of_executor", run_id=run_id, step=step)
            for child in tx.integers(found)
            if child >= 0
        ]
        for child in children:
            for task, _, holes, _, _, _ in tx.all("step_of_executor", run_id=run_id, step=child):
                if task is None or holes is not None:
                    return True
    return False
