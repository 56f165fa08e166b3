"""Runs, steps, attempts and workers as JSON objects, with the same field names as in SQL and Python."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from segue.engine.platforms import ExecutorInfo
from segue.engine.stored import object_of
from segue.engine.views.checkpoints import CheckpointInfo
from segue.engine.views.look import AttemptInfo, ProgressInfo, RunInfo, StepInfo, WorkerInfo
from segue.engine.views.reason import Reason
from segue.engine.views.waiting import EventInfo, WaitInfo
from segue.model import ErrorInfo, FailureInfo, StepStatus


def run_record(run: RunInfo, counts: dict[StepStatus, int] | None = None) -> dict[str, Any]:
    """A run, with the number of its steps in each status if they were counted."""
    record = {
        "id": run.id,
        "workflow": run.workflow,
        "key": run.key,
        "status": run.status.value,
        "ending": run.ending,
        "steps": run.steps,
        "error": _failure(run.error),
        "tags": list(run.tags),
        "metadata": run.metadata,
        "arguments": run.arguments,
        "forked_from": run.forked_from,
        "deadline": _moment(run.deadline),
        "limit_name": run.limit_name,
        "limit_key": run.limit_key,
        "admitted_at": _moment(run.admitted_at),
        "created_at": _moment(run.created_at),
        "started_at": _moment(run.started_at),
        "finished_at": _moment(run.finished_at),
    }
    if counts is not None:
        record["counts"] = {status.value: count for status, count in counts.items()}
    return record


def step_record(step: StepInfo) -> dict[str, Any]:
    """A step with all its fields."""
    return {
        "step": step.step,
        "scope": None if step.scope < 0 else step.scope,
        "name": step.name,
        "task": step.task,
        "is_join": step.is_join,
        "status": step.status.value,
        "gate": step.gate,
        "event": step.event,
        "queue": step.queue,
        "priority": step.priority,
        "ready_at": _moment(step.ready_at),
        "attempt": step.attempt,
        "failures": step.failures,
        "losses": step.losses,
        "rule": step.rule,
        "waiting_on": step.waiting_on,
        "children": list(step.children),
        "hook": step.hook,
        "error": _error(step.error),
        "policy": object_of(step.policy),
        "metadata": step.metadata,
        "started_at": _moment(step.started_at),
        "finished_at": _moment(step.finished_at),
        "seconds": step.seconds,
        "progress": _progress(step.progress),
        "worker": step.worker,
        "cancel_requested": step.cancel_requested,
    }


def attempt_record(attempt: AttemptInfo) -> dict[str, Any]:
    """One attempt."""
    return {
        "step": attempt.step,
        "attempt": attempt.attempt,
        "status": attempt.status,
        "worker": attempt.worker,
        "started_at": _moment(attempt.started_at),
        "finished_at": _moment(attempt.finished_at),
        "error": _error(attempt.error),
        "output": attempt.output,
    }


def checkpoint_record(checkpoint: CheckpointInfo) -> dict[str, Any]:
    """What a task recorded inside its step; `value` is JSON in a text, which may be a reference to a payload."""
    return {
        "step": checkpoint.step,
        "number": checkpoint.number,
        "kind": checkpoint.kind,
        "name": checkpoint.name,
        "attempt": checkpoint.attempt,
        "value": checkpoint.value,
        "started_at": _moment(checkpoint.started_at),
        "due_at": _moment(checkpoint.due_at),
        "finished_at": _moment(checkpoint.finished_at),
    }


def worker_record(worker: WorkerInfo) -> dict[str, Any]:
    """A worker."""
    return {
        "id": worker.id,
        "name": worker.name,
        "queues": list(worker.queues),
        "tasks": list(worker.tasks),
        "pool": worker.pool,
        "concurrency": worker.concurrency,
        "version": worker.version,
        "code_version": worker.code_version,
        "status": worker.status,
        "sleeping": worker.sleeping,
        "started_at": _moment(worker.started_at),
        "heartbeat_at": _moment(worker.heartbeat_at),
        "lease_until": _moment(worker.lease_until),
    }


def executor_record(executor: ExecutorInfo) -> dict[str, Any]:
    """An executor that is polled."""
    return {
        "name": executor.name,
        "kind": executor.kind,
        "open": dict(executor.open),
        "looked_at": _moment(executor.looked_at),
        "blind_since": _moment(executor.blind_since),
        "busy_since": _moment(executor.busy_since),
        "problem": executor.problem,
        "written_at": _moment(executor.written_at),
        "pace": executor.pace,
    }


def wait_record(wait: WaitInfo) -> dict[str, Any]:
    """A step that waits for a message."""
    return {
        "run": wait.run_id,
        "workflow": wait.workflow,
        "key": wait.key,
        "step": wait.step,
        "step_name": wait.step_name,
        "name": wait.name,
        "since": _moment(wait.since),
        "until": _moment(wait.until),
    }


def event_record(event: EventInfo) -> dict[str, Any]:
    """An event that was recorded."""
    return {
        "id": event.id,
        "at": _moment(event.at),
        "kind": event.kind,
        "run": event.run_id,
        "workflow": event.workflow,
        "step": event.step,
        "step_name": event.step_name,
        "detail": event.detail,
    }


def reason_record(reason: Reason) -> dict[str, Any]:
    """A reason why something does not continue."""
    return {"code": reason.code, "step": reason.step, "text": reason.text}


def _progress(progress: ProgressInfo | None) -> dict[str, Any] | None:
    if progress is None:
        return None
    return {
        "done": progress.done,
        "total": progress.total,
        "message": progress.message,
        "rate": progress.rate,
        "eta_seconds": progress.eta_seconds,
        "updated_at": _moment(progress.updated_at),
    }


def _failure(failure: FailureInfo | None) -> dict[str, Any] | None:
    if failure is None:
        return None
    return {"step": failure.step, "type": failure.type, "message": failure.message}


def _error(error: ErrorInfo | None) -> dict[str, Any] | None:
    return None if error is None else {"type": error.type, "message": error.message, "traceback": error.traceback}


def _moment(value: datetime | None) -> str | None:
    return None if value is None else value.isoformat()
