"""Statuses, numbers and times in a readable form, for the command line and for web pages. No I/O, no colours."""

from __future__ import annotations

from datetime import datetime

ORDER = ("succeeded", "failed", "skipped", "cancelled", "running", "paused", "sent", "pending", "ready", "blocked")
"""The statuses of runs and steps, in the order in which their counts are listed."""


def counted(count: int, noun: str, plural: str | None = None) -> str:
    """A number with its noun: "1 step", "2,000 steps"."""
    return f"{count:,} {noun if count == 1 else plural or noun + 's'}"


def duration(seconds: float) -> str:
    """Seconds in a readable form: "8 ms", "3.2 s", "4 min 10 s", "2 h 05 min", "3 d 4 h"."""
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
    return f"{whole // 86400} d {whole % 86400 // 3600} h"


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
