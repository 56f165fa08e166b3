"""Options of Segue's steps, from the values that tasks and their instances have. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from segue.errors import ConfigError

AWS_BATCH = "aws_batch"
_PUSH_PARAMS = {"job_queue": "queue", "job_definition": "definition"}


def policy(retries: int, timeout: float | None, retry_delay: float) -> dict[str, Any]:
    """How often it is tried: the delay does not grow."""
    return {
        "retries": retries, "timeout": timeout, "retry_delay": retry_delay, "retry_factor": 1.0, "retry_jitter": 0.0,
        "retry_max_delay": retry_delay,
    }  # fmt: skip


def pushed(task: Any, params: Mapping[str, Any]) -> dict[str, Any]:
    """Where it is pushed, and how: `params` of the instance come before those of the task and of the push worker."""
    if task.push_destination is None:
        return {}
    found: dict[str, Any] = {"executor": task.push_destination}
    if task.push_destination == AWS_BATCH:
        push_worker = None if task.taskflow is None else task.taskflow.get_push_worker(AWS_BATCH)
        given = {**({} if push_worker is None else push_worker.defaults), **task.params, **params}
        push = {option: given[name] for name, option in _PUSH_PARAMS.items() if given.get(name) is not None}
        found["push"] = {**push, **(_told(task) if "definition" in push else {})}
    return found


def _told(task: Any) -> dict[str, Any]:
    """What a job definition may refer to, and what its container has in its environment, as in Taskflow.

    With parameters, the command of the definition runs as it is: `main.py run_task Ref::task_instance`.
    """
    is_alone = task.workflow is None
    parameters = {
        "task": task.name, "task_instance": "{run}.{step}", "workflow": "" if is_alone else task.workflow.name,
        "workflow_instance": "" if is_alone else "{run}",
    }  # fmt: skip
    names = {name: f"TASKFLOW_{name.upper()}{'_ID' if name.endswith('instance') else ''}" for name in parameters}
    return {"parameters": parameters, "environment": {names[name]: value for name, value in parameters.items()}}


def registered(defined: Any) -> Any:
    """What a task or workflow is in Segue. Raises ConfigError if it belongs to no Taskflow."""
    if defined.taskflow is None:
        raise ConfigError(f"{defined} belongs to no Taskflow. Call taskflow.add_task or add_workflow with it.")
    return defined.work
