"""The interface of every timetable: which ticks it has, within which bounds.

`Timetable` is a value: it computes ticks, but starts nothing. It uses no clock and no I/O, and remembers nothing. The
two kinds, `Cron` and `Every`, compute only the next tick; this module derives the bounds and all other answers from
that.

Promises: ticks are aware and in UTC; `next_after` is strictly later than its argument; a period gives the same ticks at
once or in pieces.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, time, timedelta

import msgspec

from segue.errors import ConfigError
from segue.given import shown
from segue.timetable.zones import wall_time, zone_named

_INSTANT = timedelta(microseconds=1)
_SECOND = timedelta(seconds=1)
_EARLIEST = datetime(1, 1, 3, tzinfo=UTC)  # valid in every zone


class Timetable(msgspec.Struct, frozen=True, kw_only=True):
    """When a schedule ticks. Made by `parse_timetable`. Timetables are equal if their meaning and text are equal.

    `timezone` is an IANA name. `starts_at` and `ends_at` bound the ticks, both inclusive; None means no bound.

    Example::

        timetable = parse_timetable("0 2 * * *", timezone="Europe/Paris")
        timetable.next_after(datetime(2026, 3, 28, 12, tzinfo=UTC))   # 2026-03-29 01:00 UTC: 02:00 is skipped
    """

    timezone: str = "UTC"
    starts_at: datetime | None = None
    ends_at: datetime | None = None

    def __post_init__(self) -> None:
        zone_named(self.timezone)
        for name in ("starts_at", "ends_at"):
            given = getattr(self, name)
            if given is not None:
                msgspec.structs.force_setattr(self, name, bound_in_utc(given, name))
        if self.starts_at is not None and self.ends_at is not None and self.ends_at < self.starts_at:
            raise ConfigError(
                f"ends_at={self.ends_at.isoformat()} is before starts_at={self.starts_at.isoformat()}, so the "
                "schedule would never run. Swap them, or leave one out."
            )

    @property
    def text(self) -> str:
        """The canonical text: parsed with the same zone, anchor and bounds, it gives an equal timetable."""
        raise NotImplementedError

    def next_after(self, moment: datetime) -> datetime | None:
        """The first tick that is later than `moment` (aware); None if it has no further tick.

        Raises `ConfigError` if `moment` has no time zone.
        """
        moment = max(in_utc(moment, "moment"), _EARLIEST)
        if self.starts_at is not None:
            moment = max(moment, self.starts_at - _INSTANT)
        try:
            tick = self._following(moment)
        except OverflowError:  # beyond the year 9999
            return None
        if tick is None or (self.ends_at is not None and tick > self.ends_at):
            return None
        return tick

    def between(self, after: datetime, until: datetime) -> Iterator[datetime]:
        """The ticks with `after` < tick <= `until`, in order, one at a time."""
        until = in_utc(until, "until")
        tick = self.next_after(after)
        while tick is not None and tick <= until:
            yield tick
            tick = self.next_after(tick)

    def latest_in(self, after: datetime, until: datetime) -> datetime | None:
        """The last tick with `after` < tick <= `until`; None if that period has none.

        Its cost does not grow with the number of ticks: about thirty times that of `next_after`.
        """
        until = in_utc(until, "until")
        latest = self.next_after(after)
        if latest is None or latest > until:
            return None
        empty_after = until  # no tick is in (empty_after, until]
        while empty_after - latest > _SECOND:
            middle = latest + (empty_after - latest) / 2
            tick = self.next_after(middle)
            if tick is None or tick > until:
                empty_after = middle
            else:
                latest = tick
        for tick in self.between(latest, empty_after):
            latest = tick
        return latest

    def describe(self) -> str:
        """The timetable in words, such as "at 02:00 every day, Europe/Paris"."""
        words = self._words()
        for when, bound in (("from", self.starts_at), ("until", self.ends_at)):
            if bound is not None:
                wall = wall_time(bound, zone_named(self.timezone))
                exact = wall.second or wall.microsecond
                shown = wall.isoformat(sep=" ", timespec="auto" if exact else "minutes")
                if when == "until" and wall.time() == time.max:
                    shown = f"the end of {wall.date()}"
                words += f", {when} {shown} {self.timezone}"
        return words

    def _following(self, moment: datetime) -> datetime | None:
        raise NotImplementedError

    def _words(self) -> str:
        raise NotImplementedError


def in_utc(moment: datetime, name: str) -> datetime:
    """The same moment in UTC. Raises `ConfigError` if it has no time zone, and therefore is not a definite moment."""
    if not isinstance(moment, datetime):
        raise ConfigError(f"{name}={shown(moment)} is not a datetime. Give an aware one, for example with tzinfo=UTC.")
    if moment.tzinfo is None:
        raise ConfigError(f"{name}={moment.isoformat()} has no time zone. Add one, for example tzinfo=UTC.")
    try:
        return moment.astimezone(UTC)
    except OverflowError:
        raise ConfigError(f"{name}={moment.isoformat()} is outside the range of UTC. Give one in UTC.") from None


def bound_in_utc(moment: datetime, name: str) -> datetime:
    """The same moment in UTC. Also raises `ConfigError` if it is so extreme that it must mean "no bound"."""
    bound = in_utc(moment, name)
    if not 1 < bound.year < 9999:
        raise ConfigError(f"{name}={moment.isoformat()} is at the end of the calendar. For no bound omit it.")
    return bound
