"""Timetables that tick at a fixed interval, independent of wall clocks.

Ticks are exactly at `anchor + k * interval`, for every integer k. The anchor sets the phase, not the beginning, which
is `starts_at`. Two processes that know the anchor agree on every tick, without remembering the last one.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from decimal import Decimal

import msgspec

from segue.errors import ConfigError
from segue.given import shown
from segue.timetable.timetable import Timetable, bound_in_utc

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
SHORTEST = timedelta(seconds=1)
LONGEST = timedelta(days=36_600)
LONGEST_TEXT = 250  # characters

_MICROSECONDS = {"w": 604_800_000_000, "d": 86_400_000_000, "h": 3_600_000_000, "m": 60_000_000, "s": 1_000_000}
_UNIT_WORDS = {
    "w": ("week", "weeks"),
    "d": ("day", "days"),
    "h": ("hour", "hours", "hr", "hrs"),
    "m": ("minute", "minutes", "min", "mins"),
    "s": ("second", "seconds", "sec", "secs"),
}
_UNITS = {word: unit for unit, words in _UNIT_WORDS.items() for word in (unit, *words)}
_PART = r"([0-9]+(?:\.[0-9]+)?)\s*([a-z]+)\s*(?:,|and\b)?\s*"
_EXAMPLES = "'every 15 minutes', 'every 90s', 'every 1h30m' or 'every 2 days'"
_WRITE = f"Write for example {_EXAMPLES}."
_RANGE = "Intervals are from 1 second to 36600 days; write for example 'every 90s' or 'every 2 days'."


class Every(Timetable, frozen=True, kw_only=True):
    """Ticks at `anchor + k * interval`. The zone is only for display and does not affect ticks.

    Without an anchor the bound `starts_at` is used, and without that 1970-01-01 00:00 UTC, so that "every 15 minutes"
    ticks at :00, :15, :30 and :45.
    """

    interval: timedelta
    anchor: datetime | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        _check(self.interval, repr(self.interval))
        anchor = EPOCH if self.starts_at is None else self.starts_at
        if self.anchor is not None:
            anchor = bound_in_utc(self.anchor, "anchor")
        msgspec.structs.force_setattr(self, "anchor", anchor)

    @property
    def text(self) -> str:
        """The canonical text, such as "every 15 minutes" or "every 1h30m"."""
        return "every " + _written(self.interval)

    def _following(self, moment: datetime) -> datetime:
        assert self.anchor is not None
        return self.anchor + ((moment - self.anchor) // self.interval + 1) * self.interval

    def _words(self) -> str:
        return self.text


def interval_of(given: str | timedelta | float) -> timedelta:
    """The interval for a text after "every", a number of seconds, or a timedelta; raises `ConfigError`.

    Example::

        interval_of("1h30m") == interval_of("90 minutes") == interval_of(5400)
    """
    if isinstance(given, timedelta):
        return _check(given, repr(given))
    if isinstance(given, str):
        return _parsed(given)
    if isinstance(given, bool) or not isinstance(given, int | float):
        raise ConfigError(f"{shown(given)} is not an interval. Give a timedelta, seconds as a number, or {_EXAMPLES}.")
    try:
        interval = timedelta(seconds=given)
    except (OverflowError, ValueError):  # infinite, or not a number
        raise ConfigError(f"An interval of {shown(given)} seconds is out of range. {_RANGE}") from None
    return _check(interval, f"{given:g} seconds")


def _parsed(text: str) -> timedelta:
    if len(text) > LONGEST_TEXT:
        raise ConfigError(f"The interval 'every {text[:40]}...' is longer than {LONGEST_TEXT} characters. {_WRITE}")
    whole = f"every {text}".rstrip()
    rest = text.strip().lower()
    if rest in _UNITS:  # "every minute"
        rest = f"1 {rest}"
    total, position = Decimal(0), 0
    while position < len(rest):
        part = re.match(_PART, rest[position:])
        if part is None:
            raise ConfigError(
                f"{whole!r} is not an interval: {rest[position:]!r} is not a number with a unit. {_WRITE}"
            )
        if part[2] not in _UNITS:
            raise ConfigError(f"{whole!r} is not an interval: {_no_unit(part[2])}")
        total += Decimal(part[1]) * _MICROSECONDS[_UNITS[part[2]]]
        position += part.end()
    if position == 0:
        raise ConfigError(f"{whole!r} does not say how often. {_WRITE}")
    if total > LONGEST // timedelta.resolution:
        raise ConfigError(f"{whole!r} is too long. {_RANGE}")
    if total != int(total):
        raise ConfigError(f"{whole!r} is finer than a microsecond. {_WRITE}")
    return _check(timedelta(microseconds=int(total)), repr(whole))


def _no_unit(word: str) -> str:
    if word.startswith(("month", "mon", "year", "yr")) or word in ("y", "mo"):
        return f"{word!r} have no fixed length. Write '@monthly', '@yearly' or a cron expression such as '0 2 1 * *'."
    return f"{word!r} is not a unit of time; units are seconds, minutes, hours, days and weeks. {_WRITE}"


def _check(interval: timedelta, whole: str) -> timedelta:
    if not isinstance(interval, timedelta):
        raise ConfigError(f"interval={interval!r} is not a timedelta. Use parse_timetable for texts and numbers.")
    if not SHORTEST <= interval <= LONGEST:
        size = "short" if interval < SHORTEST else "long"
        raise ConfigError(f"An interval of {whole} is too {size}. {_RANGE}")
    return interval


def _written(interval: timedelta) -> str:
    rest = interval // timedelta.resolution
    parts: list[tuple[str, str]] = []
    for unit in ("d", "h", "m"):
        count, rest = divmod(rest, _MICROSECONDS[unit])
        if count:
            parts.append((str(count), unit))
    if rest:
        parts.append((f"{rest // 1_000_000}.{rest % 1_000_000:06d}".rstrip("0").rstrip("."), "s"))
    if len(parts) == 1:
        count_text, unit = parts[0]
        return f"{count_text} {_UNIT_WORDS[unit][0 if count_text == '1' else 1]}"
    return "".join(count_text + unit for count_text, unit in parts)
