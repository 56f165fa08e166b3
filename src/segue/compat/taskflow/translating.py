"""From definitions of Taskflow to tasks and workflows of Segue, and back to what `execute` receives."""

from __future__ import annotations

import os
import socket
from datetime import UTC, datetime
from graphlib import CycleError, TopologicalSorter
from typing import Any

from segue import authoring
from segue.authoring import Schedule, current
from segue.authoring.context import Cancelled
from segue.authoring.options import placed
from segue.compat.taskflow import words
from segue.compat.taskflow.definitions import Schedulable, Task, Workflow
from segue.compat.taskflow.instances import TaskInstance
from segue.compat.taskflow.options import policy, pushed, registered
from segue.errors import ConfigError, DefinitionError
from segue.observing.harmless_log import get_logger

PREFIX = "taskflow."
logger = get_logger("segue.taskflow")


def make_task(task: Task) -> authoring.Task[..., Any]:
    """The Segue task of a task; it is known by its name from now on. Raises DefinitionError."""

    def run(
        run_at: datetime, params: dict[str, Any] | None = None, scheduled: bool = True, priority: str | None = None,
        unique: str | None = None, in_workflow: bool = False, max_attempts: int | None = None,
        retry_delay: float | None = None,
    ) -> None:  # fmt: skip
        instance = TaskInstance(
            task, scheduled=scheduled, run_at=run_at, priority=priority, unique=unique, params=params,
            max_attempts=max_attempts, retry_delay=retry_delay,
        )  # fmt: skip
        _execute(task, instance, in_workflow=in_workflow)

    made: authoring.Task[..., Any] = authoring.task(
        name=PREFIX + task.name, **_about(task), **policy(task.retries, task.timeout, task.retry_delay),
        **pushed(task, {}), priority=words.PRIORITIES[task.default_priority],
    )(run)  # fmt: skip
    if task.sla is not None:
        made.placement = placed(made.placement, {"sla_start": task.sla}, of=repr(task))
    return made


def make_workflow(workflow: Workflow) -> authoring.Workflow[..., Any]:
    """The Segue workflow of a workflow; it is known by its name from now on. Raises DefinitionError."""

    def lay_out(run_at: datetime, scheduled: bool = True, priority: str | None = None) -> None:
        chosen = priority or workflow.default_priority
        placed_tasks: dict[Task, Any] = {}
        for task in in_order(workflow):
            step = registered(task).options(
                name=task.name, priority=words.PRIORITIES[chosen], sla_start=None,
                after=[placed_tasks[above] for above in workflow.dependencies()[task]],
            )  # fmt: skip
            placed_tasks[task] = step(run_at=run_at, scheduled=scheduled, priority=chosen, in_workflow=True)

    about: Any = {"name": workflow.name, "fail_fast": workflow.fail_fast, **_about(workflow)}
    if workflow.sla is not None:
        about["sla_start"] = workflow.sla
    made: authoring.Workflow[..., Any] = authoring.workflow(**about)(lay_out)
    return made


def in_order(workflow: Workflow) -> list[Task]:
    """Its tasks, each after those that it depends on. Raises DefinitionError for a circle."""
    try:
        return list(TopologicalSorter(workflow.dependencies()).static_order())
    except CycleError as error:
        circle = " -> ".join(task.name for task in reversed(error.args[1]))
        raise DefinitionError(f"{workflow} has tasks that depend on each other in a circle: {circle}") from None


def _about(defined: Schedulable) -> dict[str, Any]:
    """The options that tasks and workflows share."""
    found: dict[str, Any] = {}
    if defined.schedule is not None:
        try:
            found["schedule"] = Schedule(
                defined.schedule, timezone="UTC", starts_at=defined.start_date, ends_at=defined.end_date,
                overlap="queue_one", catch_up="latest", active=bool(defined.active),
            )  # fmt: skip
        except ConfigError as error:
            raise DefinitionError(f"{defined}: {error}") from error
    if defined.is_limited:
        found["concurrency"] = defined.concurrency
    if defined.title is not None:
        found["title"] = defined.title
    if defined.description is not None:
        found["description"] = defined.description
    return found


def _execute(task: Task, instance: TaskInstance, *, in_workflow: bool) -> None:
    attempt = current()
    instance.id = f"{attempt.run_id}.{attempt.step}"
    instance.workflow_instance_id = attempt.run_id if in_workflow else None
    instance.attempts = attempt.failures + 1
    instance.timeout = attempt.timeout
    instance.started_at = datetime.now(UTC).replace(tzinfo=None)
    instance.worker_id = f"{socket.gethostname()}:{os.getpid()}"
    instance._status = "running"
    try:
        task.execute(instance)
    except Cancelled:
        try:
            task.on_kill()
        except Exception:
            logger.exception("on_kill of the task %s failed; its attempt ends nevertheless", task.name)
        raise
