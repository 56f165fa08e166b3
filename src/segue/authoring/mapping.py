"""Fan-out: `task.map` and `task.starmap` over a list, either now or when the list is known.

A known list becomes a group immediately. A future list becomes a step of the built-in task `segue.map`, which returns
that group when it runs. The built-in steps need not know the target task: they receive its name and the options of its
steps.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Protocol, Unpack

import msgspec

from segue.authoring.compose import Chain, Element, Group, Signature, Target
from segue.authoring.handle import Handle
from segue.authoring.known import holds_unknown
from segue.authoring.options import Placement, StepOptions, placed
from segue.authoring.trace import Trace, current_trace
from segue.errors import DefinitionError
from segue.given import shown
from segue.model import OUTCOMES, JoinRule, Policy, Ref
from segue.plan.check import Parameters

MAP = "segue.map"
MAP_BATCH = "segue.map_batch"
MAP_BATCH_ASYNC = "segue.map_batch_async"
MAP_OUTCOMES = "segue.map_outcomes"
FLATTEN = "segue.flatten"


class MapTarget(Target, Protocol):
    """The parts of a task that mapping needs."""

    @property
    def placement(self) -> Placement:
        """The options of its steps."""
        ...

    @property
    def returns_secret(self) -> bool:
        """Whether its result is annotated with `Secret`."""
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


class MapSignature(Signature[Any]):
    """The step that fans out when its list is known, with the options of the workflow around it."""

    __slots__ = ()

    def _add_to(self, trace: Trace, given: Handle | None) -> int:
        if given is None and not self.args:
            name = self.kwargs["target"].rpartition(".")[2]
            raise DefinitionError(
                f"{name}.map() was given no list, and no step before it gives one; write {name}.map(items)"
            )
        return super()._add_to(trace, given)

    def options(self, **changes: Unpack[StepOptions]) -> MapSignature:
        """A copy, each of whose steps has these options; those about the start (after, when, ...) go to the first."""
        target, own = self.kwargs["target"].rpartition(".")[2], self.placement
        members: Placement = self.kwargs["placement"]
        whole = msgspec.structs.replace(
            members, when=own.when, after=own.after, rule=own.rule, delay=own.delay, run_at=own.run_at
        )
        first, members = _shared_out(placed(whole, changes, of=target), target)
        return MapSignature(self.task, self.args, {**self.kwargs, "placement": members}, first, self.immutable)

    def __repr__(self) -> str:
        word = "starmap" if self.kwargs["star"] else "map"
        return f"{self.kwargs['target'].rpartition('.')[2]}.{word}({', '.join(map(repr, self.args))})"

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
    target: MapTarget,
    xs: Any,
    more: tuple[Any, ...],
    *,
    given_later: bool,
    fixed: dict[str, Any],
    batch: int | None,
    errors: bool,
    star: bool,
) -> Any:
    """The fan-out of `target` over `xs`: added as steps in a workflow, as an element otherwise."""
    word = "starmap" if star else "map"
    _check_options(f"{target.short_name}.{word}", batch, errors)
    if more:
        raise DefinitionError(
            f"{target.short_name}.{word} takes one list and was given {1 + len(more)}; to take an item of each, write "
            f"{target.short_name}.starmap(zip(...)), and give what is the same for all by name"
        )
    trace = current_trace.get()
    if given_later:
        return _later(target, (), fixed, batch, star, errors)
    if isinstance(xs, Handle):
        return _later(target, (xs,), fixed, batch, star, errors)()
    items = checked_items(f"{target.short_name}.{word}", xs, star=star)
    element = mapped(
        target, items, fixed=fixed, batch=batch, star=star, placement=target.placement, is_async=target.is_async,
        errors=errors, returns_secret=target.returns_secret,
    )  # fmt: skip
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
    errors: bool = False,
    returns_secret: bool = False,
) -> Element:
    """The group of one step for each item, or for each `batch` of them. With `errors` its result is their outcomes."""
    if batch is not None:
        return _batches(
            target, items, fixed=fixed, batch=batch, star=star, placement=placement, is_async=is_async,
            returns_secret=returns_secret,
        )  # fmt: skip
    kwargs = dict(fixed)
    own = _may_fail(placement) if errors else placement
    members = [Signature(target, item if star else (item,), kwargs, own, True) for item in items]
    return _with_outcomes(members, placement, target.short_name) if errors and items else Fan(members)


class Fan(Group[Any]):
    """The steps of a map over a known list. If they may fail, what follows gets the list all the same.

    The list then has None for each that failed, as it has if the list is known only at run time.
    """

    __slots__ = ()

    def _lay_out(self, trace: Trace, given: Handle | None) -> Handle:
        whole = super()._lay_out(trace, given)
        if not any(isinstance(each, Signature) and each.placement.policy.may_fail for each in self.members):
            return whole
        number = trace.join(whole._expr, whole._steps, JoinRule.ALL_DONE)
        return Handle(trace, Ref(number), (number,), whole._roots)


def _batches(
    target: Target, items: list[Any], *, fixed: Mapping[str, Any], batch: int, star: bool, placement: Placement,
    is_async: bool, returns_secret: bool,
) -> Element:  # fmt: skip
    if placement.name is None:
        placement = msgspec.structs.replace(placement, name=target.short_name)
    for item in items:
        _check(target, item if star else (item,), fixed)
    step = Named(MAP_BATCH_ASYNC if is_async else MAP_BATCH, target.short_name)
    told = {"target": target.name, "fixed": dict(fixed), "star": star}
    parts = [items[start : start + batch] for start in range(0, len(items), batch)]
    if not parts:
        return Group(())
    flat = Placement(name="flatten", queue=placement.queue, priority=placement.priority)
    how: dict[str, Any] = {"sizes": [len(part) for part in parts]} if placement.policy.may_fail else {}
    if returns_secret:
        how["is_secret"] = True
    batches = Fan(Signature(step, (part,), told, placement, True) for part in parts)
    return Chain((batches, Signature(Named(FLATTEN, "flatten"), (), how, flat, False)))


def _check_options(label: str, batch: object, errors: object) -> None:
    if batch is not None and (type(batch) is not int or batch < 1):
        raise DefinitionError(f"{label}: batch={shown(batch)} is not a whole number of items; give 1 or more")
    if not isinstance(errors, bool):
        raise DefinitionError(f"{label}: errors={shown(errors)} is not a boolean; write True or False")
    if errors and batch is not None:
        raise DefinitionError(
            f"{label}: errors=True needs a step for each item, and batch={batch} makes one of several; leave out one "
            "of them, or let the task take a list and return what it knows of each"
        )


def _may_fail(placement: Placement) -> Placement:
    return msgspec.structs.replace(placement, policy=msgspec.structs.replace(placement.policy, may_fail=True))


def _with_outcomes(members: list[Signature], placement: Placement, short_name: str) -> Element:
    """The members, and a step whose result is how each of them ended."""
    about = Placement(
        name=f"{placement.name or short_name}.outcomes", queue=placement.queue, priority=placement.priority,
        rule=JoinRule.ALL_DONE,
    )  # fmt: skip
    return Chain((Group(members), Signature(Named(OUTCOMES, "outcomes"), (), {}, about, False)))


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


def _later(
    target: MapTarget, args: tuple[Any, ...], fixed: dict[str, Any], batch: int | None, star: bool, errors: bool
) -> Signature:
    _check(target, (), fixed)
    own, members = _shared_out(target.placement, target.short_name)
    told = {
        "target": target.name,
        "fixed": fixed,
        "batch": batch,
        "star": star,
        "is_async": target.is_async,
        "placement": members,
    }
    return MapSignature(Named(MAP_OUTCOMES if errors else MAP, "map"), args, told, own, False)


def _shared_out(placement: Placement, short_name: str) -> tuple[Placement, Placement]:
    """The options of the step that fans out, and those of its members, from the options of the whole."""
    members = msgspec.structs.replace(placement, when=None, after=(), rule=Placement().rule, delay=None, run_at=None)
    own = msgspec.structs.replace(
        placement,
        name=f"{placement.name or short_name}.map",
        policy=Policy(may_fail=True) if placement.policy.may_fail else Placement().policy,
        own_limit=None,
        limits=(),
        cost=1,
        fair=None,
        executor=None,  # it only makes steps, which any worker can do
        spec=None,
    )
    return own, members
