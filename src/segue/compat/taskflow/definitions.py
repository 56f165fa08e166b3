"""`Task` and `Workflow`: what a project defines. They describe; `Taskflow` registers them."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import TYPE_CHECKING, Any

from segue.compat.refusing import not_translated
from segue.compat.taskflow import words
from segue.compat.taskflow.instances import TaskInstance, WorkflowInstance
from segue.errors import DefinitionError
from segue.given import shown

if TYPE_CHECKING:
    from segue import authoring


class Schedulable:
    """What tasks and workflows have in common."""

    def __init__(
        self, *, name: str | None = None, active: bool = False, title: str | None = None,
        description: str | None = None, concurrency: int | None = None, sla: float | None = None,
        schedule: str | None = None, default_priority: str = "normal", start_date: datetime | None = None,
        end_date: datetime | None = None,
    ) -> None:  # fmt: skip
        kind = type(self).__name__
        if not isinstance(name, str) or not name.strip():
            raise DefinitionError(f"`name` required for {kind}: it was given {shown(name)}; write name='...'")
        of = f"{kind} {name}"
        words.priority_of(of, default_priority)
        self.name = name
        self.active = active
        self.title = title
        self.description = description
        self.is_limited = concurrency is not None
        self.concurrency = 1 if concurrency is None else concurrency
        self.sla = sla
        self.schedule = schedule
        self.default_priority = default_priority
        self.start_date = None if start_date is None else words.utc(f"{of}: start_date", start_date)
        self.end_date = None if end_date is None else words.utc(f"{of}: end_date", end_date)
        self.taskflow: Any = None  # the Taskflow that it was added to

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.name}>"


class Task(Schedulable):
    """A unit of work: override `execute`. The name, and what follows in the signature of Taskflow, by keyword.

    With a `schedule`, a cron expression in UTC, it starts by itself once it is `active`. `concurrency`, if given, is
    how many may run at a time in all processes; `sla` is within how many seconds an instance should start, or
    `step.late_start` is reported. After a failure it is tried `retries` times more, `retry_delay` seconds later each
    time; `timeout` ends an attempt. `params` are constants. Raises DefinitionError. Example::

        class Extract(Task):
            def execute(self, task_instance):
                load(self.params["table"], since=task_instance.params.get("since"))

        extract = Extract(name="extract", params={"table": "accounts"}, retries=2, retry_delay=60)
    """

    work: authoring.Task[..., Any]

    def __init__(
        self, workflow: Workflow | None = None, retries: int = 0, timeout: float | None = 300,
        retry_delay: float = 300, params: Mapping[str, Any] | None = None, push_destination: str | None = None,
        **schedulable: Any,
    ) -> None:  # fmt: skip
        super().__init__(**schedulable)
        if workflow is not None and not isinstance(workflow, Workflow):
            raise DefinitionError(f"Task {self.name}: workflow={shown(workflow)} is not a Workflow")
        if params is not None and not isinstance(params, Mapping):
            raise DefinitionError(f"Task {self.name}: params={shown(params)} is not a dict")
        self.workflow = workflow
        self.retries = retries
        self.timeout = timeout
        self.retry_delay = retry_delay
        self.params = dict(params or {})
        self.push_destination = push_destination
        if workflow is not None:
            if self.schedule is not None:
                raise DefinitionError(
                    f"Task {self.name} belongs to {workflow}, which starts it; give schedule= to the workflow"
                )
            workflow.add_task(self)

    def depends_on(self, task: Task) -> None:
        """Start this task only when `task`, of the same workflow, has succeeded. Raises DefinitionError."""
        if self.workflow is None:
            raise DefinitionError(f"{self} depends on nothing without a workflow; write Task(workflow=..., ...)")
        self.workflow.add_dependency(self, task)

    def execute(self, task_instance: TaskInstance) -> Any:
        """What the task does; what it returns is not kept. To be overridden."""
        raise NotImplementedError(f"{type(self).__name__}.execute(self, task_instance) is what the task does")

    def on_kill(self) -> None:
        """Called in the task's process when its instance is cancelled, stopped or over its timeout, before it ends."""

    def get_new_instance(self, **options: Any) -> TaskInstance:
        """An instance that `start(segue)` queues; see `TaskInstance`. Raises DefinitionError.

        Example::

            task.get_new_instance(params={"since": "2026-11-20"}, priority="high").start(Segue(url))
        """
        return TaskInstance(self, **options)

    def next_run(self, base_time: datetime | None = None) -> datetime | None:
        """Not here: `segue schedules next NAME` knows it."""
        not_translated("Task.next_run", "Ask segue.schedules.next(task.work.name).")

    def last_run(self, base_time: datetime | None = None) -> datetime | None:
        """Not here: `segue schedules show NAME` knows it."""
        not_translated("Task.last_run", "Ask segue.schedules.ticks(task.work.name).")


class Workflow(Schedulable):
    """Tasks that depend on each other. A task of it names it: `Task(workflow=...)`.

    `concurrency`, if given, is how many instances may run at a time; others wait. With `fail_fast`, which Taskflow does
    not have, the first failure ends what still runs. Example::

        etl = Workflow(name="etl", active=True, schedule="0 4 * * *")
        load = Load(workflow=etl, name="load")
        load.depends_on(extract)
    """

    work: authoring.Workflow[..., Any]

    def __init__(self, *, fail_fast: bool = False, **schedulable: Any) -> None:
        super().__init__(**schedulable)
        self.fail_fast = fail_fast
        self._above: dict[Task, list[Task]] = {}

    def add_task(self, task: Task) -> None:
        """Called by tasks that name this workflow. Raises DefinitionError for a second one of that name."""
        if self.get_task(task.name) is not None:
            raise DefinitionError(f"{self} has two tasks named {task.name!r}; rename one of them")
        self._above[task] = []
        if self.taskflow is not None:
            self.taskflow.register(task)

    def add_dependency(self, task: Task, above: Task) -> None:
        """Let a task wait for another one. Raises DefinitionError."""
        if above is task:
            raise DefinitionError(f"{task} cannot depend on itself")
        if task not in self._above or above not in self._above:
            raise DefinitionError(f"{task} depends on {shown(above)}, and both need to be tasks of {self}")
        if above in self._above[task]:
            raise DefinitionError(f"{task} depends on {above} already")
        self._above[task].append(above)

    def get_tasks(self) -> set[Task]:
        """Its tasks."""
        return set(self._above)

    def get_task(self, name: str) -> Task | None:
        """Its task of this name; None if it has none."""
        return next((task for task in self._above if task.name == name), None)

    def get_dependencies_graph(self) -> dict[str, set[str]]:
        """The names of the tasks, and of those that each depends on directly."""
        return {task.name: {above.name for above in tasks} for task, tasks in self._above.items()}

    def dependencies(self) -> dict[Task, list[Task]]:
        """The tasks in the order of their definition, and those that each depends on directly."""
        return self._above

    def get_new_instance(self, **options: Any) -> WorkflowInstance:
        """An instance that `start(segue)` queues; see `WorkflowInstance`. Raises DefinitionError."""
        return WorkflowInstance(self, **options)
