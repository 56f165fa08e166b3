"""A backend of Django's own tasks (Django 6.0 and newer): what is enqueued becomes a run of one step.

Each `@task` of this backend is also a task of Segue, under its module and name, so that workers that import it can run
it, and `segue explain` can name it. OPTIONS are options of `segue.task` for all tasks of the backend.

Promises: `enqueue` inside `transaction.atomic()` belongs to the transaction. Arguments and results are JSON, as Django
says, and are not converted by annotations.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from functools import wraps
from inspect import iscoroutinefunction
from typing import Any, ClassVar

from asgiref.sync import async_to_sync
from django.core import checks
from django.tasks import Task, TaskContext, TaskResult, TaskResultStatus
from django.tasks.backends.base import BaseTaskBackend
from django.tasks.base import TaskError
from django.tasks.exceptions import InvalidTask, TaskResultDoesNotExist
from django.tasks.signals import task_enqueued, task_finished, task_started
from django.utils import timezone
from django.utils.json import normalize_json

from segue.authoring import declared
from segue.authoring.context import current as current_attempt
from segue.authoring.task import Task as SegueTask
from segue.authoring.task import task as segue_task
from segue.client import Run
from segue.contrib.django.project import segue
from segue.engine.views.look import AttemptInfo, RunInfo, StepInfo
from segue.errors import ConfigError, DefinitionError, RunNotFoundError
from segue.model import ErrorInfo, RunStatus, StepStatus

_CHECKED = "segue.contrib.django.checked"
LOWEST, HIGHEST = 0, 9  # priorities of Segue; Django's are -100 to 100
_WORDS = {
    RunStatus.SUCCEEDED: TaskResultStatus.SUCCESSFUL,
    RunStatus.FAILED: TaskResultStatus.FAILED,
    RunStatus.CANCELLED: TaskResultStatus.FAILED,
}


class SegueBackend(BaseTaskBackend):
    """Enqueues tasks as runs of Segue.

    Example::

        TASKS = {"default": {"BACKEND": "segue.contrib.django.tasks.SegueBackend", "OPTIONS": {"retries": 3}}}
    """

    supports_defer = True
    supports_async_task = True
    supports_get_result = True
    supports_priority = True

    defined: ClassVar[dict[str, tuple[Task, SegueTask[..., Any]]]] = {}  # by name, of all backends of this class

    def task_class(self, **terms: Any) -> Task:
        """What `@task` makes; it is made known to Segue as well."""
        task = Task(**terms)
        self.define(task)
        return task

    def define(self, task: Task) -> SegueTask[..., Any]:
        """The task of Segue that runs a task of Django."""
        name = task.module_path
        if name not in self.defined:
            made = segue_task(name=name, **self.options)(_runner(task))
            self.defined[name] = (task, made)
        return self.defined[name][1]

    def enqueue(self, task: Task, args: Any, kwargs: Any) -> TaskResult:
        """Start the run; in an atomic block it begins with the commit. Raises InvalidTask."""
        self.validate_task(task)
        if task.module_path not in self.defined:
            raise InvalidTask(
                f"{task.module_path} was defined for another backend, so no worker of Segue knows it. "
                f"Write @task(backend={self.alias!r}) above it."
            )
        work = self.define(task).options(queue=task.queue_name, priority=scaled(task.priority))
        run_at = _aware(task.run_after)
        run = segue.start(work.s(*normalize_json(args), **normalize_json(kwargs)), run_at=run_at)
        result = self._result(run, task)
        task_enqueued.send(type(self), task_result=result)
        return result

    def get_result(self, result_id: str) -> TaskResult:
        """The result with this id. Raises TaskResultDoesNotExist."""
        try:
            run = segue.get(result_id)
        except (RunNotFoundError, ConfigError) as error:
            raise TaskResultDoesNotExist(result_id) from error
        task, _ = self.defined.get(run.info().workflow, (None, None))
        if task is None or run.id != result_id:
            raise TaskResultDoesNotExist(result_id)
        return self._result(run, task)

    def check(self, **_: Any) -> list[Any]:
        """OPTIONS are checked by making a task with them."""
        try:
            segue_task(name=_CHECKED, **self.options)(_nothing)
            declared.tasks.pop(_CHECKED)
        except DefinitionError as error:
            return [checks.Error(f"OPTIONS of TASKS[{self.alias!r}]: {error}", id="segue.E003")]
        return []

    def _result(self, run: Run, task: Task) -> TaskResult:
        info, [step, *_] = run.info(), run.steps(limit=1)
        attempts = run.attempts()
        args, kwargs = info.arguments or ([], {})
        result = TaskResult(
            task=task, id=run.id, status=_status(info, step), enqueued_at=info.created_at, started_at=info.started_at,
            finished_at=info.finished_at, last_attempted_at=step.started_at, args=args, kwargs=kwargs,
            backend=self.alias, errors=[_error(each.error) for each in attempts if each.error is not None],
            worker_ids=_workers(step, attempts),
        )  # fmt: skip
        if info.status is RunStatus.SUCCEEDED:
            object.__setattr__(result, "_return_value", run.result())  # frozen, and filled in later by its own backends
        return result


def scaled(priority: int) -> int:
    """A priority of Django (-100 to 100) among those of Segue; 0 becomes the default."""
    return min(HIGHEST, max(LOWEST, 5 + round(priority * (5 if priority < 0 else 4) / 100)))


def _nothing() -> None:
    """The function of a task that is made to check its options."""


def _runner(task: Task) -> Callable[..., Any]:
    """The function of the step: the task's, with its context if it takes one, and with Django's signals."""

    def call(*args: Any, **kwargs: Any) -> Any:
        function = async_to_sync(task.func) if iscoroutinefunction(task.func) else task.func
        given = (TaskContext(task_result=_attempted(task)), *args) if task.takes_context else args
        if not (task_started.receivers or task_finished.receivers):
            return normalize_json(function(*given, **kwargs))
        result = _attempted(task)
        task_started.send(SegueBackend, task_result=result)
        try:
            value = normalize_json(function(*given, **kwargs))
        except Exception:
            _finish(result, TaskResultStatus.FAILED)
            raise
        object.__setattr__(result, "_return_value", value)
        _finish(result, TaskResultStatus.SUCCESSFUL)
        return value

    wraps(task.func, assigned=("__module__", "__name__", "__qualname__", "__doc__"), updated=())(call)
    del call.__wrapped__  # type: ignore[attr-defined]  # its annotations would convert arguments
    return call


def _attempted(task: Task) -> TaskResult:
    """The result of the running attempt."""
    result = task.get_backend()._result(segue.get(current_attempt().run_id), task)
    object.__setattr__(result, "status", TaskResultStatus.RUNNING)
    return result


def _finish(result: TaskResult, status: TaskResultStatus) -> None:
    object.__setattr__(result, "status", status)
    object.__setattr__(result, "finished_at", timezone.now())
    task_finished.send(SegueBackend, task_result=result)


def _aware(moment: datetime | None) -> datetime | None:
    """With USE_TZ = False, Django's times are naive and in its TIME_ZONE."""
    return timezone.make_aware(moment) if moment is not None and timezone.is_naive(moment) else moment


def _status(info: RunInfo, step: StepInfo) -> TaskResultStatus:
    running = TaskResultStatus.RUNNING if step.status is StepStatus.RUNNING else TaskResultStatus.READY
    return _WORDS.get(info.status, running)


def _workers(step: StepInfo, attempts: list[AttemptInfo]) -> list[str]:
    """One name for each attempt that has begun."""
    names = {each.attempt: each.worker for each in attempts}
    if step.worker is not None:
        names.setdefault(step.attempt, step.worker)
    return [names.get(number, "") for number in range(1, step.attempt + 1)]


def _error(error: ErrorInfo) -> TaskError:
    path = error.type if "." in error.type else f"builtins.{error.type}"
    return TaskError(exception_class_path=path, traceback=error.traceback)
