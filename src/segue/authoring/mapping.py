"""Fan-out: `task.map` and `task.starmap` over a list, either now or when the list is known.

A known list becomes a group immediately. A future list becomes a step of the built-in task `segue.map`, which returns
that group when it runs. The built-in steps need not know the target task: they receive its name and the options of its
steps.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Protocol

import msgspec

from segue.authoring.compose import Chain, Element, Group, Signature, Target
from segue.authoring.handle import Handle
from segue.authoring.known import holds_unknown
from segue.authoring.options import Placement
from segue.authoring.trace import Trace, current_trace
from segue.errors import DefinitionError
from segue.given import shown
from segue.model import Policy
from segue.plan.check import Parameters

MAP = "segue.map"
MAP_BATCH = "segue.map_batch"
MAP_BATCH_ASYNC = "segue.map_batch_async"
FLATTEN = "segue.flatten"


class MapTarget(Target, Protocol):
    """The parts of a task that mapping needs."""

    @property
    def placement(self) -> Placement:
        """The options of its steps."""
        ...

    @property
    def is_async(self) -> bool:
        """Whether it is an `async def`."""
        ...


class Named(msgspec.Struct, frozen=True):
    """A task of which only the name is known here, or whose arguments must not be checked here."""

    name: str
    short_name: str
    parameters: Parameters | None = None
    converters: None = None


class MapSignature(Signature):
    """The step that fans out when its list is known, with the options of the workflow around it."""

    __slots__ = ()

    def arguments(self, trace: Trace) -> dict[str, Any]:
        """Add the queue and priority of the workflow around it to the arguments, for the steps that it will make."""
        own = self.placement
        told: Placement = self.kwargs["placement"]
        executor = told.executor
        if executor is None and own.queue is None:
            executor = trace.scope.executor
        members = msgspec.structs.replace(
            told,
            executor=executor,
            queue=None if executor is not None else own.queue or trace.scope.queue,
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
            f"{target.short_name}.{word}: batch={shown(batch)} is not a whole number of items; give 1 or more"
        )
    trace = current_trace.get()
    if given_later:
        return _later(target, (), fixed, batch, star)
    if isinstance(xs, Handle):
        return _later(target, (xs,), fixed, batch, star)()
    items = checked_items(f"{target.short_name}.{word}", xs, star=star)
    element = mapped(
        target, items, fixed=fixed, batch=batch, star=star, placement=target.placement, is_async=target.is_async
    )
    return element if trace is None else element._lay_out(trace, None)


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
        return Group([Signature(target, item if star else (item,), kwargs, placement, True) for item in items])
    if placement.name is None:
        placement = msgspec.structs.replace(placement, name=target.short_name)
    for item in items:
        _check(target, item if star else (item,), fixed)
    step = Named(MAP_BATCH_ASYNC if is_async else MAP_BATCH, target.short_name)
    told = {"target": target.name, "fixed": dict(fixed), "star": star}
    batches = [
        Signature(step, (items[start : start + batch],), told, placement, True) for start in range(0, len(items), batch)
    ]
    if not batches:
        return Group(())
    flat = Placement(name="flatten", queue=placement.queue, priority=placement.priority)
    return Chain((Group(batches), Signature(Named(FLATTEN, "flatten"), (), {}, flat, False)))


def _check(target: Target, args: tuple[Any, ...], fixed: Mapping[str, Any]) -> None:
    """Refuse arguments that would not reach the target unchanged; the steps are made from the stored values."""
    if target.converters is not None and not any(holds_unknown(item, Handle) for item in args):
        known = {name: value for name, value in fixed.items() if not holds_unknown(value, Handle)}
        target.converters.check(target.short_name, args, known)


def checked_items(label: str, xs: Any, *, star: bool) -> list[Any]:
    """The items to map over; with `star` each is a tuple. Raises `DefinitionError` for a value that is not a list."""
    if not _is_list(xs):
        raise DefinitionError(
            f"{label} needs a list and was given {type(xs).__name__} {shown(xs, 60)}; "
            "give it a list, for example [x] for a single item"
        )
    items = list(xs)
    for number, item in enumerate(items if star else ()):
        if not _is_list(item):
            raise DefinitionError(
                f"{label} needs a list of the arguments of each step, and item {number} is {type(item).__name__} "
                f"{shown(item, 60)}; give it a tuple, for example (x, y)"
            )
        items[number] = tuple(item)
    return items


def _is_list(xs: object) -> bool:
    return isinstance(xs, (list, tuple)) or (isinstance(xs, Iterable) and not isinstance(xs, (str, bytes, Mapping)))


def _later(target: MapTarget, args: tuple[Any, ...], fixed: dict[str, Any], batch: int | None, star: bool) -> Signature:
    _check(target, (), fixed)
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
        executor=None,  # it only makes steps, which any worker can do
        spec=None,
    )
    return MapSignature(Named(MAP, "map"), args, told, own, False)
