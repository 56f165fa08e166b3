"""Limits and fair shares that the code gives to a Celery task: `@segue.task(limits=...)` under `@app.task`.

::

    @app.task(name="fetch")
    @segue.task(limits=[Limit("api", concurrency=10, key="customer")], fair_by="customer")
    def fetch(customer, page): ...

What else `@segue.task` can say is for Segue's own workers, and is refused here by name.
"""

from __future__ import annotations

from typing import Any

from msgspec import Raw, structs

from segue.authoring.limits import Limit, collect, key_source
from segue.authoring.task import Task
from segue.errors import DefinitionError
from segue.model import Policy, Value
from segue.plan.graph import FairShare, KeySource, LimitTerms, LimitUse, Node
from segue.plan.lanes import with_keys

INSTEAD = {
    "transactional": "A Celery worker lends no connection: run the task in Segue's own workers",
    "timeout": "Write @app.task(time_limit=...)",
    "queue": "Write task_routes, or .set(queue=...)",
    "priority": "Write .set(priority=...)",
    "delay": "Write .set(countdown=...)",
    "schedule": "Give the schedule to a workflow",
    "schedule_to_start": "Write .set(expires=...)",
    "metadata": "Give metadata to the run, segue.start(..., metadata=...)",
}
"""What to write instead of options of `@segue.task` that Celery does not follow."""

_OF_RETRIES = "Write @app.task(autoretry_for=..., max_retries=...)"
_KEPT = ("lost_retries", "may_fail")  # what the engine does by itself
_PLAIN = Policy()


def task_of_segue(task: Any) -> Task[..., Any] | None:
    """The Segue task that a Celery task is made of, if it is. Raises DefinitionError for options that cannot hold."""
    found = getattr(task, "run", None)
    if not isinstance(found, Task):
        return None
    placement = found.placement
    wrong = ["transactional"] if found.transactional else []
    wrong += [each for each in ("queue", "priority", "delay", "metadata") if getattr(placement, each) is not None]
    wrong += [] if found.schedule is None else ["schedule"]
    wrong += [
        each for each in Policy.__struct_fields__
        if each not in _KEPT and getattr(found.policy, each) != getattr(_PLAIN, each)
    ]  # fmt: skip
    if wrong:
        raise DefinitionError(
            f"The Celery task {task.name!r} is made of @segue.task({wrong[0]}=...), which has no effect on a Celery "
            f"worker. {INSTEAD.get(wrong[0], _OF_RETRIES)}, and leave it out."
        )
    return found


def limited(node: Node, task: Task[..., Any]) -> Node:
    """The step with what its task needs: places of limits, the turn of its key, and what the engine does by itself."""
    placement = task.placement
    policy = structs.replace(node.policy, **{name: getattr(task.policy, name) for name in _KEPT})
    uses = tuple(
        LimitUse(limit.name, None, limit.cost or placement.cost)
        if limit.key is None
        else LimitUse(limit.name, _UNKNOWN, limit.cost or placement.cost, _source(task, limit.key))
        for limit in limits_of(task)
    )
    fair = placement.fair
    share = None if fair is None else FairShare(_UNKNOWN, 1.0, fair.weights, _source(task, fair.by))
    return with_keys(structs.replace(node, uses=uses, share=share, cost=placement.cost, policy=policy))


def limits_of(task: Task[..., Any]) -> list[Limit]:
    """The limits of a task, its own one first."""
    own = task.placement.own_limit
    return [*([] if own is None else [own]), *task.placement.limits]


def terms_of(tasks: list[Task[..., Any]]) -> tuple[LimitTerms, ...]:
    """The sizes of their limits, as far as the code gives them."""
    return tuple(collect(limit.terms for task in tasks for limit in limits_of(task)).values())


def _source(task: Task[..., Any], key: str) -> KeySource:
    return key_source(key, task.parameters, {})


_UNKNOWN = Value(Raw(b'""'))  # until the arguments are looked at
