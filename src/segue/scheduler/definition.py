"""The definition of a schedule: what it starts, when, and under which policies. Converts the user's objects for
storage.

A task, signature, chain or group is stored as its plan, so that any leader can start it, also one without the code. A
workflow is called again at each tick, because its plan may depend on its arguments; the process that starts it must
know it.

The tick itself can be an argument: the one required parameter without a value receives it, in the form of its
annotation: an aware datetime in the schedule's time zone, a date there, or (any other annotation) that date as text,
"2026-11-20".
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import date, datetime
from types import UnionType
from typing import Any, Literal, Union, assert_never, get_args, get_origin

import msgspec

from segue.authoring import Signature, Task, Workflow, WorkflowSignature, declared, decode, encode, to_plan
from segue.authoring.schedule import Schedule
from segue.authoring.values import annotations_of
from segue.errors import DefinitionError
from segue.plan import codec
from segue.plan.check import Parameters
from segue.plan.graph import NO_ARGUMENTS, Plan, RunTerms
from segue.plan.labels import checked_tags, with_terms
from segue.plan.namespaces import DEFAULT, bare, namespace_of, plan_in, stored
from segue.scheduler.handles import with_own_handles
from segue.timetable import Every, Timetable, parse_timetable
from segue.timetable.interval import EPOCH
from segue.timetable.zones import zone_named

Kind = Literal["datetime", "date", "text"]


class TickArgument(msgspec.Struct, frozen=True, array_like=True):
    """The parameter of a planned task that receives the tick."""

    name: str
    kind: Kind


class Definition(msgspec.Struct, frozen=True, kw_only=True):
    """A schedule without its name and its state. Equal definitions do the same."""

    workflow: str  # the stored name of the workflow or task; names in the plan are stored names, too
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
        """The plan of the run for a tick of the schedule `name`. It calls the user's workflow, which may raise
        anything.

        Raises UnknownTaskError for a workflow that this process does not know.
        """
        if self.plan is not None:
            plan = with_own_handles(codec.decode(self.plan))
            if self.tick_argument is not None:
                plan = _with_tick(plan, _decode_argument(self.tick_argument), tick, self.timezone)
        else:
            found = declared.find_workflow(bare(self.workflow))
            args, kwargs = found.converters.apply(found.name, *decode(self.arguments))
            parameter = tick_parameter(found.short_name, found.parameters, args, kwargs)
            if parameter is not None:
                kwargs[parameter] = _tick_value(tick, kind_of(found.fn, parameter), self.timezone)
            plan = plan_in(to_plan(found, *args, **kwargs), namespace_of(self.workflow))
        metadata = encode({"schedule": bare(name), "tick": tick.isoformat()})
        return with_terms(plan, RunTerms(tags=self.tags, metadata=metadata))


def definition_in(definition: Definition, namespace: str) -> Definition:
    """The definition with stored names."""
    if namespace == DEFAULT:
        return definition
    plan = None if definition.plan is None else codec.encode(plan_in(codec.decode(definition.plan), namespace))
    return msgspec.structs.replace(definition, workflow=stored(namespace, definition.workflow), plan=plan)


def define(
    work: Any, args: Sequence[Any], kwargs: Mapping[str, Any], schedule: Schedule, tags: Sequence[str] = ()
) -> Definition:
    """The definition of a schedule that starts `work` with these arguments.

    Raises DefinitionError, PlanError or SerializationError for invalid ones.
    """
    work, given, named = _unwrapped(work, tuple(args), dict(kwargs))
    plan: str | None = None
    tick_argument: str | None = None
    if isinstance(work, Workflow):
        name = work.name
        tick_parameter(work.short_name, work.parameters, given, named)
        work.converters.check(work.short_name, given, named)  # it is called later, with the values stored now
    else:
        planned, tick_argument = _planned(work, given, named)
        name, plan = planned.name, codec.encode(planned)
        if isinstance(work, Signature):
            given, named = work.args, work.kwargs
    arguments = encode((given, named), "arguments") if given or named else NO_ARGUMENTS
    return Definition(
        workflow=name, plan=plan, tick_argument=tick_argument, arguments=arguments,
        tags=checked_tags("a schedule", tags), **when_of(schedule),
    )  # fmt: skip


def when_of(schedule: Schedule) -> dict[str, Any]:
    """The fields of a definition for the times and policies."""
    timetable = schedule.timetable()
    anchor = timetable.anchor if isinstance(timetable, Every) else None
    return {
        "expression": timetable.text, "timezone": timetable.timezone, "anchor_at": anchor or EPOCH,
        "starts_at": timetable.starts_at, "ends_at": timetable.ends_at, "jitter": schedule.jitter,
        "overlap": str(schedule.overlap), "catch_up": str(schedule.catch_up),
        "catch_up_window": schedule.catch_up_window,
    }  # fmt: skip


def tick_parameter(of: str, parameters: Parameters, args: Sequence[Any], kwargs: Mapping[str, Any]) -> str | None:
    """The required parameter without a value, which receives the tick; None if all have values.

    Raises DefinitionError if more than one has no value, or if a value does not fit.
    """
    given = {*parameters.positional[: len(args)], *kwargs}
    missing = [name for name in parameters.required if name not in given]
    if len(missing) > 1:
        raise DefinitionError(
            f"{of}{parameters.text} cannot be scheduled: it has no value for {', '.join(missing)}. One parameter may "
            "be left out, and receives the tick; give the others in segue.schedules.create, or give them defaults"
        )
    tick = missing[0] if missing else None
    if tick is not None and tick not in parameters.named:
        raise DefinitionError(
            f"{of}{parameters.text} cannot be scheduled: {tick} receives the tick and must not be positional-only"
        )
    mistake = parameters.mistake(len(args), [*kwargs, *missing])
    if mistake is not None:
        raise DefinitionError(f"{of}{parameters.text} cannot be scheduled: {mistake}")
    return tick


def kind_of(fn: Any, parameter: str) -> Kind:
    """The form in which the parameter receives the tick."""
    annotation = annotations_of(fn).get(parameter, str)
    if get_origin(annotation) in (Union, UnionType):
        annotation = next((kind for kind in get_args(annotation) if kind in (datetime, date)), annotation)
    if annotation is datetime:
        return "datetime"
    return "date" if annotation is date else "text"


def _unwrapped(work: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> tuple[Any, tuple[Any, ...], dict[str, Any]]:
    """The workflow or task of a signature, and its arguments, if the signature sets nothing else."""
    if isinstance(work, WorkflowSignature) and not args and not kwargs:
        if work.placement.after or work.placement.when is not None:
            raise DefinitionError(f"{work!r} has after= or when=, which have no effect in a schedule; leave them out")
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
    argument = TickArgument(parameter, kind_of(task.fn, parameter))
    some_tick = _tick_value(EPOCH, argument.kind, "UTC")  # for the checks of the plan
    planned = to_plan(Signature(task, args, {**kwargs, parameter: some_tick}, placement, True))
    return _with_argument(planned, parameter, None), msgspec.json.encode(argument).decode()


def _tick_value(tick: datetime, kind: Kind, timezone: str) -> datetime | date | str:
    local = tick.astimezone(zone_named(timezone))
    match kind:
        case "datetime":
            return local
        case "date":
            return local.date()
        case "text":
            return local.date().isoformat()
        case unknown:
            assert_never(unknown)


def _with_tick(plan: Plan, argument: TickArgument, tick: datetime, timezone: str) -> Plan:
    """The plan, whose only step is the task, with the tick among its arguments."""
    return _with_argument(plan, argument.name, _tick_value(tick, argument.kind, timezone))


def _with_argument(plan: Plan, name: str, value: object) -> Plan:
    [node] = plan.nodes
    args, kwargs = decode(node.args)
    kwargs[name] = value
    arguments = encode((args, kwargs))
    plan = msgspec.structs.replace(plan, nodes=(msgspec.structs.replace(node, args=arguments),))
    return with_terms(plan, RunTerms(arguments=arguments))


_decode_argument = msgspec.json.Decoder(TickArgument).decode
