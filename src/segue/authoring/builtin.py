"""The tasks that every worker knows: fan-out (`segue.map` and its kin).

They are registered by importing `segue.authoring`, under names of their own. `segue.shell` is in `command`.
"""

from __future__ import annotations

from itertools import chain as chained
from typing import Any

from segue.authoring.compose import Element
from segue.authoring.mapping import FLATTEN, MAP, MAP_BATCH, MAP_BATCH_ASYNC, Named, checked_items, mapped
from segue.authoring.options import Placement
from segue.authoring.registry import find_task, tasks
from segue.authoring.task import Task, is_retryable, task


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
    short_name = target.rpartition(".")[2]
    items = checked_items(f"{short_name}.{'starmap' if star else 'map'}", xs)
    known = tasks.get(target) or Named(target, short_name)
    return mapped(known, items, fixed=fixed, batch=batch, star=star, placement=placement, is_async=is_async)


@task(name=MAP_BATCH)
def map_batch(items: list[Any], *, target: str, fixed: dict[str, Any], star: bool) -> list[Any]:
    """Call `target` for each of a few items, one after another; the first error ends the attempt."""
    wanted = find_task(target)
    results = []
    for item in items:
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
    wanted = find_task(target)
    results = []
    for item in items:
        args, kwargs = _arguments(wanted, item, fixed, star)
        try:
            results.append(await wanted.fn(*args, **kwargs))
        except Exception as exc:
            _judge(wanted, exc)
            raise
    return results


@task(name=FLATTEN)
def flatten(lists: list[list[Any]]) -> list[Any]:
    """The items of several lists as one list."""
    return list(chained.from_iterable(lists))


def _arguments(
    wanted: Task[..., Any], item: Any, fixed: dict[str, Any], star: bool
) -> tuple[list[Any], dict[str, Any]]:
    return wanted.converters.apply(wanted.name, list(item) if star else [item], dict(fixed))


def _judge(wanted: Task[..., Any], error: Exception) -> None:
    """Let the error say whether the batch may be tried again: the target's own `retry_on` and `give_up_on` decide."""
    if not is_retryable(wanted, error):
        error.segue_retryable = False  # type: ignore[attr-defined]
