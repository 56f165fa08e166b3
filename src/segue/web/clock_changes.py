"""Future ticks as people read them: in the zone of the schedule, in their own, and what a clock change does to them.

When clocks are put forward, a fixed time that they skip is moved to the end of the gap. When they are put back, times
come twice. `segue.timetable.cron` explains which of them tick; this module only says it.

Example::

    for tick in upcoming(timetable, now, 10, own=ZoneInfo("Europe/Paris")):
        print(tick.there, tick.here, tick.note)
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from datetime import datetime, timedelta, tzinfo
from itertools import islice

import msgspec

from segue.jsonable import Jsonable
from segue.timetable.cron import Cron
from segue.timetable.expression import rule_of
from segue.timetable.timetable import Timetable
from segue.timetable.zones import first_change, moments_showing, offset_at, wall_time, zone_named

AHEAD = timedelta(days=370)
"""How far ahead changes of the clocks are looked for."""

_NEAR = timedelta(hours=3)
_DAY = timedelta(days=1)
_INSTANT = timedelta(microseconds=1)
_MOST_NEAR = 4
_MOST_LOOKED_AT = 400


class Tick(Jsonable, msgspec.Struct, frozen=True):
    """A future tick."""

    tick: datetime
    there: str  # what clocks show in the zone of the schedule, with the name of its time
    here: str  # the same for the person; "" if both are the same
    note: str = ""  # what a change of the clocks does to it
    is_moved: bool = False  # it does not tick at its usual time

    @property
    def is_special(self) -> bool:
        """Whether a change of the clocks concerns it."""
        return bool(self.note)


def upcoming(timetable: Timetable, after: datetime, count: int, *, own: tzinfo) -> list[Tick]:
    """The next ticks, and then, if they are later, those at the next two changes of the clocks."""
    first = list(islice(_ticks(timetable, after), count))
    shown = as_ticks(timetable, first, own=own)
    end = first[-1] if len(first) == count else None
    if end is None:
        return shown
    zone = zone_named(timetable.timezone)
    for change in _changes(zone, end, after + AHEAD):
        near = as_ticks(timetable, _around(timetable, change), own=own, before=change - _NEAR)
        shown += [tick for tick in near if tick.is_special and tick.tick > shown[-1].tick]
    return shown


def as_ticks(
    timetable: Timetable, ticks: Iterable[datetime], *, own: tzinfo, before: datetime | None = None
) -> list[Tick]:  # fmt: skip
    """Ticks of a timetable, in order, with what changes of the clocks do to them. The first is compared to `before`."""
    zone = zone_named(timetable.timezone)
    found: list[Tick] = []
    for tick in ticks:
        note, is_moved = _note(timetable, tick, before, zone)
        plain = in_two_zones(tick, zone, own)
        found.append(msgspec.structs.replace(plain, note=note, is_moved=is_moved))
        before = tick
    return found


def in_two_zones(moment: datetime, zone: tzinfo, own: tzinfo) -> Tick:
    """A moment as clocks show it in a zone and in that of the person."""
    is_same = wall_time(moment, zone) == wall_time(moment, own)
    return Tick(moment, _shown(moment, zone), "" if is_same else _shown(moment, own))


def _ticks(timetable: Timetable, after: datetime) -> Iterator[datetime]:
    tick = timetable.next_after(after)
    while tick is not None:
        yield tick
        tick = timetable.next_after(tick)


def _changes(zone: tzinfo, after: datetime, until: datetime) -> Iterator[datetime]:
    """The next two moments at which clocks of a zone change."""
    found = 0
    day = after
    while day < until and found < 2:
        if offset_at(day, zone) != offset_at(day + _DAY, zone):
            yield first_change(day, day + _DAY, zone)
            found += 1
        day += _DAY


def _around(timetable: Timetable, change: datetime) -> list[datetime]:
    """The ticks that are near a change of the clocks, and the first one after it."""
    near = list(islice(timetable.between(change - _NEAR, change + _NEAR), _MOST_LOOKED_AT))
    early = [tick for tick in near if tick < change][-_MOST_NEAR:]
    late = [tick for tick in near if tick >= change][:_MOST_NEAR]
    following = None if late else timetable.next_after(change - _INSTANT)
    return [*early, *late] if following is None else [*early, following]


def _note(timetable: Timetable, tick: datetime, before: datetime | None, zone: tzinfo) -> tuple[str, bool]:
    wall = wall_time(tick, zone)
    if isinstance(timetable, Cron):
        rule = rule_of(timetable.text)
        if not rule.follows_real_time and wall.hour * 60 + wall.minute not in rule.times:
            return "moved: clocks are put forward over its usual time", True
        shown = moments_showing(wall, zone)
        if len(shown) > 1:
            if tick == shown[-1]:
                return "clocks are put back: this time comes twice, and this is the second", False
            second = "both tick" if rule.follows_real_time else "only the first ticks"
            return f"clocks are put back: this time comes twice; {second}", False
    if before is not None and offset_at(before, zone) != offset_at(tick, zone):
        return f"clocks have changed: {_offset(before, zone)} before, {_offset(tick, zone)} from then on", False
    return "", False


def _offset(moment: datetime, zone: tzinfo) -> str:
    minutes = int(offset_at(moment, zone).total_seconds() // 60)
    sign, minutes = ("-", -minutes) if minutes < 0 else ("+", minutes)
    return f"UTC{sign}{minutes // 60}" + (f":{minutes % 60:02d}" if minutes % 60 else "")


def _shown(moment: datetime, zone: tzinfo) -> str:
    there = moment.astimezone(zone)
    name = f"{there:%Z}"
    name = _offset(moment, zone) if name[:1] in "+-" else name  # a zone without a name for its time
    clock = f"{there:%H:%M:%S}" if there.second or there.microsecond else f"{there:%H:%M}"
    return f"{there:%a} {there.day} {there:%b %Y} {clock} {name}"
