"""Celery beat's entries as schedules of Segue: no beat process, no tick that two processes start, no lost ticks.

Each entry of `app.conf.beat_schedule` becomes a schedule of the same name. One of the processes that do the chores
(Celery workers that are connected to Segue are such processes) starts a run at each tick.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import timedelta
from typing import Any, NamedTuple, Protocol

from celery import Celery, schedules
from celery.canvas import Signature

from segue.authoring.schedule import Schedule
from segue.errors import ConfigError, SegueError
from segue.executors.celery.door import Door, door_of
from segue.executors.celery.plans import plan_of_canvas
from segue.given import shown
from segue.plan.graph import Plan

_EVERY_NTH = re.compile(r"\*/\d+")
_CANVASES = frozenset({"celery.chain", "celery.group", "celery.chord"})
_FIELDS = (("minute", 60), ("hour", 24), ("day_of_month", 31), ("month_of_year", 12), ("day_of_week", 7))


class HasSchedules(Protocol):
    """A `segue.Segue`, as far as this module knows it."""

    @property
    def schedules(self) -> Any:
        """Its schedules."""


class _Entry(NamedTuple):
    name: str
    plan: Plan
    schedule: Schedule


def adopt_beat(app: Celery, segue: HasSchedules) -> list[str]:
    """Make a schedule of every entry of the app's `beat_schedule`, and return their names. Stop `celery beat` then.

    Call it at each deployment: new entries are added, changed ones changed, unchanged ones left alone with their ticks.
    Schedules that it made for entries that are gone are removed. One that a person switched off stays off. Runs of an
    entry may overlap, and of ticks that were missed the latest one starts, as with beat.

    Nothing is written if one entry cannot be a schedule: a solar one, an interval of less than a second, the 13th
    if it is a Friday. Raises ConfigError, which names it. Example::

        install(app, segue)
        adopt_beat(app, segue)
        print(segue.schedules.next("send-reports"))
    """
    door = door_of(app)
    app.finalize()  # entries that functions add when the app is complete
    entries = [_entry(door, name, entry) for name, entry in app.conf.beat_schedule.items()]
    tag = f"beat:{door.name}"
    known = {info.name: info for info in segue.schedules.list()}
    for entry in entries:
        found = known.get(entry.name)
        if found is not None and tag not in found.tags:
            raise ConfigError(
                f"beat_schedule has the entry {entry.name!r}, and another schedule has that name. "
                f"Give one of them another name, or remove it: segue schedules remove {entry.name}"
            )
    for entry in entries:
        _write(segue, entry, tag, is_known=entry.name in known)
    names = [entry.name for entry in entries]
    for info in known.values():
        if tag in info.tags and info.name not in names:
            segue.schedules.remove(info.name)
    return names


def _write(segue: HasSchedules, entry: _Entry, tag: str, *, is_known: bool) -> None:
    if not is_known:
        try:
            segue.schedules.create(entry.name, entry.plan, schedule=entry.schedule, tags=[tag])
            return
        except ConfigError:
            segue.schedules.get(entry.name)  # raises when that was not why: another process has just made it
    segue.schedules.update(entry.name, work=entry.plan, schedule=entry.schedule, tags=[tag])


def _entry(door: Door, name: str, entry: Mapping[str, Any]) -> _Entry:
    try:
        task, when = entry["task"], entry["schedule"]
    except (KeyError, TypeError):
        raise _refused(name, f"it is {shown(entry)}", "Give it a task and a schedule") from None
    schedule = _schedule(door.app, name, when)
    canvas = _canvas(door.app, str(task), entry)
    if isinstance(entry.get("options"), Mapping) and {"eta", "countdown"} & entry["options"].keys():
        raise _refused(name, "its options have an eta or countdown", "Write the time into its schedule")
    plan, _ = plan_of_canvas(door, canvas)
    return _Entry(name, plan, schedule)


def _canvas(app: Celery, task: str, entry: Mapping[str, Any]) -> Signature:
    made: Signature = Signature.from_dict(
        {
            "task": task, "args": tuple(entry.get("args") or ()), "kwargs": dict(entry.get("kwargs") or {}),
            "options": dict(entry.get("options") or {}), "immutable": False,
            "subtask_type": task.partition(".")[2] if task in _CANVASES else None,
        },
        app=app,
    )  # fmt: skip
    return made


def _schedule(app: Celery, name: str, when: Any) -> Schedule:
    expression: str | timedelta
    if isinstance(when, (int, float, timedelta)) and not isinstance(when, bool):
        expression = when if isinstance(when, timedelta) else timedelta(seconds=when)
    elif type(when) is schedules.crontab:
        expression = _cron(name, when)
    elif type(when) is schedules.schedule:
        expression = when.run_every
    elif isinstance(when, schedules.solar):
        raise _refused(
            name, f"it follows the sun ({when.event})", "Give it a crontab, or leave this one entry to celery beat"
        )
    else:
        raise _refused(
            name, f"its schedule is {shown(when)}", "Give it a crontab, a timedelta or a number of seconds, or leave "
            "this one entry to celery beat"
        )  # fmt: skip
    try:
        return Schedule(expression, timezone=_timezone(app, name), overlap="allow", catch_up="latest")
    except SegueError as error:
        raise _refused(name, f"its schedule is {shown(when)}: {error}", "Change its schedule") from error


def _timezone(app: Celery, name: str) -> str:
    if app.conf.timezone:
        return str(app.conf.timezone)
    if app.conf.enable_utc:
        return "UTC"
    raise _refused(name, "its times are those of the machine, which differ between machines", "Set app.conf.timezone")


def _cron(name: str, when: schedules.crontab) -> str:
    """Five fields; Celery's own reading of each decides which values it has."""
    minute, hour, day, month, weekday = [
        _field(getattr(when, f"_orig_{field}"), getattr(when, field), size) for field, size in _FIELDS
    ]
    if not day.startswith("*") and not weekday.startswith("*"):
        # Celery wants both to match, and cron one of them, unless a field begins with `*`.
        if 0 in when.day_of_week:
            weekday = _beginning_with_a_star("*/7", when.day_of_week - {0})
        elif 1 in when.day_of_month:
            day = _beginning_with_a_star("*/31", when.day_of_month - {1})
        else:
            raise _refused(
                name, f"{shown(when)} wants a day of the month and of the week at once, which cron cannot say",
                "Restrict one of the two, and let the task look at the other",
            )  # fmt: skip
    return f"{minute} {hour} {day} {month} {weekday}"


def _field(written: Any, values: set[int], size: int) -> str:
    """`*` and `*/15` stay as they are written: where clocks change, they mean something else than a list."""
    if len(values) == size:
        return "*"
    if isinstance(written, str) and _EVERY_NTH.fullmatch(written):
        return written
    return _listed(values)


def _beginning_with_a_star(first: str, others: set[int]) -> str:
    return f"{first},{_listed(others)}" if others else first


def _listed(values: set[int]) -> str:
    """The values with ranges for those that follow one another: `1-5,9`."""
    found: list[list[int]] = []
    for value in sorted(values):
        if found and found[-1][-1] == value - 1:
            found[-1] = [found[-1][0], value]
        else:
            found.append([value])
    return ",".join("-".join(map(str, each)) for each in found)


def _refused(name: str, why: str, remedy: str) -> ConfigError:
    return ConfigError(f"The entry {name!r} of beat_schedule cannot be a schedule of Segue: {why}. {remedy}.")
