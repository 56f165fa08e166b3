"""From the list of steps that a project writes to the run of a workflow."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from functools import partial
from typing import Any

from kombu.utils.uuid import uuid
from msgspec import structs

from segue.engine.start import NewRun, start_runs
from segue.executors.celery.door import Door
from segue.executors.celery.graphs import Placed, plan_of_graph
from segue.model import WAIT_FOR
from segue.plan.graph import RunTerms
from segue.plan.labels import encoded_metadata
from segue.plan.namespaces import plan_in

TAG = "rhythm"
START = "start"
"""The message for which the first step waits."""
FOLLOWED = "rhythm_followed"
"""A header of messages: a step comes behind this one."""
HIGHEST_PRIORITY = 9


def duplicates(items: Iterable[Any]) -> list[Any]:
    """The items that are there more than once."""
    return [item for item, count in Counter(items).items() if count > 1]


def check(steps: Sequence[Mapping[str, Any]], name: str | None, app_id: str | None) -> None:
    """Raise AssertionError for steps, or names, that are no workflow; it says which."""
    _demand(len(steps) > 0, "steps is empty")
    for number, step in enumerate(steps):
        for key in ("name", "task", "queue"):
            is_needed = key != "queue" or step.get(key) is not None
            value = step.get(key)
            _demand(not is_needed or isinstance(value, str), f"step[{number}] has no {key!r}, or it is no text")
            _demand(not is_needed or value != "", f"step[{number}][{key!r}] is empty")
    twice = duplicates(step["name"] for step in steps)
    _demand(not twice, f"Steps with duplicate names: {twice}")
    _demand(bool(name), "name cannot be empty")
    _demand(bool(app_id), "app_id cannot be empty")


def _demand(is_so: bool, why: str) -> None:
    if not is_so:
        raise AssertionError(why)  # what projects expect here


def make_run(door: Door, steps: Sequence[Mapping[str, Any]], *, name: str, app_id: str, description: Any) -> str:
    """Make the run of a workflow, which waits for its start; returns its id."""
    engine = door.engine
    engine.in_one_namespace("make a workflow")
    id_ = engine.new_id()
    calls = [Placed(partial(door.app.send_task, WAIT_FOR, (START,)), name=f"({START})")]
    for number, step in enumerate(steps, start=1):
        kwargs = {**(step.get("kwargs") or {}), **identity(id_, step["name"], app_id)}
        first, options = number == 1, _options(step, number)
        if number < len(steps):
            options["headers"] = {FOLLOWED: True}
        calls.append(
            Placed(
                partial(door.app.send_task, step["task"], () if first else (None,), kwargs, **options),
                parents=(number - 1,), name=step["name"],
                takes_first=None if first else number - 1,
            )
        )  # fmt: skip
    plan = plan_of_graph(door, name, calls, result=len(steps))
    about = {"app_id": app_id, "description": description, "steps": [dict(step) for step in steps]}
    terms = RunTerms(tags=(TAG,), metadata=encoded_metadata("the steps of a workflow", about))
    engine.act(start_runs, [NewRun(id_, plan_in(structs.replace(plan, terms=terms), door.namespace))])
    return id_


def identity(workflow_id: str, step: str, app_id: str) -> dict[str, str]:
    """The arguments that each task gets besides its own; they win over those."""
    return {"workflow_id": workflow_id, "step": step, "app_id": app_id}


def _options(step: Mapping[str, Any], position: int) -> dict[str, Any]:
    priority = position if step.get("priority") is None else step["priority"]
    options = {"task_id": uuid(), "priority": max(0, min(int(priority), HIGHEST_PRIORITY))}
    return options if step.get("queue") is None else {**options, "queue": step["queue"]}
