"""`Taskflow`: the tasks and workflows of a project."""

from __future__ import annotations

import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any, NoReturn

from segue.authoring import declared
from segue.compat.refusing import not_translated
from segue.compat.taskflow.definitions import Schedulable, Task, Workflow
from segue.compat.taskflow.monitoring import Monitor, observe
from segue.compat.taskflow.push_workers import PushWorker
from segue.compat.taskflow.translating import PREFIX, make_task, make_workflow
from segue.errors import DefinitionError
from segue.given import shown

_INSIDE = {
    "sync_db": "Processes store what the code defines when they start.",
    "sync_tasks": "Processes store what the code defines when they start.",
    "pull": "Run `segue worker -A module`, or `pull_worker`.",
}


class Taskflow:
    """The tasks and workflows of a project. Make it at the top of a module, so that workers find it by importing that.

    Example::

        taskflow = Taskflow()
        taskflow.add_workflows([etl])
        taskflow.add_tasks([cleanup])
    """

    def __init__(self, monitoring: Monitor | None = None) -> None:
        self.modules: list[str] = []  # that define it, for the processes of workers
        self._tasks: dict[str, Task] = {}
        self._workflows: dict[str, Workflow] = {}
        self._push_workers: dict[str, PushWorker] = {}
        self.monitoring: Monitor | None = None
        self._note_module()
        if monitoring is not None:
            self.set_monitoring(monitoring)

    def set_monitoring(self, monitoring: Monitor) -> None:
        """Tell this monitor of the instances that end in this process."""
        self.monitoring = monitoring
        observe(self)

    def add_workflow(self, workflow: Workflow) -> None:
        """Add a workflow with its tasks, also those that it gets later. Raises DefinitionError."""
        if not isinstance(workflow, Workflow):
            raise DefinitionError(f"add_workflow({shown(workflow)}) takes a Workflow")
        self._own(workflow, self._workflows)
        _refuse_taken(workflow, declared.workflows, workflow.name)
        for task in workflow.dependencies():
            self.register(task)
        workflow.work = make_workflow(workflow)
        self._note_module()

    def add_workflows(self, workflows: Iterable[Workflow]) -> None:
        """Add workflows with their tasks."""
        for workflow in workflows:
            self.add_workflow(workflow)

    def add_task(self, task: Task) -> None:
        """Add a task that belongs to no workflow. Raises DefinitionError."""
        if not isinstance(task, Task):
            raise DefinitionError(f"add_task({shown(task)}) takes a Task")
        if task.workflow is not None:
            raise DefinitionError(f"{task} belongs to {task.workflow}; add that: taskflow.add_workflow(...)")
        self.register(task)
        self._note_module()

    def add_tasks(self, tasks: Iterable[Task]) -> None:
        """Add tasks that belong to no workflow."""
        for task in tasks:
            self.add_task(task)

    def register(self, task: Task) -> None:
        """Make a task known to Segue. Workflows call this."""
        self._own(task, self._tasks)
        _refuse_taken(task, declared.tasks, PREFIX + task.name)
        task.work = make_task(task)

    def get_workflow(self, name: str) -> Workflow:
        """The workflow of this name. Raises KeyError."""
        return self._workflows[name]

    def get_workflows(self) -> list[Workflow]:
        """All workflows."""
        return list(self._workflows.values())

    def get_task(self, name: str) -> Task | None:
        """The task of this name, also of a workflow; None if there is none."""
        return self._tasks.get(name)

    def get_tasks(self) -> list[Task]:
        """All tasks, also those of workflows."""
        return list(self._tasks.values())

    def add_push_worker(self, push_worker: PushWorker) -> None:
        """Give the defaults of a push destination. Add it before the tasks that go there."""
        if not isinstance(push_worker, PushWorker):
            not_translated(
                f"add_push_worker({shown(push_worker)})",
                "A push worker of your own becomes an executor: docs/migrate-taskflow.md has one on a page.",
            )
        late = [task.name for task in self._tasks.values() if task.push_destination == push_worker.push_type]
        if late:
            raise DefinitionError(f"add_push_worker comes after the task {late[0]}, which goes there; call it before")
        self._push_workers[push_worker.push_type] = push_worker

    def get_push_worker(self, push_type: str) -> PushWorker | None:
        """The push worker of this destination; None if none was added."""
        return self._push_workers.get(push_type)

    def __getattr__(self, name: str) -> NoReturn:
        if name in _INSIDE:
            not_translated(f"Taskflow.{name}", _INSIDE[name])
        raise AttributeError(f"{type(self).__name__!r} object has no attribute {name!r}")

    def _own(self, defined: Any, known: dict[str, Any]) -> None:
        if defined.taskflow is not None:
            raise DefinitionError(f"{defined} was added before; add it once, to one Taskflow")
        if defined.name in known:
            raise DefinitionError(f"there are two named {defined.name!r}: {known[defined.name]} and another {defined}")
        known[defined.name] = defined
        defined.taskflow = self

    def _note_module(self) -> None:
        """Remember the module that calls the public method of this class, for the children of workers."""
        frame = sys._getframe(1)
        while frame.f_globals.get("__name__") == __name__ and frame.f_back is not None:
            frame = frame.f_back
        module = importable(str(frame.f_globals.get("__name__", "")), frame.f_globals)
        if module not in self.modules:
            self.modules.append(module)


def importable(name: str, about: dict[str, Any]) -> str:
    """The name under which another process can import a module, also that of a script."""
    if name != "__main__":
        return name
    spec = about.get("__spec__")
    return str(spec.name) if spec is not None else Path(str(about.get("__file__", "main"))).stem


def _refuse_taken(defined: Schedulable, known: Any, name: str) -> None:
    """Of two Taskflows in a process, each has names of its own: a worker finds a task by its name alone."""
    if name in known:
        raise DefinitionError(f"{defined}: the name {name!r} is taken in this process; rename one of them")
