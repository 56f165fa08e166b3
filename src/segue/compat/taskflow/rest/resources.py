"""Taskflow's resources: workflows, tasks, and their instances, as JSON in Taskflow's words."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from datetime import UTC, datetime
from typing import Any

from segue.client import Segue
from segue.client.views import RunInfo, StepInfo
from segue.compat.taskflow import words
from segue.compat.taskflow.definitions import Schedulable, Task
from segue.compat.taskflow.errors import AlreadyQueuedError
from segue.compat.taskflow.project import Taskflow
from segue.compat.taskflow.translating import PREFIX
from segue.errors import DefinitionError, RunNotFoundError
from segue.model import RunStatus
from segue.web.foreign import Asked, Endpoint
from segue.web.problems import ProblemError
from segue.web.roles import Role

PAGE_SIZE = 100
MOST_PAGE_SIZE, MOST_SKIPPED = 200, 10_000
_PRIORITIES = {number: word for word, number in words.PRIORITIES.items()}


def endpoints(taskflow: Taskflow) -> list[Endpoint]:
    """The paths of Taskflow's server."""
    found = _Resources(taskflow)
    viewer, operator = Role.VIEWER, Role.OPERATOR
    return [
        Endpoint("GET", "/v1/session", viewer, found.session),
        Endpoint("GET", "/v1/workflows", viewer, found.workflows),
        Endpoint("GET", "/v1/workflows/{name}", viewer, found.workflow),
        Endpoint("PUT", "/v1/workflows/{name}", operator, found.switch_workflow),
        Endpoint("GET", "/v1/tasks", viewer, found.tasks),
        Endpoint("GET", "/v1/tasks/{name}", viewer, found.task),
        Endpoint("PUT", "/v1/tasks/{name}", operator, found.switch_task),
        Endpoint("GET", "/v1/workflow-instances", viewer, found.workflow_instances),
        Endpoint("POST", "/v1/workflow-instances", operator, found.start_workflow, 201),
        Endpoint("GET", "/v1/workflow-instances/recurring-latest", viewer, found.latest_workflows),
        Endpoint("GET", "/v1/workflow-instances/{id}", viewer, found.workflow_instance),
        Endpoint("DELETE", "/v1/workflow-instances/{id}", operator, found.cancel),
        Endpoint("GET", "/v1/task-instances", viewer, found.task_instances),
        Endpoint("POST", "/v1/task-instances", operator, found.start_task, 201),
        Endpoint("GET", "/v1/task-instances/recurring-latest", viewer, found.latest_tasks),
        Endpoint("GET", "/v1/task-instances/{id}", viewer, found.task_instance),
        Endpoint("DELETE", "/v1/task-instances/{id}", operator, found.cancel),
    ]


