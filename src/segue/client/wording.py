"""Statuses and numbers in a readable form, for the command line and for web pages. No I/O, no colours."""

from __future__ import annotations

ORDER = ("succeeded", "failed", "skipped", "cancelled", "running", "paused", "sent", "pending", "ready", "blocked")
"""The statuses of runs and steps, in the order in which their counts are listed."""

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
"""A character for each status of runs, steps and attempts; it stands beside the word."""

HELD = {
    "timer": "waiting for a time",
    "paused": "paused",
    "event": "waiting for a message",
    "limit": "waiting for a limit",
    "admission": "waiting to be admitted",
}
"""What a gate does to a ready step."""


def counted(count: int, noun: str, plural: str | None = None) -> str:
    """A number with its noun: "1 step", "2,000 steps"."""
    return f"{count:,} {noun if count == 1 else plural or noun + 's'}"
