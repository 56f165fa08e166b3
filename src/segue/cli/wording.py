"""Words, figures and colours for people, the same in every command. No I/O.

Colours are of the sixteen that terminals let their owners choose, without white, black and bright ones but grey, so
that they can be read on dark and on light. A status always has its glyph and its word, too: colour alone says nothing.
"""

from __future__ import annotations

from datetime import datetime

from rich.text import Text

STYLES = {
    "pending": "cyan",
    "blocked": "bright_black",
    "ready": "cyan",
    "sent": "yellow",
    "running": "yellow",
    "paused": "blue",
    "succeeded": "green",
    "failed": "bold red",
    "skipped": "blue",
    "cancelled": "magenta",
    "lost": "red",
    "released": "bright_black",
    "stopping": "yellow",
}
GLYPHS = {
    "pending": "○",
    "blocked": "·",
    "ready": "○",
    "sent": "◌",
    "running": "▶",
    "paused": "‖",
    "succeeded": "✓",
    "failed": "✗",
    "skipped": "↷",
    "cancelled": "⊘",
    "lost": "✗",
    "released": "↩",
}
ORDER = ("succeeded", "failed", "skipped", "cancelled", "running", "paused", "sent", "pending", "ready", "blocked")


def status_text(status: str) -> Text:
    """A status with its glyph and colour."""
    return Text(f"{GLYPHS.get(status, ' ')} {status}", style=STYLES.get(status, ""))


def counted(count: int, noun: str, plural: str | None = None) -> str:
    """A number with its noun: "1 step", "2,000 steps"."""
    return f"{count:,} {noun if count == 1 else plural or noun + 's'}"


def duration(seconds: float) -> str:
    """Seconds as people say them: "8 ms", "3.2 s", "4 min 10 s", "2 h 05 min", "3 d 4 h"."""
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
    """How long ago, roughly: "just now", "5 min ago", "3 d ago"; "in 2 h" for what is to come."""
    seconds = (now - moment).total_seconds()
    if seconds < 0:
        return f"in {_roughly(-seconds)}"
    return "just now" if seconds < 2 else f"{_roughly(seconds)} ago"


def _roughly(seconds: float) -> str:
    for size, unit in ((86400, "d"), (3600, "h"), (60, "min")):
        if seconds >= size:
            return f"{int(seconds // size)} {unit}"
    return f"{int(seconds)} s"


def counts_text(counts: dict[str, int]) -> Text:
    """How many there are of each status: "700 succeeded, 33 ready"."""
    parts = [Text(f"{counts[status]:,} {status}", STYLES[status]) for status in ORDER if counts.get(status)]
    return Text(", ").join(parts)
