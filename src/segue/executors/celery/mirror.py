"""Results of steps that never ran, for those who wait for them by Celery's ids: no `get()` hangs.

Celery stores the result of each task that ran. A step that is skipped or cancelled was never a message, so its state
would stay PENDING. The process that recorded the failure writes these states after it; nodes write those that are left.
"""

from __future__ import annotations

import builtins
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

from celery import states
from celery.app.task import Context
from celery.backends.base import DisabledBackend
from celery.backends.rpc import RPCBackend
from celery.exceptions import ChordError, TaskRevokedError

from segue.engine.stored import error_of
from segue.errors import PASSING_ERRORS, SerializationError
from segue.executors.celery.spec import BODY, options_of
from segue.executors.celery.stored import stored_result
from segue.model import ErrorInfo, StepStatus
from segue.observing.harmless_log import get_logger

if TYPE_CHECKING:
    from segue.executors.celery.door import Door

logger = get_logger("segue.celery")

AT_ONCE = 500
_TRIES = 2  # a connection may have been lost meanwhile


class _InVain(NamedTuple):
    """A step that failed, or did not run."""

    number: int
    status: str
    handle: str | None
    children: list[int]
    error: ErrorInfo | None


def mirror(door: Door) -> int:
    """Write the states of steps that ended without having run; returns how many. May be done twice."""
    total = 0
    while True:
        with door.engine.reading() as tx:
            rows = tx.all("unmirrored_steps", executor=door.name, prefix=door.of_namespace, limit=AT_ONCE)
        causes: dict[str, Mapping[int, _InVain]] = {}  # for each run; read after the rows
        for run_id, step, handle, status, spec in rows:
            _tell(door, run_id, step, handle, status, spec, causes)
            door.engine.act(_note, run_id, step, status)
        total += len(rows)
        if len(rows) < AT_ONCE:
            return total


def _tell(
    door: Door, run_id: str, step: int, handle: str, status: str, spec: str | None,
    causes: dict[str, Mapping[int, _InVain]],
) -> None:  # fmt: skip
    """Write the state of a step. If its rows are damaged, it is written without a reason: others wait behind it."""
    why: Exception | None = None
    for _ in range(_TRIES):
        try:
            if run_id not in causes:
                causes[run_id] = _causes(_steps_in_vain(door, run_id))
            _write(door, handle, status, options_of(spec), causes[run_id].get(step))
            return
        except PASSING_ERRORS:
            raise
        except Exception as error:  # noqa: BLE001 - the backend is away, or this step cannot be described
            why = error
    backend, request = door.app.backend, Context(id=handle, reply_to=_reply_to(spec), correlation_id=handle)
    if not isinstance(backend, (DisabledBackend, RPCBackend)):
        backend.get_state(handle)  # when it is away, this raises sooner than what stores
    unexplained = TaskRevokedError(f"{status}, and why cannot be said")
    backend.store_result(handle, unexplained, states.REVOKED, request=request)
    logger.warning("The result of %s cannot say why it is %s: %r", handle, status, why)


def _reply_to(spec: str | None) -> Any:
    try:
        return options_of(spec).get("reply_to")
    except SerializationError:
        return None


def _note(act: Any, run_id: str, step: int, status: str) -> None:
    act.tx.all("note_mirrored", run_id=run_id, step=step, status=status, now=act.now)


def _write(door: Door, handle: str, status: str, spec: Mapping[str, Any], cause: _InVain | None) -> None:
    backend = door.app.backend
    if spec.get("ignore_result") or isinstance(backend, DisabledBackend):
        return
    if not isinstance(backend, RPCBackend) and backend.get_state(handle) in states.READY_STATES:
        return
    request = Context(id=handle, reply_to=spec.get("reply_to"), correlation_id=handle)
    error: BaseException
    if status == StepStatus.CANCELLED or cause is None or cause.status != StepStatus.FAILED:
        error, state = TaskRevokedError("the run was cancelled" if cause is None else "skipped"), states.REVOKED
    else:
        error, state = _error_of(door, cause), states.FAILURE
        if spec.get(BODY):
            error = ChordError(f"Dependency {cause.handle} raised {error!r}")
    backend.store_result(handle, error, state, request=request)


def _error_of(door: Door, cause: _InVain) -> BaseException:
    """The exception of the task that failed, as its own result has it."""
    return exception_of(door, cause.handle, cause.error)


def exception_of(door: Door, handle: str | None, error: ErrorInfo | None) -> BaseException:
    """The exception of a task, as its own result has it; if there is none yet, one of the same name and text."""
    if handle is not None:
        found: object = stored_result(door.app, handle)
        if isinstance(found, BaseException):
            return found
    error = error or ErrorInfo("Error", "its task failed")
    kind = getattr(builtins, error.type, None)
    if not isinstance(kind, type) or not issubclass(kind, Exception):
        kind = type(error.type, (Exception,), {})
    made: BaseException = kind(error.message)
    return made


def _steps_in_vain(door: Door, run_id: str) -> dict[int, _InVain]:
    with door.engine.reading() as tx:
        rows = tx.all("steps_in_vain", run_id=run_id)
        return {
            step: _InVain(step, status, handle, tx.integers(children), error_of(error))
            for step, status, handle, children, error in rows
        }


def _causes(steps: Mapping[int, _InVain]) -> dict[int, _InVain]:
    """For each step below others, the step whose failure is why it did not run: the nearest one above it.

    Where nothing above it failed, it is one that did not run either.
    """
    found: dict[int, _InVain] = {}
    level = [step for step in steps.values() if step.status == StepStatus.FAILED]
    while level:
        below: list[_InVain] = []
        for each in level:
            cause = each if each.status == StepStatus.FAILED else found[each.number]
            for child in each.children:
                if child in steps and child not in found:
                    found[child] = cause
                    below.append(steps[child])
        level = [each for each in below if each.status != StepStatus.FAILED]
    for each in steps.values():
        for child in each.children:
            found.setdefault(child, each)
    return found
