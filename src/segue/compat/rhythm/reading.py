"""What a workflow says of itself, read from the rows of its run: statuses, and the runs of its tasks."""

from __future__ import annotations

from typing import Any, NamedTuple

from celery import Celery

from segue.compat.rhythm import states
from segue.compat.rhythm.errors import WFNotFound
from segue.compat.rhythm.plans import TAG
from segue.engine.resolve import run_value
from segue.engine.views import look
from segue.engine.views.find import find_run
from segue.errors import RunNotFoundError
from segue.executors.celery.codec import loads
from segue.executors.celery.door import Door
from segue.model import Ref, RunStatus, StepStatus
from segue.plan.codec import encode_expr

_REVOKED_ERROR = "TaskRevokedError"
_STATES = {
    StepStatus.BLOCKED: states.PENDING,
    StepStatus.SENT: states.PENDING,
    StepStatus.RUNNING: states.STARTED,
    StepStatus.SUCCEEDED: states.SUCCESS,
    StepStatus.SKIPPED: states.PENDING,  # because of a failure above it
    StepStatus.CANCELLED: states.REVOKED,
}


class Reading(NamedTuple):
    """The run and its steps at one moment. The step that waits for the start is not among them."""

    run: look.RunInfo
    is_begun: bool
    steps: list[look.StepInfo]

    @property
    def plans(self) -> list[dict[str, Any]]:
        """The steps as the project wrote them."""
        found: list[dict[str, Any]] = self.run.metadata["steps"]
        return found

    def status_of(self, number: int) -> str:
        """The state of a step, in Celery's words."""
        step = self.steps[number]
        is_next = step.status in (StepStatus.READY, StepStatus.SENT, StepStatus.RUNNING)
        if self.run.status == RunStatus.PAUSED and is_next:
            return states.REVOKED
        if step.status == StepStatus.FAILED:
            is_revoked = step.error is not None and step.error.type == _REVOKED_ERROR
            return states.REVOKED if is_revoked else states.FAILURE
        if step.status == StepStatus.READY:
            return states.RETRY if step.failures else states.PENDING
        if step.status == StepStatus.BLOCKED and step.attempt:  # it waits for what its task was replaced by
            return states.STARTED
        return _STATES[step.status]

    def pending(self) -> tuple[int, str] | None:
        """The first step that has not succeeded, and its state; None if all have."""
        found = ((number, self.status_of(number)) for number in range(len(self.steps)))
        return next((each for each in found if each[1] != states.SUCCESS), None)

    def status(self) -> str:
        """The state of the workflow."""
        pending = self.pending()
        if pending is None:
            return states.SUCCESS
        number, state = pending
        if number == 0 and state == states.PENDING:
            return states.PENDING
        return states.STARTED if state in (states.STARTED, states.RETRY, states.PENDING) else state


def read(door: Door, workflow_id: str) -> Reading:
    """Read a workflow. Raises WFNotFound."""
    with door.engine.reading() as tx:
        try:
            id_ = find_run(tx, workflow_id, prefix=door.engine.prefix)
        except RunNotFoundError:
            raise _unknown(workflow_id) from None
        run = look.run_info(tx, id_)
        if TAG not in run.tags or "steps" not in run.metadata:
            raise _unknown(workflow_id)
        count = len(run.metadata["steps"])
        start, *steps = look.list_steps(tx, id_, limit=count + 1)
    return Reading(run, start.status.is_final, steps)


def document(reading: Reading) -> dict[str, Any]:
    """The workflow as Rhythm stores it."""
    run = reading.run
    steps = [
        {**plan, "task_runs": [{"task_id": step.handle, "date_start": step.started_at}]} if step.attempt else plan
        for plan, step in zip(reading.plans, reading.steps, strict=True)
    ]
    return {
        "_id": run.id, "created_at": run.created_at, "updated_at": updated_at(reading), "steps": steps,
        "name": run.workflow, "app_id": run.metadata.get("app_id"), "description": run.metadata.get("description"),
        "_status": reading.status(),
    }  # fmt: skip


def updated_at(reading: Reading) -> Any:
    """When something happened to it last."""
    moments = [moment for step in reading.steps for moment in (step.started_at, step.finished_at) if moment]
    return max(moments, default=None)


def last_task_run(app: Celery, door: Door, reading: Reading, number: int) -> dict[str, Any] | None:
    """The last attempt at a step, as Rhythm's result backend has it; None if there was none."""
    step = reading.steps[number]
    if not step.attempt:
        return None
    state, result, traceback = reading.status_of(number), None, None
    with door.engine.reading() as tx:
        given = tx.all("step_arguments", run_id=reading.run.id, step=step.step)[0][4]
        returned, first = None, None
        if step.status == StepStatus.SUCCEEDED:
            returned = run_value(tx, reading.run.id, encode_expr(Ref(step.step)))
        if number and reading.steps[number - 1].status == StepStatus.SUCCEEDED:
            before = reading.steps[number - 1].step
            first = run_value(tx, reading.run.id, encode_expr(Ref(before, (0,))))
    arguments: Any = loads(given, door.values.fetch)
    if returned is not None:
        result = loads(returned, door.values.fetch)
    if first is not None:
        arguments[0][:1] = [loads(first, door.values.fetch)]
    if step.status == StepStatus.RUNNING:
        result = progress_of(app, step.handle)
    elif step.error is not None and state in (states.FAILURE, states.REVOKED, states.RETRY):
        result, traceback = _error(step.error)
    return {
        "_id": step.handle, "status": state, "result": result, "traceback": traceback, "args": arguments[0],
        "kwargs": arguments[1], "name": reading.plans[number]["task"], "queue": step.queue.partition(":")[2],
        "date_start": step.started_at, "date_done": step.finished_at,
    }  # fmt: skip


def earlier_task_runs(door: Door, reading: Reading, number: int) -> list[dict[str, Any]]:
    """The attempts at a step before the last one."""
    step = reading.steps[number]
    with door.engine.reading() as tx:
        attempts = look.list_attempts(tx, reading.run.id, step=step.step)
    found = []
    for each in attempts:
        if each.attempt < step.attempt:
            result, traceback = (None, None) if each.error is None else _error(each.error)
            is_revoked = each.status in ("cancelled", "released") or (result or {}).get("exc_type") == _REVOKED_ERROR
            found.append(
                {
                    "_id": step.handle, "status": states.REVOKED if is_revoked else states.FAILURE, "result": result,
                    "traceback": traceback, "date_start": each.started_at, "date_done": each.finished_at,
                }
            )  # fmt: skip
    return found


def progress_of(app: Celery, handle: str | None) -> Any:
    """What the task has told the result backend of its progress; None when it has not, or there is no backend."""
    try:
        meta = app.backend.get_task_meta(handle, cache=False)
    except Exception:  # noqa: BLE001 - it is away, or keeps no results
        return None
    return meta.get("result") if meta.get("status") == states.STARTED else None


def _error(error: Any) -> tuple[dict[str, Any], str | None]:
    return {"exc_type": error.type, "exc_message": [error.message]}, error.traceback or None


def _unknown(workflow_id: str) -> WFNotFound:
    return WFNotFound(f"Workflow with id {workflow_id} is not found")
