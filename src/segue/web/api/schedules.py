"""Schedules: look at them, change them, run them by hand."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Annotated, Any, Literal

import msgspec

from segue.client.records import schedule_record, tick_record, tick_times
from segue.client.starting import known_work
from segue.client.views import ScheduleInfo, TickInfo
from segue.jsonable import Jsonable
from segue.web.api.given import Limit, Seconds, Text, Why, moment
from segue.web.api.own_tasks import refuse_own
from segue.web.api.shown import RunDetail, detail
from segue.web.operations import Call, operation
from segue.web.problems import ProblemError
from segue.web.roles import Role

Expression = Annotated[str, msgspec.Meta(min_length=1, max_length=200)]
OverlapWord = Literal["skip", "allow", "queue_one", "queue_all", "cancel_running"]
TICKS = 5


class RunNow(Why, forbid_unknown_fields=True, omit_defaults=True):
    """How to start a run of a schedule now."""

    key: Text | None = None  # a second start with the same key finds the first run


class SchedulesQuery(msgspec.Struct, forbid_unknown_fields=True, omit_defaults=True):
    """Which schedules."""

    workflow: Text | None = None


class ScheduleDetail(Jsonable, msgspec.Struct, frozen=True):
    """A schedule, its next ticks and its last ones."""

    schedule: ScheduleInfo
    next: list[datetime]
    ticks: list[TickInfo]

    def to_dict(self) -> dict[str, Any]:
        """As `segue schedules show --json`."""
        zone = self.schedule.timezone
        return schedule_record(self.schedule) | {
            "next": [tick_times(tick, zone) for tick in self.next], "ticks": [tick_record(tick) for tick in self.ticks]
        }  # fmt: skip


class Times(msgspec.Struct, forbid_unknown_fields=True, omit_defaults=True, kw_only=True):
    """When it starts, and under which policies. What is left out stays as it is."""

    schedule: Expression | msgspec.UnsetType = msgspec.UNSET
    timezone: Expression | msgspec.UnsetType = msgspec.UNSET
    starts_at: datetime | msgspec.UnsetType | None = msgspec.UNSET
    ends_at: datetime | msgspec.UnsetType | None = msgspec.UNSET
    jitter: Seconds | msgspec.UnsetType = msgspec.UNSET
    overlap: Text | msgspec.UnsetType = msgspec.UNSET
    catch_up: Text | msgspec.UnsetType = msgspec.UNSET
    catch_up_window: Seconds | msgspec.UnsetType | None = msgspec.UNSET
    tags: list[Text] | msgspec.UnsetType = msgspec.UNSET

    def given(self, zone: str) -> dict[str, Any]:
        """The options that were given, as `Schedules.create` and `update` take them."""
        told = {name: value for name in Times.__struct_fields__ if (value := getattr(self, name)) is not msgspec.UNSET}
        zone = told.get("timezone", zone)
        for name in ("starts_at", "ends_at"):
            if told.get(name) is not None:
                told[name] = moment(told[name], zone)
        return told


class NewSchedule(Times, forbid_unknown_fields=True, omit_defaults=True, kw_only=True):
    """A schedule to create. `work` is the name of a workflow or task; one parameter may be left out for the tick."""

    name: Text
    work: Text
    args: list[Any] = []
    kwargs: dict[str, Any] = {}
    active: bool = True
    reason: Text | None = None


class ScheduleChange(Times, forbid_unknown_fields=True, omit_defaults=True, kw_only=True):
    """What to change."""

    reason: Text | None = None


class NextQuery(msgspec.Struct, forbid_unknown_fields=True, omit_defaults=True):
    """How many."""

    count: Annotated[int, msgspec.Meta(ge=1, le=1000)] = TICKS


class NextTick(msgspec.Struct):
    """A future tick, in UTC and in the zone of its schedule."""

    tick: str
    local: str


class TicksQuery(msgspec.Struct, forbid_unknown_fields=True, omit_defaults=True):
    """Which page."""

    before: datetime | None = None
    limit: Limit = 20


class TicksPage(msgspec.Struct):
    """Ticks, the newest first, and where the next page begins: give `next` as `before`."""

    items: list[TickInfo]
    next: str | None


class Backfill(Why, forbid_unknown_fields=True, omit_defaults=True, kw_only=True):
    """The period, and how its ticks run. Times without a zone are in the zone of the schedule."""

    since: datetime
    until: datetime
    dry_run: bool = False
    overlap: Literal["queue_all", "allow"] | None = None


class BackfillQuery(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    """The period."""

    since: datetime
    until: datetime


class Removed(msgspec.Struct):
    """What is there no more."""

    name: str
    did: str = "remove"


@operation("GET", "/schedules", Role.VIEWER)
def list_schedules(call: Call, query: SchedulesQuery) -> list[ScheduleInfo]:
    """List the schedules, by name."""
    return call.segue.schedules.list(workflow=query.workflow)


@operation("POST", "/schedules", Role.ADMIN, status=201)
def create_schedule(call: Call, body: NewSchedule) -> ScheduleInfo:
    """Create a schedule. The server must have the code of the work (`segue web -A`)."""
    refuse_own(call, body.work)
    work = known_work(body.work)
    refuse_own(call, work.name)
    given = body.given("UTC")
    if "schedule" not in given:
        raise ProblemError(422, "InvalidBody", "The body is not valid: `schedule` is missing.")
    if body.args or body.kwargs:
        work = work.s(*body.args, **body.kwargs)
    return call.segue.schedules.create(body.name, work, active=body.active, reason=body.reason, **given)


@operation("GET", "/schedules/{name:name}", Role.VIEWER)
def get_schedule(call: Call, name: str) -> ScheduleDetail:
    """A schedule, with its next ticks and its last ones."""
    schedules = call.segue.schedules
    return ScheduleDetail(schedules.get(name), list(schedules.next(name, TICKS)), schedules.ticks(name, limit=TICKS))


@operation("PATCH", "/schedules/{name:name}", Role.ADMIN)
def update_schedule(call: Call, name: str, body: ScheduleChange) -> ScheduleInfo:
    """Change when a schedule starts, and its policies. If its ticks change, they continue from now."""
    schedules = call.segue.schedules
    return schedules.update(name, reason=body.reason, **body.given(schedules.get(name).timezone))


@operation("DELETE", "/schedules/{name:name}", Role.ADMIN, is_destructive=True)
def remove_schedule(call: Call, name: str, body: Why) -> Removed:
    """Remove a schedule; its runs stay. One that the code declares comes back when a worker starts."""
    call.segue.schedules.remove(name, reason=body.reason)
    return Removed(name)


@operation("POST", "/schedules/{name:name}/activate", Role.OPERATOR)
def activate_schedule(call: Call, name: str, body: Why) -> ScheduleInfo:
    """Switch a schedule on. The ticks that passed while it was off are not caught up."""
    return call.segue.schedules.activate(name, reason=body.reason)


@operation("POST", "/schedules/{name:name}/deactivate", Role.OPERATOR)
def deactivate_schedule(call: Call, name: str, body: Why) -> ScheduleInfo:
    """Switch a schedule off. Its running runs continue."""
    return call.segue.schedules.deactivate(name, reason=body.reason)


@operation("POST", "/schedules/{name:name}/run", Role.OPERATOR, status=201)
def run_schedule(call: Call, name: str, body: RunNow) -> RunDetail:
    """Start a run of a schedule now, also while others of it run.

    A second request with the same `key`, or the same header `Idempotency-Key`, finds the run of the first; `is_new` is
    then false.
    """
    key = body.key or (f"run:{name}:{call.idempotency_key}" if call.idempotency_key else None)
    return detail(call, call.segue.schedules.run_now(name, key=key, reason=body.reason))


@operation("GET", "/schedules/{name:name}/next", Role.VIEWER)
def list_next_ticks(call: Call, name: str, query: NextQuery) -> list[NextTick]:
    """The next ticks of a schedule."""
    zone = call.segue.schedules.get(name).timezone
    return [NextTick(**tick_times(tick, zone)) for tick in call.segue.schedules.next(name, query.count)]


@operation("GET", "/schedules/{name:name}/ticks", Role.VIEWER)
def list_ticks(call: Call, name: str, query: TicksQuery) -> TicksPage:
    """What happened to the ticks of a schedule, the newest first."""
    before = None if query.before is None else moment(query.before)
    found = call.segue.schedules.ticks(name, before=before, limit=query.limit)
    return TicksPage(found, found[-1].tick.isoformat() if len(found) == query.limit else None)


@operation("GET", "/schedules/{name:name}/backfill", Role.VIEWER)
def preview_backfill(call: Call, name: str, query: BackfillQuery) -> list[TickInfo]:
    """The ticks of a past period, and which of them a backfill would start. It starts nothing."""
    return _backfilled(call, name, query.since, query.until, dry_run=True)


@operation("POST", "/schedules/{name:name}/backfill", Role.OPERATOR)
def backfill_schedule(call: Call, name: str, body: Backfill) -> list[TickInfo]:
    """Start the ticks of a past period that have not started a run yet; with `dry_run`, only list them."""
    return _backfilled(
        call, name, body.since, body.until, dry_run=body.dry_run, overlap=body.overlap, reason=body.reason
    )


def _backfilled(
    call: Call,
    name: str,
    since: datetime,
    until: datetime,
    *,
    dry_run: bool,
    overlap: str | None = None,
    reason: str | None = None,
) -> list[TickInfo]:
    schedules = call.segue.schedules
    zone = schedules.get(name).timezone
    last = min(moment(until, zone), call.segue.engine.store.now() - timedelta(microseconds=1))
    return schedules.backfill(name, moment(since, zone), last, dry_run=dry_run, overlap=overlap, reason=reason)
