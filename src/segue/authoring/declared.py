"""What the imported code declares: its tasks and workflows by name, and its limits."""

from __future__ import annotations

from typing import Any

from segue.authoring.limits import collect
from segue.authoring.task import Task, tasks
from segue.authoring.workflow import Workflow, workflows
from segue.plan.graph import LimitTerms

__all__ = ["declared_limits", "find_task", "find_workflow", "tasks", "workflows"]


def find_task(name: str) -> Task[..., Any]:
    """The task of this name. Raises `UnknownTaskError` if no imported module defines it."""
    return tasks.find(name)


def find_workflow(name: str) -> Workflow[..., Any]:
    """The workflow of this name. Raises `UnknownTaskError` if no imported module defines it."""
    return workflows.find(name)


def declared_limits() -> list[LimitTerms]:
    """The limits of the imported tasks and workflows. Raises `DefinitionError` if two of them contradict each other."""
    of_tasks = [
        limit.terms
        for task in tasks.values()
        for limit in (task.placement.own_limit, *task.placement.limits)
        if limit is not None
    ]
    return list(collect([*of_tasks, *(workflow.limit for workflow in workflows.values())]).values())