class _Resources:
    """What each path does."""

    def __init__(self, taskflow: Taskflow) -> None:
        self._taskflow = taskflow

    # What the code defines -------------------------------------------------------------------------------------------

    def session(self, asked: Asked) -> Any:
        who = asked.call.identity
        return {"username": who.name, "role": "normal" if who.role == Role.VIEWER else "admin"}

    def workflows(self, asked: Asked) -> Any:
        active = _active(asked.call.segue)
        return _list([_defined(each, active) for each in _by_name(self._taskflow.get_workflows())])

    def workflow(self, asked: Asked) -> Any:
        return _defined(self._workflow(asked.path["name"]), _active(asked.call.segue))

    def switch_workflow(self, asked: Asked) -> Any:
        return _switched(asked, self._workflow(asked.path["name"]))

    def tasks(self, asked: Asked) -> Any:
        active = _active(asked.call.segue)
        return _list([_defined(each, active) for each in _by_name(self._taskflow.get_tasks())])

    def task(self, asked: Asked) -> Any:
        return _defined(self._task(asked.path["name"]), _active(asked.call.segue))

    def switch_task(self, asked: Asked) -> Any:
        return _switched(asked, self._task(asked.path["name"]))

    # Instances -------------------------------------------------------------------------------------------------------

    def workflow_instances(self, asked: Asked) -> Any:
        wanted = asked.query.get("workflow_name")
        names = [each.name for each in self._taskflow.get_workflows() if wanted in (None, each.name)]
        return _page(asked, names, workflow_instance)

    def workflow_instance(self, asked: Asked) -> Any:
        return workflow_instance(self._run(asked, self._taskflow.get_workflows()))

    def start_workflow(self, asked: Asked) -> Any:
        workflow = self._workflow(_named(asked, "workflow_name"), status=400)
        return _started(asked, workflow, ("priority", "run_at", "unique"), workflow_instance)

    def latest_workflows(self, asked: Asked) -> Any:
        return _latest(asked.call.segue, {each.name for each in self._taskflow.get_workflows()}, workflow_instance)

    def task_instances(self, asked: Asked) -> Any:
        within = asked.query.get("workflow_instance_id")
        if within is not None:
            run = asked.call.segue.get(within)
            numbers = [step.step for step in run.steps(limit=MOST_PAGE_SIZE) if _is_ours(step)]
            return _list([self._of_step(asked, run.id, run.step(number).info()) for number in numbers])
        wanted = asked.query.get("task_name")
        names = [PREFIX + each.name for each in self._taskflow.get_tasks() if wanted in (None, each.name)]
        return _page(asked, names, lambda run: self._of_run(asked, run))

    def task_instance(self, asked: Asked) -> Any:
        run_id, _, step = asked.path["id"].partition(".")
        return self._of_step(asked, run_id, asked.call.segue.get(run_id).step(step or "0").info())

    def start_task(self, asked: Asked) -> Any:
        task = self._task(_named(asked, "task_name"), status=400)
        options = ("priority", "run_at", "unique", "params", "max_attempts", "timeout", "retry_delay")
        return _started(asked, task, options, lambda run: self._of_run(asked, run))

    def latest_tasks(self, asked: Asked) -> Any:
        names = {PREFIX + each.name for each in self._taskflow.get_tasks()}
        return _latest(asked.call.segue, names, lambda run: self._of_run(asked, run))

    def cancel(self, asked: Asked) -> None:
        """Taskflow deletes the row; here the run ends, and stays to be looked at."""
        asked.call.segue.get(asked.path["id"].partition(".")[0]).cancel(reason="DELETE")

    # Inside ----------------------------------------------------------------------------------------------------------

    def _workflow(self, name: str, *, status: int = 404) -> Any:
        for each in self._taskflow.get_workflows():
            if each.name == name:
                return each
        raise ProblemError(status, "NotFound", f"Workflow `{name[:200]}` not found")

    def _task(self, name: str, *, status: int = 404) -> Task:
        found = self._taskflow.get_task(name)
        if found is None:
            raise ProblemError(status, "NotFound", f"Task `{name[:200]}` not found")
        return found

    def _run(self, asked: Asked, among: Iterable[Schedulable]) -> RunInfo:
        found = asked.call.segue.get(asked.path["id"]).info()
        if found.workflow not in {each.name for each in among}:
            raise RunNotFoundError(f"The run {found.id} is no instance of a workflow of this project.")
        return found

    def _of_run(self, asked: Asked, run: RunInfo) -> dict[str, Any]:
        return self._of_step(asked, run.id, asked.call.segue.get(run.id).step("0").info(), unique=run.key)

    def _of_step(self, asked: Asked, run_id: str, step: StepInfo, *, unique: str | None = None) -> dict[str, Any]:
        shown = asked.call.masker.masked(step.task or "", step.arguments) or [[], {}]
        given = shown[1]
        task = self._taskflow.get_task((step.task or "").removeprefix(PREFIX))
        return _times(given, step.ready_at, step.started_at, step.finished_at) | {
            "id": f"{run_id}.{step.step}", "task_name": (step.task or "").removeprefix(PREFIX),
            "workflow_instance_id": run_id if given.get("in_workflow") else None,
            "status": words.step_status(step.status, failures=step.failures),
            "priority": _PRIORITIES.get(step.priority, "normal"), "unique": unique,
            "params": given.get("params"), "push": step.executor is not None, "worker_id": step.worker,
            "attempts": step.failures + (step.started_at is not None and step.error is None),
            "max_attempts": given.get("max_attempts") or (None if task is None else task.retries + 1),
            "timeout": None if task is None else task.timeout,
            "retry_delay": given.get("retry_delay") or (None if task is None else task.retry_delay),
        }  # fmt: skip


def workflow_instance(run: RunInfo) -> dict[str, Any]:
    """A run of a workflow."""
    given = (run.arguments or [[], {}])[1]
    return _times(given, run.created_at, run.started_at, run.finished_at) | {
        "id": run.id, "workflow_name": run.workflow, "status": words.run_status(run.status),
        "priority": given.get("priority") or "normal", "unique": run.key, "params": None,
    }  # fmt: skip


def _times(
    given: Mapping[str, Any], made: datetime | None, begun: datetime | None, ended: datetime | None
) -> dict[str, Any]:
    run_at = given.get("run_at")
    return {
        "scheduled": bool(given.get("scheduled", True)),
        "run_at": run_at if run_at is None else _naive(datetime.fromisoformat(run_at)), "started_at": _naive(begun),
        "ended_at": _naive(ended), "created_at": _naive(made), "updated_at": _naive(ended or begun or made),
    }  # fmt: skip


