"""Statuses in colour, for people, the same in every command. No I/O.

The colours are among the sixteen that a terminal's theme defines, without white, black and bright ones except grey, so
that they can be read on dark and on light backgrounds. A status always has its glyph and its word, too, so that it can
be read without colours.
"""

from __future__ import annotations

from rich.text import Text

from segue.client.wording import GLYPHS, ORDER

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


def status_text(status: str) -> Text:
    """A status with its glyph and colour."""
    return Text(f"{GLYPHS.get(status, ' ')} {status}", style=STYLES.get(status, ""))


def counts_text(counts: dict[str, int]) -> Text:
    """The number of steps in each status: "700 succeeded, 33 ready"."""
    parts = [Text(f"{counts[status]:,} {status}", STYLES[status]) for status in ORDER if counts.get(status)]
    return Text(", ").join(parts)
