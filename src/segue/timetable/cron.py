"""Timetables that follow the wall clock of a place, written as cron expressions.

Clock changes are handled by Debian cron's rule (docs/decisions/0014):

* Fixed times (neither minute nor hour begins with `*`) tick when the clock first reaches them. Times that the clock
  skips tick together, once, at the end of the gap. Of times that the clock shows twice only the first counts.
* Wildcards in minute or hour follow real time: every matching minute that the clock shows ticks. So an hour that
  comes twice ticks twice, and a skipped hour does not tick.

An expression gives wall times without a zone (`expression`). This module converts them to moments.
"""

from __future__ import annotations

from bisect import bisect_right
from datetime import date, datetime, timedelta

from segue.timetable.expression import first_day, in_words, rule_of
from segue.timetable.timetable import Timetable
from segue.timetable.zones import (
    end_of_gap,
    first_change,
    first_reaching,
    moments_showing,
    offset_at,
    wall_time,
    zone_named,
)

_INSTANT = timedelta(microseconds=1)
_SECOND = timedelta(seconds=1)
_DAY = timedelta(days=1)
_LONGEST_SHIFT = timedelta(hours=25)  # a clock is put back by a day at most, where the date line was moved


class Cron(Timetable, frozen=True, kw_only=True):
    """Ticks when the wall clock of `timezone` matches the canonical five fields of `expression`."""

    expression: str

    def __post_init__(self) -> None:
        super().__post_init__()
        rule_of(self.expression)

    @property
    def text(self) -> str:
        """The canonical expression, such as "0 2 * * MON-FRI"; shorthands are expanded."""
        return self.expression

    def _following(self, moment: datetime) -> datetime | None:
        if rule_of(self.expression).follows_real_time:
            return self._following_in_real_time(moment)
        zone = zone_named(self.timezone)
        wall = self._wall_after(wall_time(moment, zone))
        while wall is not None:
            tick = first_reaching(wall, zone)
            if tick > moment:
                return tick
            wall = self._wall_after(wall)  # the clock was put back, and repeats times
        return None

    def _following_in_real_time(self, moment: datetime) -> datetime | None:
        zone = zone_named(self.timezone)
        tick = self._shown_after(wall_time(moment, zone), moment)
        horizon = moment + _LONGEST_SHIFT
        if tick is not None:
            horizon = min(horizon, tick)
        if offset_at(horizon, zone) >= offset_at(moment, zone):
            return tick
        change = first_change(moment, horizon, zone)  # clocks are put back before the tick: times repeat
        return self._shown_after(wall_time(change, zone) - _SECOND, change - _INSTANT)

    def _shown_after(self, wall: datetime, moment: datetime) -> datetime | None:
        """The first time after `moment` at which the clock shows a matching time later than `wall`."""
        zone = zone_named(self.timezone)
        following = self._wall_after(wall)
        while following is not None:
            shown = moments_showing(following, zone)
            for tick in shown:
                if tick > moment:
                    return tick
            if not shown:
                following = wall_time(end_of_gap(following, zone), zone) - _SECOND
            following = self._wall_after(following)
        return None

    def _wall_after(self, wall: datetime) -> datetime | None:
        """The first wall time after `wall` that the expression matches, ignoring time zones."""
        rule = rule_of(self.expression)
        today = wall.date()
        day = first_day(rule.days, today)
        if day == today:
            later = bisect_right(rule.times, wall.hour * 60 + wall.minute)
            if later < len(rule.times):
                return _at(today, rule.times[later])
            day = first_day(rule.days, today + _DAY)
        return None if day is None else _at(day, rule.times[0])

    def _words(self) -> str:
        return f"{in_words(self.expression)}, {self.timezone}"


def _at(day: date, minutes: int) -> datetime:
    return datetime(day.year, day.month, day.day, minutes // 60, minutes % 60)  # noqa: DTZ001 - a wall time
