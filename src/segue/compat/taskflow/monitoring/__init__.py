"""Monitors: destinations that hear how instances end, in the process where that happens.

They are observers: called after the commit, in a thread of their own, and what they raise is logged. They get no
database session.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, NamedTuple

from segue.observing.harmless_log import get_logger
from segue.observing.kinds import Kind
from segue.observing.observers import Event, on

logger = get_logger("segue.taskflow")
_TASKS = "taskflow."


class Ended(NamedTuple):
    """What a destination hears of an instance: `task_name` of a task, else None; `workflow_name` likewise."""

    id: str
    task_name: str | None
    workflow_name: str | None
    workflow_instance_id: str | None
    status: str
    attempts: int
    unique: str | None
    error: str | None


class MonitorDestination:
    """The base of destinations: override what you want to hear of. `session` is None."""

    def heartbeat_scheduler(self, session: None) -> None:
        """A scheduler is alive; about once a minute."""

    def task_retry(self, session: None, task_instance: Ended) -> None:
        """An attempt failed, and another one follows."""

    def task_failed(self, session: None, task_instance: Ended) -> None:
        """A task has failed for good."""

    def task_success(self, session: None, task_instance: Ended) -> None:
        """A task has succeeded."""

    def workflow_failed(self, session: None, workflow_instance: Ended) -> None:
        """A workflow has failed."""

    def workflow_success(self, session: None, workflow_instance: Ended) -> None:
        """A workflow has succeeded."""


class Monitor(MonitorDestination):
    """Tells several destinations. An error of one is logged, and the others still hear."""

    def __init__(self, destinations: Iterable[MonitorDestination] = ()) -> None:
        self.destinations = list(destinations)

    def heartbeat_scheduler(self, session: None = None) -> None:
        """Tell all of them."""
        self._tell("heartbeat_scheduler")

    def task_retry(self, session: None, task_instance: Ended) -> None:
        """Tell all of them."""
        self._tell("task_retry", task_instance)

    def task_failed(self, session: None, task_instance: Ended) -> None:
        """Tell all of them."""
        self._tell("task_failed", task_instance)

    def task_success(self, session: None, task_instance: Ended) -> None:
        """Tell all of them."""
        self._tell("task_success", task_instance)

    def workflow_failed(self, session: None, workflow_instance: Ended) -> None:
        """Tell all of them."""
        self._tell("workflow_failed", workflow_instance)

    def workflow_success(self, session: None, workflow_instance: Ended) -> None:
        """Tell all of them."""
        self._tell("workflow_success", workflow_instance)

    def _tell(self, what: str, *about: Any) -> None:
        for destination in self.destinations:
            try:
                getattr(destination, what)(None, *about)
            except Exception:
                logger.exception("the monitor %s failed in %s", type(destination).__name__, what)


Tell = Callable[[Monitor, None, Ended], None]
_STEPS: dict[Kind, tuple[Tell, str]] = {
    "step.retrying": (Monitor.task_retry, "retry"),
    "step.failed": (Monitor.task_failed, "failed"),
    "step.succeeded": (Monitor.task_success, "success"),
}
_RUNS: dict[Kind, tuple[Tell, str]] = {
    "run.failed": (Monitor.workflow_failed, "failed"),
    "run.succeeded": (Monitor.workflow_success, "success"),
}


def observe(taskflow: Any) -> None:
    """Let the taskflow's monitor hear of the instances of its tasks and workflows."""

    def told(event: Event) -> None:
        monitor, name = taskflow.monitoring, event.workflow or ""
        if monitor is None or event.run_id is None:
            return
        workflow = next((each.name for each in taskflow.get_workflows() if each.name == name), None)
        task = event.name if workflow is not None else name.removeprefix(_TASKS)
        if event.kind in _STEPS and taskflow.get_task(task or "") is not None:
            tell, status = _STEPS[event.kind]
            tell(monitor, None, _ended(event, f"{event.run_id}.{event.step}", task, workflow, status))
        elif event.kind in _RUNS and workflow is not None:
            tell, status = _RUNS[event.kind]
            tell(monitor, None, _ended(event, event.run_id, None, workflow, status))

    on(*_STEPS, *_RUNS)(told)


def _ended(event: Event, id_: str, task: str | None, workflow: str | None, status: str) -> Ended:
    error = None if event.error is None else f"{event.error.type}: {event.error.message}"
    return Ended(id_, task, workflow, event.run_id if workflow else None, status, event.attempt or 0, event.key, error)
