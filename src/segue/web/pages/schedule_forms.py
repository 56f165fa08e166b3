"""Change a schedule, make one, and backfill one. Each form first shows what it will do; then a button does it.

The values lie in the URL until they are saved, so nothing that was typed is lost, and a preview can be sent to others.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import parse_qsl
from zoneinfo import available_timezones

import msgspec

from segue.authoring.schedule import Schedule
from segue.client.starting import find_known
from segue.client.views import ScheduleInfo, TickInfo
from segue.errors import SegueError
from segue.model import CatchUp, Overlap
from segue.timetable.zones import wall_time, zone_named
from segue.web.api.schedules import BackfillQuery, preview_backfill
from segue.web.clock_changes import Tick, upcoming
from segue.web.pages.frame import Page, View, page
from segue.web.pages.schedules import NEXT, look, zones
from segue.web.problems import ProblemError
from segue.web.roles import Role

WHEN = ("schedule", "timezone", "starts_at", "ends_at", "jitter", "overlap", "catch_up", "catch_up_window", "tags")
NEW = ("name", "work", "args", "kwargs", "active")
SHOWN_TICKS = 200
OVERLAPS = ("", "queue_all", "allow")

_DAY = timedelta(days=1)


class Preview(msgspec.Struct, frozen=True):
    """What a schedule with these values would do, and the values as they are saved."""

    description: str
    next: list[Tick]
    values: dict[str, str]


@page("/schedules/{name:name}/edit", Role.ADMIN)
def edit_schedule(view: View) -> Page:
    """Change a schedule: its values, and after that its next ticks with them."""
    info = look(view, ticks=0).schedule
    given = dict(parse_qsl(view.query, keep_blank_values=True))
    values = values_of(info) | given  # a link may have only what changes
    preview, problem = previewed(view, values) if "schedule" in given else (None, "")
    title = f"Edit {info.name}"
    return Page(
        "schedule_form.html", title, {"values": values, "preview": preview, "problem": problem or None},
        status=400 if problem else 200, also=_choices() | {"info": info, "work_problem": ""},
    )  # fmt: skip


@page("/new/schedule", Role.ADMIN)
def new_schedule(view: View) -> Page:
    """Make a schedule for a task or workflow."""
    given = dict(parse_qsl(view.query, keep_blank_values=True))
    values = {"timezone": view.zone.key, "overlap": "skip", "catch_up": "latest", "active": "true"} | given
    preview, problem = previewed(view, values) if given.get("schedule") else (None, "")
    work_problem = _work_problem(values.get("work", "")) if preview else ""
    also = _choices() | {"info": None, "work_problem": work_problem, "works": _works(view)}
    data = {"values": values, "preview": preview, "problem": problem or None}
    return Page("schedule_form.html", "New schedule", data, status=400 if problem else 200, also=also)


@page("/schedules/{name:name}/backfill", Role.OPERATOR)
def backfill(view: View) -> Page:
    """Start ticks of the past: first which ones, then the button."""
    info = look(view, ticks=0).schedule
    given = dict(parse_qsl(view.query, keep_blank_values=True))
    planned: list[TickInfo] = []
    problem = ""
    canonical: dict[str, str] = {}
    zone = _zone(info)
    if given.get("since") and given.get("until"):
        try:
            since, until = _moment(given["since"], zone), _moment(given["until"], zone)
            query = BackfillQuery(since=since, until=until)
            planned = preview_backfill(view.call, info.name, query=query)
            canonical = {"since": since.isoformat(), "until": until.isoformat()}
        except (SegueError, ProblemError, ValueError, OverflowError) as error:
            problem = getattr(error, "detail", None) or str(error)
    starts = [tick for tick in planned if tick.status == "planned"]
    now = wall_time(view.now, zone)
    values = {"since": f"{now - _DAY:%Y-%m-%dT00:00}", "until": f"{now:%Y-%m-%dT00:00}"} | given
    data = {"ticks": planned, "starts": len(starts), "problem": problem or None}
    also = {
        "info": info, "values": values, "canonical": canonical, "shown": planned[:SHOWN_TICKS], "overlaps": OVERLAPS,
        "there": zones(view, info.timezone), "is_asked": bool(canonical),
    }  # fmt: skip
    return Page("backfill.html", f"Backfill {info.name}", data, status=400 if problem else 200, also=also)


def values_of(info: ScheduleInfo) -> dict[str, str]:
    """The fields of the form for a schedule as it is."""
    zone = _zone(info)

    def wall(at: datetime | None) -> str:
        return "" if at is None else wall_time(at, zone).isoformat(timespec="auto")

    return {
        "schedule": info.expression, "timezone": info.timezone, "starts_at": wall(info.starts_at),
        "ends_at": wall(info.ends_at), "jitter": _number(info.jitter), "overlap": info.overlap,
        "catch_up": info.catch_up, "catch_up_window": _number(info.catch_up_window), "tags": "\n".join(info.tags),
    }  # fmt: skip


def previewed(view: View, values: Mapping[str, str]) -> tuple[Preview | None, str]:
    """What a schedule with these values would do; or what is wrong with them."""
    try:
        zone = zone_named(values.get("timezone") or "UTC")
        starts, ends = (_moment(values[name], zone) if values.get(name) else None for name in ("starts_at", "ends_at"))
        window = values.get("catch_up_window")
        made = Schedule(
            _expression(values["schedule"]), timezone=values.get("timezone") or "UTC", starts_at=starts, ends_at=ends,
            jitter=_seconds("jitter", values.get("jitter")), overlap=values.get("overlap") or "skip",
            catch_up=values.get("catch_up") or "latest",
            catch_up_window=_seconds("catch_up_window", window) if window else None,
        )  # fmt: skip
        timetable = made.timetable()
        ticks = upcoming(timetable, view.now, NEXT, own=view.zone)
    except (SegueError, ValueError, OverflowError) as error:
        return None, str(error)
    if not ticks:
        return None, f"{timetable.describe()}: it has no tick after now, so it would never start anything."
    saved = {
        "schedule": values["schedule"], "timezone": timetable.timezone, "starts_at": _canonical(starts),
        "ends_at": _canonical(ends), "jitter": _number(made.jitter) or "0", "overlap": str(made.overlap),
        "catch_up": str(made.catch_up), "catch_up_window": _number(made.catch_up_window) or "null",
        "tags": values.get("tags", "").strip() or "[]",
    }  # fmt: skip
    return Preview(timetable.describe(), ticks, saved), ""


def _expression(text: str) -> str:
    if len(text) > 200:
        raise ValueError("The expression is longer than 200 characters.")
    return text


def _moment(text: str, zone: Any) -> datetime:
    """A time as people type it, in the zone of the schedule unless it names another."""
    try:
        at = datetime.fromisoformat(text.strip())
    except ValueError:
        raise ValueError(f"{text[:50]!r} is not a time. Write it as 2026-11-20 or 2026-11-20T02:00.") from None
    return (at if at.tzinfo is not None else at.replace(tzinfo=zone)).astimezone(UTC)


def _seconds(name: str, text: str | None) -> float:
    try:
        return float(text or 0)
    except ValueError:
        raise ValueError(f"{name.replace('_', ' ')}: {str(text)[:50]!r} is not a number of seconds.") from None


def _number(value: object) -> str:
    return "" if value is None or value == 0 else f"{value:g}" if isinstance(value, float) else str(value)


def _canonical(at: datetime | None) -> str:
    return "null" if at is None else at.isoformat()


def _zone(info: ScheduleInfo) -> Any:
    try:
        return zone_named(info.timezone)
    except SegueError:
        return UTC


def _work_problem(name: str) -> str:
    """Why no schedule can be made for this work here."""
    if not name:
        return ""
    try:
        found = find_known(name)
    except SegueError as error:
        return str(error)
    return "" if found is not None else f"This server has not imported {name!r}: `segue web -A your.module` does."


def _works(view: View) -> list[str]:
    return [each.name for each in view.call.segue.definitions() if not each.name.startswith("segue.")]


def _choices() -> dict[str, Any]:
    return {"overlap_words": list(Overlap), "catch_up_words": list(CatchUp), "zones": sorted(available_timezones())}