def _naive(moment: datetime | None) -> str | None:
    """A time as Taskflow writes it: UTC, with the offset."""
    return None if moment is None else moment.astimezone(UTC).isoformat()


def _defined(each: Schedulable, active: Mapping[str, bool]) -> dict[str, Any]:
    name = _work_name(each)
    shown = {
        "name": each.name, "active": active.get(name, bool(each.active) and each.schedule is None), "title": each.title,
        "description": each.description, "concurrency": each.concurrency, "sla": each.sla, "schedule": each.schedule,
        "default_priority": each.default_priority, "start_date": _naive(each.start_date),
        "end_date": _naive(each.end_date),
    }  # fmt: skip
    if isinstance(each, Task):
        shown["workflow_name"] = None if each.workflow is None else each.workflow.name
    return shown


def _work_name(each: Schedulable) -> str:
    return PREFIX + each.name if isinstance(each, Task) else each.name


def _active(segue: Segue) -> dict[str, bool]:
    return {each.name: each.is_active for each in segue.schedules.list()}


def _switched(asked: Asked, each: Schedulable) -> dict[str, Any]:
    wanted = asked.body.get("active") if isinstance(asked.body, dict) else None
    if not isinstance(wanted, bool):
        raise ProblemError(400, "InvalidBody", 'The body must be {"active": true} or {"active": false}.')
    schedules = asked.call.segue.schedules
    (schedules.activate if wanted else schedules.deactivate)(_work_name(each))
    return _defined(each, _active(asked.call.segue))


def _named(asked: Asked, field: str) -> str:
    name = asked.body.get(field) if isinstance(asked.body, dict) else None
    if not isinstance(name, str):
        raise ProblemError(400, "InvalidBody", f"The body must be an object with {field}.")
    return name


def _started(asked: Asked, work: Any, fields: Iterable[str], shown: Callable[[RunInfo], Any]) -> Any:
    options = {name: asked.body[name] for name in fields if asked.body.get(name) is not None}
    if "run_at" in options:
        options["run_at"] = words.typed_time("run_at", str(options["run_at"]))
    try:
        run = work.get_new_instance(**options).start(asked.call.segue)
    except AlreadyQueuedError as error:
        raise ProblemError(409, "AlreadyQueuedError", str(error)) from error
    except (DefinitionError, TypeError) as error:
        raise ProblemError(400, "InvalidBody", str(error)) from error
    return shown(run.info())


def _page(asked: Asked, names: Iterable[str], shown: Callable[[RunInfo], Any]) -> dict[str, Any]:
    """A page of the runs of these workflows, the newest first."""
    page, size = _number(asked, "$page", 1), min(_number(asked, "$page_size", PAGE_SIZE), MOST_PAGE_SIZE)
    if page * size > MOST_SKIPPED:
        raise ProblemError(400, "InvalidQuery", f"Only the newest {MOST_SKIPPED:,} are listed. Ask `GET /api/v1/runs`.")
    chosen: Any = {}
    if "status" in asked.query:
        chosen["status"] = [status.value for status in RunStatus if words.run_status(status) == asked.query["status"]]
    found: list[RunInfo] = []
    for name in names if chosen.get("status") != [] else ():
        found += asked.call.segue.runs(workflow=name, limit=page * size + 1, **chosen)
    found.sort(key=lambda run: run.id, reverse=True)
    data = [shown(run) for run in found[(page - 1) * size : page * size]]
    count = min(len(found), page * size + 1)
    return {"data": data, "count": count, "total_pages": -(-count // size), "page": page}


def _number(asked: Asked, name: str, otherwise: int) -> int:
    text = asked.query.get(name, str(otherwise))
    if not text.isdecimal() or not 0 < int(text[:9]) <= MOST_SKIPPED:
        raise ProblemError(400, "InvalidQuery", f"{name} must be a number from 1.")
    return int(text)


def _latest(segue: Segue, names: set[str], shown: Callable[[RunInfo], Any]) -> list[Any]:
    """The last instance that each schedule has started."""
    last = [each.last.run_id for each in segue.schedules.list() if each.workflow in names and each.last is not None]
    return [shown(run) for run in segue.runs(ids=[run_id for run_id in last if run_id], limit=len(last) or 1)]


def _list(data: list[Any]) -> dict[str, Any]:
    pages = 1 if data else 0
    return {"data": data, "count": len(data), "total_pages": pages, "page": pages}


def _by_name(found: Iterable[Any]) -> list[Any]:
    return sorted(found, key=lambda each: each.name)


def _is_ours(step: StepInfo) -> bool:
    return step.task is not None and step.task.startswith(PREFIX)
