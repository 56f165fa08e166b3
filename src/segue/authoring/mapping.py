"""Fan-out: what `task.map` and `task.starmap` make of a list, now or when it is known.

A list that is known becomes a group at once. One that is not becomes a step of the built-in task `segue.map`, which
returns that group when it runs. The built-in steps need not know the target task: they are told its name and how its
steps are to be placed.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Protocol

import msgspec

from segue.authoring.compose import Chain, Element, Group, Signature, Target
from segue.authoring.handle import Handle
from segue.authoring.options import Placement
from segue.authoring.trace import Trace, current_trace
from segue.errors import DefinitionError
from segue.model import Policy
from segue.plan.check import Parameters

MAP = "segue.map"
MAP_BATCH = "segue.map_batch"
MAP_BATCH_ASYNC = "segue.map_batch_async"
FLATTEN = "segue.flatten"


class MapTarget(Target, Protocol):
    """What mapping needs to know about the task that is mapped."""

    @property
    def placement(self) -> Placement:
        """How its steps are placed."""
        ...

    @property
    def is_async(self) -> bool:
        """Whether it is an `async def`."""
        ...


class Named(msgspec.Struct, frozen=True):
    """A task of which only the name is known here."""

    name: str
    short_name: str
    parameters: Parameters | None = None


class MapSignature(Signature):
    """The step that fans out when its list is known; tells it how the workflow around it places steps."""

    __slots__ = ()

    def arguments(self, trace: Trace) -> dict[str, Any]:
        """Tell the step the queue and priority of the workflow around it, for the steps that it will make."""
        own = self.placement
        members = msgspec.structs.replace(
            self.kwargs["placement"],
            queue=own.queue or trace.scope.queue,
            priority=own.priority if own.priority is not None else trace.scope.priority,
        )
        return {**self.kwargs, "placement": members}


def map_over(
    target: MapTarget, xs: Any, *, given_later: bool, fixed: dict[str, Any], batch: int | None, star: bool
) -> Any:
    """The fan-out of `target` over `xs`: added as steps in a workflow, as an element otherwise."""
    word = "starmap" if star else "map"
    if batch is not None and (type(batch) is not int or batch < 1):
        raise DefinitionError(
            f"{target.short_name}.{word}: batch={batch!r} is not a whole number of items; give 1 or more"
        )
    trace = current_trace.get()
    if given_later:
        return _later(target, (), fixed, batch, star)
    if isinstance(xs, Handle):
        return _later(target, (xs,), fixed, batch, star)()
    items = checked_items(f"{target.short_name}.{word}", xs)
    element = mapped(
        target, items, fixed=fixed, batch=batch, star=star, placement=target.placement, is_async=target.is_async
    )
    return element if trace is None else element.lay_out(trace, None)


def mapped(
    target: Target,
    items: list[Any],
    *,
    fixed: Mapping[str, Any],
    batch: int | None,
    star: bool,
    placement: Placement,
    is_async: bool,
) -> Element:
    """The group of one step for each item, or for each `batch` of them."""
    if batch is None:
        kwargs = dict(fixed)
        if star:
            return Group([Signature(target, tuple(item), kwargs, placement, True) for item in items])
        return Group([Signature(target, (item,), kwargs, placement, True) for item in items])
    if placement.name is None:
        placement = msgspec.structs.replace(placement, name=target.short_name)
    step = Named(MAP_BATCH_ASYNC if is_async else MAP_BATCH, target.short_name)
    told = {"target": target.name, "fixed": dict(fixed), "star": star}
    batches = [
        Signature(step, (items[start : start + batch],), told, placement, True) for start in range(0, len(items), batch)
    ]
    if not batches:
        return Group(())
    flat = Placement(name="flatten", queue=placement.queue, priority=placement.priority)
    return Chain((Group(batches), Signature(Named(FLATTEN, "flatten"), (), {}, flat, False)))


def checked_items(label: str, xs: Any) -> list[Any]:
    """The items to map over; raises `DefinitionError` for what is not a list of things."""
    if isinstance(xs, (list, tuple)):
        return list(xs)
    if not isinstance(xs, Iterable) or isinstance(xs, (str, bytes, Mapping)):
        raise DefinitionError(
            f"{label} needs a list and was given {type(xs).__name__} {str(xs)[:60]!r}; "
            "give it a list, for example [x] for a single item"
        )
    return list(xs)


def _later(target: MapTarget, args: tuple[Any, ...], fixed: dict[str, Any], batch: int | None, star: bool) -> Signature:
    placement = target.placement
    members = msgspec.structs.replace(placement, when=None, after=(), rule=Placement().rule, delay=None, run_at=None)
    told = {
        "target": target.name,
        "fixed": fixed,
        "batch": batch,
        "star": star,
        "is_async": target.is_async,
        "placement": members,
    }
    own = msgspec.structs.replace(
        placement,
        name=f"{placement.name or target.short_name}.map",
        policy=Policy(may_fail=True) if placement.policy.may_fail else Placement().policy,
        own_limit=None,
        limits=(),
        cost=1,
        fair=None,
    )
    return MapSignature(Named(MAP, "map"), args, told, own, False)
