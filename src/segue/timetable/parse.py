"""Converts what a user writes into a timetable."""

from __future__ import annotations

import re
from datetime import datetime, timedelta

from segue.errors import ConfigError
from segue.given import shown
from segue.timetable.cron import Cron
from segue.timetable.expression import canonical
from segue.timetable.interval import Every, interval_of
from segue.timetable.timetable import Timetable

_BARE_INTERVAL = r"(?i)[0-9.]+\s*[a-z]+(\s*[0-9.]+\s*[a-z]+)*"


def parse_timetable(
    expression: str | timedelta | float,
    timezone: str | None = None,
    *,
    anchor: datetime | None = None,
    starts_at: datetime | None = None,
    ends_at: datetime | None = None,
) -> Timetable:
    """The timetable that `expression` describes. Raises `ConfigError`, which says what is wrong and what to write
    instead.

    `expression` is a cron expression of five fields (`0 2 * * MON-FRI`), a shorthand (`@daily`), an interval in words
    (`every 15 minutes`, `every 1h30m`), or an interval as a timedelta or a number of seconds.

    `timezone` is an IANA name; the default is UTC. Cron follows the clocks there; intervals are the same everywhere.
    `anchor` is a moment at which an interval ticks; the default is `starts_at`, or 1970-01-01 00:00 UTC without it.
    Cron has no anchor. `starts_at` and `ends_at` are the first and the last moment at which a tick may be. All three
    must be aware.

    Example::

        timetable = parse_timetable("0 2 * * *", timezone="Europe/Paris")
        timetable.describe()   # 'at 02:00 every day, Europe/Paris'
    """
    zone = "UTC" if timezone is None else timezone
    if not isinstance(zone, str):
        raise ConfigError(f"timezone={shown(zone)} is not a text. Give an IANA name such as 'Europe/Paris'.")
    if not isinstance(expression, str):
        interval = interval_of(expression)
    else:
        words = expression.split(maxsplit=1)
        if not words or words[0].lower() != "every":
            return _cron(expression, zone, starts_at, ends_at)
        interval = interval_of(words[1] if len(words) > 1 else "")
    return Every(interval=interval, anchor=anchor, timezone=zone, starts_at=starts_at, ends_at=ends_at)


def _cron(text: str, zone: str, starts_at: datetime | None, ends_at: datetime | None) -> Timetable:
    if re.fullmatch(_BARE_INTERVAL, text.strip()):
        raise ConfigError(f"{text!r} is not a schedule. For an interval write 'every {text.strip()}'.")
    return Cron(expression=canonical(text), timezone=zone, starts_at=starts_at, ends_at=ends_at)
