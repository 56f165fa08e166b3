"""What a schedule is: what it starts, when, and under which policies. From the user's objects to what can be stored.

A task, signature, chain or group is stored as its plan, so that any leader can start it, also one without the code. A
workflow is called anew at each tick, because its plan may depend on its arguments; whoever starts it must know it.

The tick itself can be an argument: the one required parameter that nobody gave is given it, as its annotation asks: an
aware datetime in the schedule's zone, a date there, or (anything else) that date as text, "2026-11-20".
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import date, datetime
from types import UnionType
from typing import Any, Literal, Union, get_args, get_origin

import msgspec

from segue.authoring import Signature, Task, Workflow, WorkflowSignature, decode, encode, registry, to_plan
from segue.authoring.schedule import Schedule
from segue.authoring.values import annotations_of
from segue.errors import DefinitionError
from segue.plan import codec
from segue.plan.check import Parameters
from segue.plan.graph import NO_ARGUMENTS, Plan, RunTerms
from segue.plan.labels import checked_tags, with_terms
from segue.timetable import Every, Timetable, parse_timetable
from segue.timetable.interval import EPOCH
from segue.timetable.zones import zone_named

Kind = Literal["datetime", "date", "text"]


class TickArgument(msgspec.Struct, frozen=True, array_like=True):
    """The parameter of a planned task that receives the tick."""

    name: str
    kind: Kind


class Definition(msgspec.Struct, frozen=True, kw_only=True):
    """A schedule without its name and its state; two that are equal do the same."""

    workflow: str  # the name of what it starts
    plan: str | None  # None: the workflow is called at each tick
    tick_argument: str | None
    arguments: str
    expression: str
    timezone: str
    anchor_at: datetime
    starts_at: datetime | None
    ends_at: datetime | None
    jitter: float
    overlap: str
    catch_up: str
    catch_up_window: float | None
    tags: tuple[str, ...] = ()

    def timetable(self) -> Timetable:
        """Its ticks."""
        return parse_timetable(
            self.expression, self.timezone, anchor=self.anchor_at, starts_at=self.starts_at, ends_at=self.ends_at
        )

    def plan_at(self, tick: datetime, name: str) -> Plan:
        """The plan of the run for a tick of the schedule `name`. Calls the user's workflow, so anything may be raised.

        Raises UnknownTaskError when it is a workflow that this process does not know.
        """
        if self.plan is not None:
            plan = codec.decode(self.plan)
            if self.tick_argument is not None:
                plan = _with_tick(plan, _decode_argument(self.tick_argument), tick, self.timezone)
        else:
            found = registry.find_workflow(self.workflow)
            args, kwargs = decode(self.arguments)
            parameter = tick_parameter(found.short_name, found.parameters, args, kwargs)
            if parameter is not None:
                kwargs[parameter] = _told(tick, kind_of(found.fn, parameter), self.timezone)
            plan = to_plan(found, *args, **kwargs)
        metadata = encode({"schedule": name, "tick": tick.isoformat()})
        return with_terms(plan, RunTerms(tags=self.tags, metadata=metadata))


def define(
    work: Any, args: Sequence[Any], kwargs: Mapping[str, Any], schedule: Schedule, tags: Sequence[str] = ()
) -> Definition:
    """The definition of a schedule that starts `work` with these arguments.

    Raises DefinitionError, PlanError or SerializationError when that cannot be.
    """
    work, given, named = _unwrapped(work, tuple(args), dict(kwargs))
    plan: str | None = None
    tick_argument: str | None = None
    if isinstance(work, Workflow):
        name = work.name
        tick_parameter(work.short_name, work.parameters, given, named)
    else:
        planned, tick_argument = _planned(work, given, named)
        name, plan = planned.name, codec.encode(planned)
        if isinstance(work, Signature):
            given, named = work.args, work.kwargs
    arguments = encode((given, named)) if given or named else NO_ARGUMENTS
    return Definition(
        workflow=name, plan=plan, tick_argument=tick_argument, arguments=arguments,
        tags=checked_tags("a schedule", tags), **when_of(schedule),
    )  # fmt: skip


def when_of(schedule: Schedule) -> dict[str, Any]:
    """The fields of a definition that say when, and under which policies."""
    timetable = schedule.timetable()
    anchor = timetable.anchor if isinstance(timetable, Every) else None
    return {
        "expression": timetable.text, "timezone": timetable.timezone, "anchor_at": anchor or EPOCH,
        "starts_at": timetable.starts_at, "ends_at": timetable.ends_at, "jitter": schedule.jitter,
        "overlap": str(schedule.overlap), "catch_up": str(schedule.catch_up),
        "catch_up_window": schedule.catch_up_window,
    }  # fmt: skip


def tick_parameter(of: str, parameters: Parameters, args: Sequence[Any], kwargs: Mapping[str, Any]) -> str | None:
    """The required parameter that nobody gave, which receives the tick; None when all are given.

    Raises DefinitionError when more than one is missing, or when what is given does not fit.
    """
    given = {*parameters.positional[: len(args)], *kwargs}
    missing = [name for name in parameters.required if name not in given]
    if len(missing) > 1:
        raise DefinitionError(
            f"{of}{parameters.text} cannot be scheduled: it is not given {', '.join(missing)}. One parameter may be "
            "left out, it receives the tick; give the others in segue.schedules.create, or give them defaults"
        )
    tick = missing[0] if missing else None
    if tick is not None and tick not in parameters.named:
        raise DefinitionError(
            f"{of}{parameters.text} cannot be scheduled: {tick} receives the tick and must be possible to give by name"
        )
    mistake = parameters.mistake(len(args), [*kwargs, *missing])
    if mistake is not None:
        raise DefinitionError(f"{of}{parameters.text} cannot be scheduled: {mistake}")
    return tick


def kind_of(fn: Any, parameter: str) -> Kind:
    """How the parameter wants to be told the tick."""
    annotation = annotations_of(fn).get(parameter, str)
    if get_origin(annotation) in (Union, UnionType):
        annotation = next((kind for kind in get_args(annotation) if kind in (datetime, date)), annotation)
    if annotation is datetime:
        return "datetime"
    return "date" if annotation is date else "text"


def _unwrapped(work: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> tuple[Any, tuple[Any, ...], dict[str, Any]]:
    """A signature of a workflow or task as that and its arguments, where nothing else is said of it."""
    if isinstance(work, WorkflowSignature) and not args and not kwargs:
        if work.placement.after or work.placement.when is not None:
            raise DefinitionError(f"{work!r} has after= or when=, which mean nothing in a schedule; leave them out")
        return work.workflow, work.args, work.kwargs
    return work, args, kwargs


def _planned(work: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> tuple[Plan, str | None]:
    task = work if isinstance(work, Task) else work.task if isinstance(work, Signature) else None
    if not isinstance(task, Task) or (task is not work and (args or kwargs)):
        return to_plan(work, *args, **kwargs), None
    if isinstance(work, Signature):
        args, kwargs, placement = work.args, dict(work.kwargs), work.placement
    else:
        placement = work.placement
    parameter = tick_parameter(task.short_name, task.parameters, args, kwargs)
    if parameter is None:
        return to_plan(Signature(task, args, kwargs, placement, True)), None
    planned = to_plan(Signature(task, args, {**kwargs, parameter: None}, placement, True))
    return planned, msgspec.json.encode(TickArgument(parameter, kind_of(task.fn, parameter))).decode()


def _told(tick: datetime, kind: Kind, timezone: str) -> datetime | date | str:
    local = tick.astimezone(zone_named(timezone))
    match kind:
        case "datetime":
            return local
        case "date":
            return local.date()
        case "text":
            return local.date().isoformat()


def _with_tick(plan: Plan, argument: TickArgument, tick: datetime, timezone: str) -> Plan:
    """The plan, whose only step is the task, with the tick among its arguments."""
    [node] = plan.nodes
    args, kwargs = decode(node.args)
    kwargs[argument.name] = _told(tick, argument.kind, timezone)
    arguments = encode((args, kwargs))
    plan = msgspec.structs.replace(plan, nodes=(msgspec.structs.replace(node, args=arguments),))
    return with_terms(plan, RunTerms(arguments=arguments))


_decode_argument = msgspec.json.Decoder(TickArgument).decode
