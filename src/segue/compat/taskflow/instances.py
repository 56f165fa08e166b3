"""Instances: what is to be queued, what `execute` receives, and what the database says of it afterwards."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, NoReturn

from segue.client import Run, Segue
from segue.compat.refusing import not_translated
from segue.compat.taskflow import words
from segue.compat.taskflow.errors import AlreadyQueuedError
from segue.compat.taskflow.options import policy, pushed, registered
from segue.errors import ConfigError, DefinitionError
from segue.given import shown


class Instance:
    """What instances of tasks and of workflows have in common. Times are UTC, without a time zone, as in Taskflow."""

    def __init__(
        self, name: str, default_priority: str, *, scheduled: bool, status: str, run_at: datetime | None,
        priority: str | None, unique: str | None,
    ) -> None:  # fmt: skip
        if status != "queued":
            not_translated(f"status={status!r} of a new instance", "It begins as 'queued'; cancel or skip it as a run.")
        self.id: str | None = None
        self.scheduled = scheduled
        self.priority = default_priority if priority is None else priority
        words.priority_of(name, self.priority)
        self.unique = unique
        self.started_at: datetime | None = None
        self._run: Run | None = None
        self._begins = None if run_at is None else words.utc(f"{name}: run_at", run_at)
        self.run_at = (self._begins or datetime.now(UTC)).replace(tzinfo=None)

    @property
    def run(self) -> Run:
        """The run that it became. Raises ConfigError before `start`."""
        if self._run is None:
            raise ConfigError(f"{self!r} is not started; call start(segue).")
        return self._run

    def __getattr__(self, name: str) -> NoReturn:
        if name in ("complete", "succeed", "fail"):
            not_translated(f"{type(self).__name__}.{name}", "A worker records how it ended; see segue mark and cancel.")
        raise AttributeError(f"{type(self).__name__!r} object has no attribute {name!r}")

    def _start(self, segue: object, work: Any, **arguments: Any) -> Run:
        if not isinstance(segue, Segue):
            not_translated(f"start({shown(segue)})", "Give a Segue: instance.start(Segue(url)). It needs no session.")
        if self._run is not None:
            raise ConfigError(f"{self!r} was started before. Make a new instance.")
        run = segue.start(
            work.si(run_at=self.run_at.replace(tzinfo=UTC), **arguments), key=self.unique, run_at=self._begins,
            reuse_key=self.unique is not None,
        )  # fmt: skip
        if run.is_new is False:
            raise AlreadyQueuedError(f"{self!r} with unique={self.unique!r} is run {run.id}, which has not ended.")
        self._run = run
        return run


class TaskInstance(Instance):
    """One run of a task. `execute` gets one; another is made by `Task.get_new_instance` and queued by `start`.

    `params` are those of this instance; the constants are in `Task.params`. `unique` is refused with AlreadyQueuedError
    while another instance of the task has it that has not ended.
    """

    def __init__(
        self, task: Any, *, scheduled: bool = False, status: str = "queued",
        workflow_instance_id: str | None = None, run_at: datetime | None = None, priority: str | None = None,
        max_attempts: int | None = None, timeout: float | None = None, retry_delay: float | None = None,
        unique: str | None = None, params: Mapping[str, Any] | None = None,
    ) -> None:  # fmt: skip
        super().__init__(
            f"Task {task.name}", task.default_priority, scheduled=scheduled, status=status, run_at=run_at,
            priority=priority, unique=unique,
        )  # fmt: skip
        if params is not None and not isinstance(params, Mapping):
            raise DefinitionError(f"Task {task.name}: params={shown(params)} is not a dict")
        if max_attempts is not None and (isinstance(max_attempts, bool) or max_attempts < 1):
            raise DefinitionError(f"Task {task.name}: max_attempts={max_attempts!r} is not 1 or more")
        self.task = task
        self.task_name = task.name
        self.workflow_instance_id = workflow_instance_id
        self.params = dict(params or {})
        self.attempts = 0
        self.max_attempts = task.retries + 1 if max_attempts is None else max_attempts
        self.timeout = task.timeout if timeout is None else timeout
        self.retry_delay = task.retry_delay if retry_delay is None else retry_delay
        self.push = task.push_destination is not None
        self.worker_id: str | None = None
        self._status = "queued"

    def start(self, segue: Segue) -> Run:
        """Queue it: it is durable when this returns. Raises AlreadyQueuedError."""
        if self.workflow_instance_id is not None:
            not_translated(
                f"workflow_instance_id={self.workflow_instance_id!r} of a new instance",
                "A run has the tasks with which it was started; run one again with segue.get(id).step(name).retry().",
            )
        work = registered(self.task).options(
            **policy(self.max_attempts - 1, self.timeout, self.retry_delay), **pushed(self.task, self.params),
            priority=words.PRIORITIES[self.priority],
        )  # fmt: skip
        run = self._start(
            segue, work, params=self.params, scheduled=self.scheduled, priority=self.priority, unique=self.unique,
            max_attempts=self.max_attempts, retry_delay=self.retry_delay,
        )  # fmt: skip
        self.id = f"{run.id}.0"
        return run

    @property
    def status(self) -> str:
        """queued, pushed, running, retry, success, failed or dequeued; read again for an instance that was started."""
        if self._run is None:
            return self._status
        [step] = self._run.steps(limit=1)
        return words.step_status(step.status, failures=step.failures)

    def __repr__(self) -> str:
        return f"<TaskInstance {self.id or '(new)'} of {self.task_name}>"


class WorkflowInstance(Instance):
    """One run of a workflow, made by `Workflow.get_new_instance` and queued by `start`."""

    def __init__(
        self, workflow: Any, *, scheduled: bool = False, status: str = "queued", run_at: datetime | None = None,
        priority: str | None = None, unique: str | None = None,
    ) -> None:  # fmt: skip
        super().__init__(
            f"Workflow {workflow.name}", workflow.default_priority, scheduled=scheduled, status=status, run_at=run_at,
            priority=priority, unique=unique,
        )  # fmt: skip
        self.workflow = workflow
        self.workflow_name = workflow.name

    def start(self, segue: Segue) -> Run:
        """Queue it with all its tasks: it is durable when this returns. Raises AlreadyQueuedError."""
        run = self._start(segue, registered(self.workflow), scheduled=self.scheduled, priority=self.priority)
        self.id = run.id
        return run

    @property
    def status(self) -> str:
        """queued, running, success, failed or dequeued; read again for an instance that was started."""
        return "queued" if self._run is None else words.run_status(self._run.status)

    def __repr__(self) -> str:
        return f"<WorkflowInstance {self.id or '(new)'} of {self.workflow_name}>"
