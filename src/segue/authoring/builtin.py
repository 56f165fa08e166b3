"""The tasks that every worker knows: fan-out (`segue.map` and related tasks).

Importing `segue.authoring` registers them. Their names begin with `segue.`. `segue.shell` is in `command`.
"""

from __future__ import annotations

from contextlib import suppress
from itertools import chain as chained
from typing import Any

from segue.authoring.compose import Element, Group
from segue.authoring.context import begin_item
from segue.authoring.mapping import (
    FLATTEN,
    MAP,
    MAP_BATCH,
    MAP_BATCH_ASYNC,
    MAP_OUTCOMES,
    Fan,
    Named,
    checked_items,
    mapped,
)
from segue.authoring.options import Placement
from segue.authoring.task import Task, is_retryable, task, tasks
from segue.errors import DefinitionError
from segue.model import OUTCOMES, REFUSABLE_TASKS


@task(name=MAP)
def map_step(
    xs: Any,
    *,
    target: str,
    fixed: dict[str, Any],
    batch: int | None,
    star: bool,
    is_async: bool,
    placement: Placement,
) -> Element:
    """Return the group of one step of `target` for each item: the step is replaced by it."""
    return _fan(xs, target, fixed, batch, star, is_async, placement)


@task(name=MAP_OUTCOMES)
def map_outcomes_step(
    xs: Any,
    *,
    target: str,
    fixed: dict[str, Any],
    batch: int | None,
    star: bool,
    is_async: bool,
    placement: Placement,
) -> Element:
    """The same, and a step that collects how each of them ended."""
    return _fan(xs, target, fixed, batch, star, is_async, placement, errors=True)


@task(name=OUTCOMES)
def collect_outcomes(ended: list[Any]) -> list[Any]:
    """Return how each of the steps before it ended: the engine gives it that instead of their results."""
    return ended


def _fan(
    xs: Any, target: str, fixed: dict[str, Any], batch: int | None, star: bool, is_async: bool, placement: Placement,
    *, errors: bool = False,
) -> Element:  # fmt: skip
    short_name = target.rpartition(".")[2]
    items = checked_items(f"{short_name}.{'starmap' if star else 'map'}", xs, star=star)
    known = tasks.get(target)  # an invalid item fails its own step, not this one
    parameters = None if known is None else known.parameters
    member = Named(target, short_name if known is None else known.short_name, parameters)
    made = mapped(
        member,
        items,
        fixed=fixed,
        batch=batch,
        star=star,
        placement=placement,
        is_async=is_async,
        errors=errors,
        returns_secret=known is not None and known.returns_secret,
    )
    return Group(made.members) if isinstance(made, Fan) else made  # nothing follows here that would need the join


@task(name=MAP_BATCH)
def map_batch(items: list[Any], *, target: str, fixed: dict[str, Any], star: bool) -> list[Any]:
    """Call `target` for each of a few items, one after another; the first error ends the attempt."""
    wanted = _wanted(target)
    results = []
    for number, item in enumerate(items):
        begin_item(number)
        args, kwargs = _arguments(wanted, item, fixed, star)
        try:
            results.append(wanted.fn(*args, **kwargs))
        except Exception as exc:
            _judge(wanted, exc)
            raise
    return results


@task(name=MAP_BATCH_ASYNC)
async def map_batch_async(items: list[Any], *, target: str, fixed: dict[str, Any], star: bool) -> list[Any]:
    """Await `target` for each of a few items, one after another; the first error ends the attempt."""
    wanted = _wanted(target)
    results = []
    for number, item in enumerate(items):
        begin_item(number)
        args, kwargs = _arguments(wanted, item, fixed, star)
        try:
            results.append(await wanted.fn(*args, **kwargs))
        except Exception as exc:
            _judge(wanted, exc)
            raise
    return results


@task(name=FLATTEN)
def flatten(lists: list[list[Any] | None], *, sizes: list[int] | None = None, is_secret: bool = False) -> list[Any]:
    """The items of several lists as one list. A list that is missing, of so many items, gives None for each.

    `is_secret` tells those who show the step.
    """
    counts = sizes or [0] * len(lists)
    return list(
        chained.from_iterable([None] * n if part is None else part for part, n in zip(lists, counts, strict=True))
    )


def _wanted(target: str) -> Task[..., Any]:
    """The task that a batch calls. Invariant: a worker that was started without a task does not call it here either."""
    if target in REFUSABLE_TASKS.values():
        raise DefinitionError(f"a batch cannot call {target!r}; leave out batch=, so that each item gets its own step")
    return tasks.find(target)


def _arguments(
    wanted: Task[..., Any], item: Any, fixed: dict[str, Any], star: bool
) -> tuple[list[Any], dict[str, Any]]:
    return wanted.converters.apply(wanted.name, list(item) if star else [item], dict(fixed))


def _judge(wanted: Task[..., Any], error: Exception) -> None:
    """Mark whether the batch may be tried again: the target's own `retry_on` and `give_up_on` decide."""
    if not is_retryable(wanted, error):
        with suppress(BaseException):  # the user's `__setattr__` may raise, and must not replace the error
            error.segue_retryable = False  # type: ignore[attr-defined]
