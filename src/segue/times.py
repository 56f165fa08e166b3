"""Moments and durations in the one form in which people read them: tables, `explain`, errors. Programs get ISO 8601.

The clock is read elsewhere: `now` is given.
"""

from __future__ import annotations

from datetime import UTC, datetime

UNKNOWN = "an unknown time"


def clock_time(moment: datetime | None, now: datetime) -> str:
    """A moment to the second: "16:41:17 UTC" today, otherwise "2026-11-29 16:41:17 UTC"."""
    if moment is None:
        return UNKNOWN
    there, here = moment.astimezone(UTC), now.astimezone(UTC)
    return f"{there:%H:%M:%S} UTC" if there.date() == here.date() else full_time(there)


def full_time(moment: datetime) -> str:
    """A moment to the second, with its date, where today is not known: "2026-11-29 16:41:17 UTC"."""
    there = moment.astimezone(UTC)
    return f"{there.date().isoformat()} {there:%H:%M:%S} UTC"


def duration(seconds: float) -> str:
    """Seconds in a readable form: "8 ms", "3.2 s", "4 min 10 s", "2 h 05 min", "3 d 4 h", "900 d"."""
    if seconds < 0.00005:
        return "<0.1 ms"
    if seconds < 0.0095:
        return f"{seconds * 1000:.1f} ms"
    if seconds < 0.9995:
        return f"{seconds * 1000:.0f} ms"
    if seconds < 59.95:
        return f"{seconds:.1f} s"
    whole = round(seconds)
    if whole < 3600:
        return f"{whole // 60} min {whole % 60:02d} s"
    if whole < 86400:
        return f"{whole // 3600} h {whole % 3600 // 60:02d} min"
    days, hours = whole // 86400, whole % 86400 // 3600
    return f"{days} d {hours} h" if hours else f"{days} d"


def since(moment: datetime | None, now: datetime) -> str:
    """How long something has lasted that began then."""
    if moment is None:
        return UNKNOWN
    seconds = max((now - moment).total_seconds(), 0.0)  # clocks differ
    return f"{seconds:.1f} s" if seconds < 1 else duration(seconds)


def ago(moment: datetime, now: datetime) -> str:
    """How long ago, roughly: "just now", "5 min ago", "3 d ago"; "in 2 h" for a time in the future."""
    seconds = (now - moment).total_seconds()
    if seconds < 0:
        return f"in {_roughly(-seconds)}"
    return "just now" if seconds < 2 else f"{_roughly(seconds)} ago"


def _roughly(seconds: float) -> str:
    for size, unit in ((86400, "d"), (3600, "h"), (60, "min")):
        if seconds >= size:
            return f"{int(seconds // size)} {unit}"
    return f"{int(seconds)} s"
