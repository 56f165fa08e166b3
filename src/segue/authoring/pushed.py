"""The options of steps that run at an executor which is polled: `executor=`, `resources=`, `push=`.

Also what a plan may not ask of such an executor, as far as that is known where the plan is made.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import msgspec

from segue.errors import DefinitionError, Problem
from segue.given import shown
from segue.plan.graph import Node
from segue.plan.pushed import PushSpec, Resources, decode_spec, encode_spec, queue_of

CONTAINER = "segue.container"
"""The name of the task behind `container`."""

executors: dict[str, Any] = {}
"""The executors of the imported code that are polled, by name; see `segue.dispatcher.registry`."""

transactional: set[str] = set()
"""The names of transactional tasks of the imported code."""

_NAME = re.compile(r"[a-z][a-z0-9_-]{0,39}")
_OWN_TASKS = "segue."
_PUSHED_OWN_TASKS = frozenset({"segue.shell", "segue.map_batch", "segue.map_batch_async", CONTAINER})
_OF_THEIR_OWN = {
    "celery": "install Segue into the app: segue.executors.celery.install(app, segue)",
    "dramatiq": "add SegueMiddleware to the broker",
    "local": "leave executor out: Segue's own workers run it",
}


def checked_executor(of: str, name: object) -> str:
    """The name of a polled executor. Raises DefinitionError."""
    if isinstance(name, str) and name in _OF_THEIR_OWN:
        raise DefinitionError(f"{of}: executor={name!r} is not for options of steps; {_OF_THEIR_OWN[name]}")
    if not isinstance(name, str) or not _NAME.fullmatch(name):
        raise DefinitionError(
            f"{of}: executor={shown(name)} is not the name of an executor; write the name that it was given, such as "
            "executor='hpc' for Slurm('hpc', ...)"
        )
    return name


def is_pushable(task: str | None) -> bool:
    """Whether `@workflow(executor=)` is about steps of this task: about the user's own, and about commands."""
    return task is not None and (not task.startswith(_OWN_TASKS) or task in _PUSHED_OWN_TASKS)


def pushed_problems(nodes: Sequence[Node]) -> Iterator[Problem]:
    """What these steps cannot have at their executors."""
    for node in nodes:
        if node.executor is None:
            if node.task == CONTAINER:
                remedy = "Write container(..., executor='hpc') with the name of one"
                yield Problem(node.name, "it is a container, which needs an executor", remedy)
        elif node.queue == queue_of(node.executor):  # those of other executors have several queues
            yield from _problems_of(node, node.executor)


def _problems_of(node: Node, name: str) -> Iterator[Problem]:
    if node.task is not None and not is_pushable(node.task):
        what = f"its task {node.task} is Segue's own, and does not run at executor {name!r}"
        yield Problem(node.name, what, "Leave executor out")
    if executors and name not in executors:
        known = ", ".join(sorted(executors))
        remedy = "Correct the name, or import the module that makes it"
        yield Problem(node.name, f"there is no executor {name!r} in the imported code; there are {known}", remedy)
    elif node.task in transactional and getattr(executors.get(name), "mode", None) == "files":
        what = f"its task is transactional, so it needs the database, which processes at {name!r} do not have"
        yield Problem(node.name, what, "Run it on a worker, or at an executor whose processes reach the database")


def changed_spec(of: str, before: str | None, changes: Mapping[str, object]) -> str | None:
    """The spec with other resources or options. Raises DefinitionError."""
    spec = decode_spec(before)
    resources, options = changes.get("resources", spec.resources), changes.get("push", spec.options)
    if not isinstance(resources, Resources):
        raise DefinitionError(
            f"{of}: resources={shown(resources)} are not Resources; write resources=Resources(cpu=4, memory='8GiB')"
        )
    if not isinstance(options, dict) or not all(isinstance(key, str) for key in options):
        raise DefinitionError(f"{of}: push={shown(options)} is not a dict; write push={{'partition': 'short'}}")
    try:
        return encode_spec(PushSpec(resources, {**spec.options, **options}))
    except (TypeError, ValueError, RecursionError, msgspec.MsgspecError) as error:
        raise DefinitionError(f"{of}: push={shown(options)} cannot be stored as JSON: {error}") from None
