"""What the ticks of a cron expression must be, found without Segue's code and without the cron library.

It walks over real time minute by minute, reads the clock on the wall at each, and applies the documented rule:

* minute or hour begins with `*`: a tick whenever the clock shows a matching minute;
* otherwise: a tick when the clock first reaches a matching minute. The walk remembers the latest minute that the clock
  ever showed; when it jumps ahead, all minutes in between count as reached now, and when it is put back nothing counts
  until it has caught up.

`full_oracle` sweeps 68 years of seven zones with it; `test_cron_oracle` the days on which clocks are changed.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import UTC, date, datetime, timedelta, tzinfo
from functools import cache
from typing import NamedTuple
from zoneinfo import ZoneInfo

ZONES = (
    "Australia/Lord_Howe",  # half an hour
    "Pacific/Chatham",  # offsets in quarters of an hour
    "Antarctica/Troll",  # two hours
    "America/Santiago",  # at midnight
    "America/New_York",
    "Europe/Paris",
    "Pacific/Apia",  # a whole day was skipped
)

EXPRESSIONS = (
    "0 2 * * *",
    "30 1,2 * * *",
    "15,45 0-3 * * *",
    "0 0 * * *",
    "30 23 * * SAT",
    "*/15 * * * *",
    "* 2 * * *",
    "20 */2 * * *",
    "45 2 L * *",
    "10 1 LW MAR-OCT *",
    "45 2 * * SUN#2",
    "0 3 * 3,OCT 0L",
    "30 0-5/1 1-7 * MON",
    "*/10 1-3 */2 * 1-5",
    "0 12 29 2 *",
)

BEGIN, END = datetime(1970, 1, 1, tzinfo=UTC), datetime(2038, 1, 1, tzinfo=UTC)
MINUTE = 60
DAY = 1440 * MINUTE

_MONTH_NAMES = ("JAN", "FEB", "MAR", "APR", "MAY", "JUN", "JUL", "AUG", "SEP", "OCT", "NOV", "DEC")
_MONTHS = {name: place for place, name in enumerate(_MONTH_NAMES, start=1)}
_WEEKDAYS = {name: place for place, name in enumerate(("SUN", "MON", "TUE", "WED", "THU", "FRI", "SAT"))}


class Matcher:
    """One expression: which minutes of a day, and which days."""

    def __init__(self, expression: str) -> None:
        minute, hour, self.day, self.month, self.weekday = expression.split()
        self.follows_real_time = minute.startswith("*") or hour.startswith("*")
        self.both_days = self.day.startswith("*") or self.weekday.startswith("*")
        self.minutes = frozenset(h * 60 + m for h in numbers(hour, 0, 23) for m in numbers(minute, 0, 59))

    def on(self, day: date) -> bool:
        """True when the day matches: both fields for days if one of them begins with `*`, else either."""
        if day.month not in numbers(self.month, 1, 12):
            return False
        by_number = any(self._term_matches_day(term, day) for term in self.day.split(","))
        by_weekday = any(self._term_matches_weekday(term, day) for term in self.weekday.split(","))
        return (by_number and by_weekday) if self.both_days else (by_number or by_weekday)

    def shows(self, shown: int) -> bool:
        """True for a matching wall time, in minutes since the beginning of the calendar."""
        return shown % 1440 in self.minutes and self.on(date.fromordinal(shown // 1440))

    def _term_matches_day(self, term: str, day: date) -> bool:
        if term == "L":
            return (day + timedelta(days=1)).month != day.month
        if term == "LW":
            return day == last_weekday(day)
        return day.day in numbers(term, 1, 31)

    def _term_matches_weekday(self, term: str, day: date) -> bool:
        today = day.isoweekday() % 7
        if term.endswith("L"):
            return today in numbers(term[:-1], 0, 7) and (day + timedelta(days=7)).month != day.month
        if "#" in term:
            name, _, which = term.partition("#")
            return today in numbers(name, 0, 7) and day.day in range(int(which) * 7 - 6, int(which) * 7 + 1)
        return today in numbers(term, 0, 7)


@cache
def numbers(field: str, low: int, high: int) -> frozenset[int]:
    """The numbers that a field without L, LW and # stands for; a Sunday that is written 7 is 0."""
    found: set[int] = set()
    for term in field.split(","):
        span, _, step = term.partition("/")
        first, dash, last = span.partition("-")
        if span == "*":
            begin, end = low, high
        else:
            begin = number(first)
            end = number(last) if dash else high if step else begin
        found.update(range(begin, end + 1, int(step or 1)))
    return frozenset(value % 7 for value in found) if high == 7 else frozenset(found)


def number(word: str) -> int:
    if word in _MONTHS:
        return _MONTHS[word]
    return _WEEKDAYS[word] if word in _WEEKDAYS else int(word)


def last_weekday(day: date) -> date:
    last = date(day.year + day.month // 12, day.month % 12 + 1, 1) - timedelta(days=1)
    while last.weekday() >= 5:
        last -= timedelta(days=1)
    return last


class Due(NamedTuple):
    """A tick of one expression (by its place in the list), in seconds since 1970."""

    second: int
    place: int


class Oracle:
    """Several expressions, asked together in one walk."""

    def __init__(self, expressions: Sequence[str]) -> None:
        self.expressions = tuple(expressions)
        self._matchers = tuple(Matcher(expression) for expression in expressions)
        self._tables: dict[tuple[bool, ...], list[tuple[int, ...]]] = {}

    def ticks(self, zone: tzinfo, begin: int, end: int) -> Iterator[Due]:
        """All ticks in [begin, end). Both are whole minutes; clocks must not be changed in the day before `begin`."""
        reached = minutes_shown(datetime.fromtimestamp(begin - MINUTE, zone))
        today, table = -1, self._table(date.min)
        from_timestamp = datetime.fromtimestamp
        for second in range(begin, end, MINUTE):
            wall = from_timestamp(second, zone)
            ordinal, minute = wall.toordinal(), wall.hour * 60 + wall.minute
            shown = ordinal * 1440 + minute
            if ordinal != today:
                today, table = ordinal, self._table(wall.date())
            if shown == reached + 1:  # an ordinary minute: wildcards and fixed times agree
                for place in table[minute]:
                    yield Due(second, place)
            else:
                for place, matcher in enumerate(self._matchers):
                    if any(map(matcher.shows, [shown] if matcher.follows_real_time else range(reached + 1, shown + 1))):
                        yield Due(second, place)
            reached = max(reached, shown)

    def _table(self, day: date) -> list[tuple[int, ...]]:
        """Which expressions match at each minute of a day."""
        active = tuple(matcher.on(day) for matcher in self._matchers)
        if active not in self._tables:
            self._tables[active] = [
                tuple(
                    place for place, matcher in enumerate(self._matchers) if active[place] and minute in matcher.minutes
                )
                for minute in range(1440)
            ]
        return self._tables[active]


def minutes_shown(wall: datetime) -> int:
    return wall.toordinal() * 1440 + wall.hour * 60 + wall.minute


def days_around_changes(zone_name: str, begin: datetime = BEGIN, end: datetime = END) -> list[tuple[int, int]]:
    """The stretches [begin, end) that cover a day before and a day after every change of the zone's clocks."""
    zone = ZoneInfo(zone_name)
    step = 6 * 60 * MINUTE
    found = []
    before = None
    for second in range(int(begin.timestamp()), int(end.timestamp()), step):
        offset = datetime.fromtimestamp(second, zone).utcoffset()
        if before is not None and offset != before:
            found.append((second - step - DAY, second + DAY))
        before = offset
    return found
