"""Schedules: all of them, and one with its next ticks and what happened to the last ones."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from datetime import datetime, tzinfo
from typing import Annotated, Any

import msgspec

from segue.client.records import schedule_record, tick_record
from segue.client.views import ScheduleInfo, TickInfo
from segue.errors import ConfigError
from segue.jsonable import Jsonable
from segue.plan.indexed import SEPARATOR
from segue.scheduler import editing, looking
from segue.timetable.zones import zone_named
from segue.web.api.given import moment
from segue.web.clock_changes import Tick, as_ticks, in_two_zones, upcoming
from segue.web.pages.frame import Page, View, page
from segue.web.requests import decoded_query
from segue.web.zones import UTC_ZONE

TICKS = 30
NEXT = 10


class SchedulesQuery(msgspec.Struct, forbid_unknown_fields=True, omit_defaults=True):
    """Which schedules: those that start a workflow, or whose state is this."""

    workflow: Annotated[str, msgspec.Meta(max_length=1000)] | None = None
    state: Annotated[str, msgspec.Meta(max_length=20)] | None = None


class ScheduleQuery(msgspec.Struct, forbid_unknown_fields=True, omit_defaults=True):
    """Which page of past ticks."""

    before: datetime | None = None


class Found(Jsonable, msgspec.Struct, frozen=True):
    """A schedule, its next ticks and its last ones."""

    schedule: ScheduleInfo
    next: list[Tick]
    ticks: list[TickInfo]

    def to_dict(self) -> dict[str, Any]:
        """As `segue schedules show --json`; the next ticks also in words."""
        return schedule_record(self.schedule) | {
            "next": [tick.to_dict() for tick in self.next], "ticks": [tick_record(tick) for tick in self.ticks]
        }  # fmt: skip


@page("/schedules")
def schedules(view: View) -> Page:
    """All schedules, by name."""
    query = decoded_query(SchedulesQuery, view.query)
    found = [masked_schedule(view, each) for each in view.call.segue.schedules.list(workflow=query.workflow)]
    states = sorted({each.state for each in found})
    shown = [each for each in found if query.state in (None, each.state)]
    rows = [
        (each, None if each.next_tick is None or each.state != "active" else zones(view, each.timezone)(each.next_tick))
        for each in shown
    ]
    problems = sum(each.problem is not None for each in found)
    title = f"⚠ {problems} of {len(found)} schedules need you" if problems else "Schedules"
    data = {"schedules": [schedule_record(each) for each in shown]}
    return Page(
        "schedules.html", title, data, live="schedules",
        also={"rows": rows, "query": query, "states": states, "total": len(found)},
    )  # fmt: skip


@page("/schedules/{name:name}")
def schedule(view: View) -> Page:
    """One schedule."""
    query = decoded_query(ScheduleQuery, view.query)
    found = look(view, before=None if query.before is None else moment(query.before))
    info = found.schedule
    also = {
        "info": info, "older": found.ticks[-1].tick.isoformat() if len(found.ticks) == TICKS else None,
        "is_first": query.before is None, "there": zones(view, info.timezone),
    }  # fmt: skip
    glyph = "⚠ " if info.problem else ""
    live = f"schedule:{info.name}" if query.before is None else None
    return Page("schedule.html", f"{glyph}{info.name} · schedule", {"found": found}, live=live, also=also)


def look(view: View, *, before: datetime | None = None, ticks: int = TICKS) -> Found:
    """The schedule of this path. Raises ScheduleNotFoundError."""
    segue, name = view.call.segue, view.path["name"]
    if SEPARATOR in name:
        raise editing.unknown(name)
    with segue.engine.reading() as tx:
        stored = segue.engine.stored(name)
        row = editing.existing_schedule(tx, stored)
        info = looking.schedule_info(tx, view.now, row)
        past = looking.list_ticks(tx, stored, before=before, limit=ticks) if ticks else []
    following: list[Tick] = []
    if row.next_tick is not None and row.is_active:
        try:
            timetable = row.definition.timetable()
            first = as_ticks(timetable, [row.next_tick], own=view.zone)
            later = upcoming(timetable, row.next_tick, NEXT - 1, own=view.zone)
            following = [*first, *later]
        except ConfigError:  # the zone is not known on this machine; the problem says so
            following = []
    return Found(masked_schedule(view, info), following, past)


def zones(view: View, timezone: str) -> Callable[[datetime], Tick]:
    """Shows a moment in the zone of a schedule and in that of the person; in UTC if this machine lacks the zone."""
    zone: tzinfo = UTC_ZONE
    with suppress(ConfigError):
        zone = zone_named(timezone)
    return lambda moment: in_two_zones(moment, zone, view.zone)


def masked_schedule(view: View, info: ScheduleInfo) -> ScheduleInfo:
    """A schedule without the secrets among its arguments."""
    return msgspec.structs.replace(info, arguments=view.call.masker.masked(info.workflow, info.arguments))
