"""What the command line prints as JSON, and the HTTP API answers: `to_dict()` with the names that both document.

The namespace is left out. It is added where several are shown.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any, TypeVar

import msgspec

from segue.authoring.webhook import place_of
from segue.engine.limiting.limits import LimitInfo, ShareInfo
from segue.engine.platforms import ExecutorInfo
from segue.engine.retention import Rule
from segue.engine.sending import Sent
from segue.engine.stored import arguments_of
from segue.engine.subscriptions import SubscriptionInfo
from segue.engine.views.checkpoints import CheckpointInfo
from segue.engine.views.definitions import DefinitionInfo
from segue.engine.views.look import AttemptInfo, RunInfo, StepInfo, WorkerInfo
from segue.engine.views.queues import QueueInfo
from segue.engine.views.reason import Reason
from segue.engine.views.waiting import EventInfo, WaitInfo
from segue.errors import Abort, ConfigError, PlanError
from segue.jsonable import Jsonable
from segue.model import StepStatus
from segue.plan import codec
from segue.scheduler.looking import ScheduleInfo, TickInfo
from segue.timetable.zones import zone_named

T = TypeVar("T")

RENAMED: dict[type, dict[str, str]] = {
    EventInfo: {"run_id": "run"},
    Rule: {"max_age": "max_age_seconds"},
    ScheduleInfo: {"expression": "schedule"},
    Sent: {"run_id": "run"},
    TickInfo: {"run_id": "run"},
    WaitInfo: {"run_id": "run"},
}
"""The fields that have another name in JSON."""


def record(value: Jsonable) -> dict[str, Any]:
    """Any view of the database as a JSON object, without its namespace."""
    known = _OTHERWISE.get(type(value))
    return _record(value) if known is None else known(value)


def from_record(kind: type[T], shown: Mapping[str, Any]) -> T:
    """The view of which this is the JSON object; what has been added to it is left out."""
    names = {shown: name for name, shown in RENAMED.get(kind, {}).items()}
    fields = {names.get(name, name): value for name, value in shown.items()}
    if kind is ScheduleInfo and fields["last"] is not None:
        fields["last"] = from_record(TickInfo, fields["last"])
    if kind is StepInfo:
        policy = fields["policy"]
        fields |= {"scope": -1 if fields["scope"] is None else fields["scope"], "policy": _text(policy)}
    if kind is SubscriptionInfo:
        fields |= {"tasks": [], "target": fields["to"]}
    return msgspec.convert(fields, kind, strict=False)


def _text(value: Any) -> str | None:
    return None if not value else msgspec.json.encode(value).decode()


def run_record(run: RunInfo, counts: dict[StepStatus, int] | None = None) -> dict[str, Any]:
    """A run, with the number of its steps in each status if they were counted."""
    counted = {} if counts is None else {"counts": {status.value: count for status, count in counts.items()}}
    return _record(run) | counted


def step_record(step: StepInfo) -> dict[str, Any]:
    """A step with all its fields."""
    return _record(step)


def attempt_record(attempt: AttemptInfo) -> dict[str, Any]:
    """One attempt."""
    return _record(attempt)


def checkpoint_record(checkpoint: CheckpointInfo) -> dict[str, Any]:
    """What a task recorded inside its step; `value` is JSON in a text, which may be a reference to a payload."""
    return _record(checkpoint)


def worker_record(worker: WorkerInfo) -> dict[str, Any]:
    """A worker."""
    return _record(worker)


def queue_record(queue: QueueInfo) -> dict[str, Any]:
    """A queue."""
    return _record(queue)


def executor_record(executor: ExecutorInfo) -> dict[str, Any]:
    """An executor that is polled."""
    return _record(executor)


def wait_record(wait: WaitInfo) -> dict[str, Any]:
    """A step that waits for a message."""
    return _record(wait)


def event_record(event: EventInfo) -> dict[str, Any]:
    """An event that was recorded."""
    return _record(event)


def reason_record(reason: Reason) -> dict[str, Any]:
    """A reason why something does not continue."""
    return _record(reason)


def definition_record(each: DefinitionInfo) -> dict[str, Any]:
    """A definition of a task or workflow."""
    return _record(each)


def limit_record(each: LimitInfo | ShareInfo) -> dict[str, Any]:
    """A limit, or a key that shares a queue."""
    return _record(each)


def rule_record(rule: Rule) -> dict[str, Any]:
    """A rule of retention."""
    return _record(rule)


def subscription_record(each: SubscriptionInfo) -> dict[str, Any]:
    """A subscription. `to` is where its notifications go: the task, and its URL if it has one."""
    shown = _record(each)
    return {
        "name": each.name, "events": shown["events"], "workflow": each.workflow, "to": destination(each),
        "is_active": each.is_active, "created_at": shown["created_at"],
    }  # fmt: skip


def schedule_record(each: ScheduleInfo) -> dict[str, Any]:
    """A schedule, with its next tick also as clocks in its zone show it."""
    there = None if each.next_tick is None else in_zone(each.next_tick, each.timezone).isoformat()
    shown: dict[str, Any] = {}
    for name, value in _record(each).items():
        shown[name] = tick_record(each.last) if name == "last" and each.last is not None else value
        if name == "next_tick":
            shown["next_tick_local"] = there
    return shown


def tick_record(tick: TickInfo) -> dict[str, Any]:
    """A tick."""
    return _record(tick)


def tick_times(tick: datetime, timezone: str) -> dict[str, Any]:
    """A future tick, in UTC and in the zone of its schedule."""
    return {"tick": tick.isoformat(), "local": in_zone(tick, timezone).isoformat()}


def in_zone(moment: datetime, timezone: str) -> datetime:
    """A time as clocks in a zone show it; as it is if this machine does not know the zone."""
    with contextlib.suppress(ConfigError):
        return moment.astimezone(zone_named(timezone))
    return moment


def destination(each: SubscriptionInfo) -> str:
    """The target of a subscription, without its secret parts: a path, a query, a password, an Apprise URL's tokens."""
    try:
        nodes = codec.decode(each.target).nodes
    except PlanError:
        return "(cannot be read)"
    return ", ".join(_place(node.task, node.args) for node in nodes if node.task is not None)


def _place(task: str, args: str) -> str:
    try:
        found = arguments_of(args)
        if found is None:
            raise LookupError
        url = str(found[1].get("url", ""))
        is_web = url.lower().startswith(("http://", "https://"))
        place = place_of(url) if is_web else f"{url.partition('://')[0]}://…"
    except (LookupError, TypeError, AttributeError, Abort):
        return f"{task.removeprefix('segue.')} (cannot be read)"
    return f"{task.removeprefix('segue.')} {place}" if url else task


def _record(value: Jsonable) -> dict[str, Any]:
    names = RENAMED.get(type(value), {})
    return {names.get(name, name): each for name, each in value.to_dict().items() if name != "namespace"}


_OTHERWISE: dict[type, Callable[[Any], dict[str, Any]]] = {
    ScheduleInfo: schedule_record,
    SubscriptionInfo: subscription_record,
}
