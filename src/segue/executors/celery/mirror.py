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
from segue.executors.celery.spec import BODY, options_of
from segue.executors.celery.stored import stored_result
from segue.model import ErrorInfo, StepStatus

if TYPE_CHECKING:
    from segue.executors.celery.door import Door

AT_ONCE = 500


class _InVain(NamedTuple):
    """A step that failed, or did not run."""

    status: str
    handle: str | None
    children: list[int]
    error: ErrorInfo | None


def mirror(door: Door) -> int:
    """Write the states of steps that ended without having run; returns how many. May be done twice."""
    total = 0
    while True:
        with door.engine.reading() as tx:
            rows = tx.all("unmirrored_steps", executor=door.name, limit=AT_ONCE)
        runs: dict[str, dict[int, _InVain]] = {}
        for run_id, step, handle, status, spec in rows:
            if run_id not in runs:
                runs[run_id] = _steps_in_vain(door, run_id)
            _write(door, handle, status, options_of(spec), _cause(runs[run_id], step))
            door.engine.act(_note, run_id, step, status)
        total += len(rows)
        if len(rows) < AT_ONCE:
            return total


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
            step: _InVain(status, handle, tx.integers(children), error_of(error))
            for step, status, handle, children, error in rows
        }


def _cause(steps: Mapping[int, _InVain], step: int) -> _InVain | None:
    """The step whose failure is why this one did not run: the nearest one above it."""
    parents: dict[int, list[int]] = {}
    for number, each in steps.items():
        for child in each.children:
            parents.setdefault(child, []).append(number)
    above, seen = [step], {step}
    nearest: _InVain | None = None
    while above:
        number = above.pop(0)
        for parent in parents.get(number, ()):
            if steps[parent].status == StepStatus.FAILED:
                return steps[parent]
            if parent not in seen:
                seen.add(parent)
                nearest = nearest or steps[parent]
                above.append(parent)
    return nearest
