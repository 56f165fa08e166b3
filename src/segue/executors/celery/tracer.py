"""The tracer of every task of the app, wrapped: the one place that sees each way in which a body can end.

Celery assigns `task.__trace__` in three places, some of them late; a data descriptor on the task's own class wraps
whatever is assigned. Tasks that Segue did not send pay one look-up.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from billiard.einfo import ExceptionInfo
from celery import states
from celery.app.task import Context
from celery.app.trace import trace_ok_t

from segue.attempt.around import attached_to
from segue.authoring.context import Cancelled, use
from segue.engine.backoff import longer_wait
from segue.errors import PASSING_ERRORS, SerializationError
from segue.executors.celery.attempt import REPORT_PATIENCE_SECONDS, RunningAttempt, running
from segue.executors.celery.codec import encode_result, loads
from segue.executors.celery.context import context_of
from segue.executors.celery.door import find_door
from segue.executors.celery.publish import StepHeader, header_of
from segue.observing.harmless_log import get_logger

if TYPE_CHECKING:
    from segue.executors.celery.door import Door

logger = get_logger("segue.celery")

_LONGEST_WAIT_SECONDS = 5.0

_Tracer = Callable[..., Any]


class TracerSlot:
    """`__trace__` of a task's class: what is assigned is wrapped, and kept for each task object."""

    def __init__(self, door: Door) -> None:
        self._door = door

    def __get__(self, task: Any, owner: Any = None) -> Any:
        return None if task is None else task.__dict__.get("__trace__")

    def __set__(self, task: Any, tracer: _Tracer | None) -> None:
        door = find_door(task.app) or self._door  # apps may share a class of tasks
        task.__dict__["__trace__"] = None if tracer is None else wrapped(door, tracer)


def wrapped(door: Door, tracer: _Tracer) -> _Tracer:
    """A tracer that records the attempts of Segue's steps, too."""

    def trace(uuid: str, args: Any, kwargs: Any, request: Any = None) -> Any:
        header = header_of(request or {})
        if header is None:
            return tracer(uuid, args, kwargs, request)
        if door.halts.stops(header.attempt):
            return trace_ok_t(None, None, 0.0, "its run is paused or being ended")
        if not _may_begin(door, header, request):
            _store_recorded(door, header, uuid, request)
            return trace_ok_t(None, None, 0.0, "refused: another delivery of this task has its attempt")
        with running(RunningAttempt(door, header, uuid)) as attempt, attached_to(context_of(attempt, request)):
            if attempt.relatives is not None:
                request = attempt.relatives.put_into(request)
            try:
                with use(context_of(attempt, request)):
                    traced = tracer(uuid, args, kwargs, request)
            except Cancelled:  # raised by `segue.progress`
                attempt.cancelled()
                return trace_ok_t(None, None, 0.0, "it ended because it was asked to")
            except (SystemExit, KeyboardInterrupt) as exc:
                if not door.is_prefork:
                    attempt.failed(exc)
                raise
            _record_rest(attempt, traced)
            return traced

    return trace


def _may_begin(door: Door, header: StepHeader, request: Any) -> bool:
    """Whether the task may run. The database is asked, if need be for as long as an end would be reported, too.

    If it is away for longer, the task does not run, and its message is sent again. To Celery, an error here would be a
    failure of the task.
    """
    end, wait = time.monotonic() + REPORT_PATIENCE_SECONDS, 0.0
    while True:
        try:
            return not door.asks_before(header, request) or door.desk.may_begin(header)
        except PASSING_ERRORS as error:
            if time.monotonic() >= end:
                logger.error("%s is not begun, because the database cannot be asked: %s", header, error)
                return False
            wait = longer_wait(wait, first_seconds=0.1, longest_seconds=_LONGEST_WAIT_SECONDS)
            time.sleep(wait)


def _store_recorded(door: Door, header: StepHeader, uuid: str, request: Any) -> None:
    """Store the result of a delivery before this one, if its process died when it was recorded but not stored."""
    try:
        result = RunningAttempt(door, header, uuid).result_before_death()
        if result is not None and not request.get("ignore_result"):
            backend = door.app.backend
            if backend.get_state(uuid) not in states.READY_STATES:
                backend.mark_as_done(uuid, loads(result, door.values.fetch), Context(request))
    except Exception as error:  # noqa: BLE001 - the database or the backend is away
        logger.warning("The result of %s, which is recorded, cannot be stored: %s", uuid, error)


def _record_rest(attempt: RunningAttempt, traced: Any) -> None:
    """Record what Celery's own calls of the result backend have not recorded yet."""
    if attempt.is_recorded:
        return
    result, info = traced[0], traced[1]
    if info is None and isinstance(result, ExceptionInfo):  # Celery's own error, before or after the task
        attempt.failed(getattr(result.exception, "exc", result.exception))
        attempt.follow_failure(result.exception)
        return
    if info is None:
        try:
            attempt.succeeded(encode_result(result))
        except SerializationError as error:
            attempt.failed(error)
        return
    if info.state == states.FAILURE:
        attempt.failed(info.retval)
        attempt.follow_failure(info.retval)
    elif attempt.replacement is not None:
        attempt.replaced(attempt.replacement)
    elif info.state == states.IGNORED:
        attempt.skipped(info.retval)
    elif info.state == states.RETRY:
        attempt.retried(info.retval)
    elif info.state == states.REJECTED and not getattr(info.retval, "requeue", False):
        attempt.failed(info.retval)
    elif info.state == states.REJECTED:
        attempt.given_back()
