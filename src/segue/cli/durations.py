"""Lengths of time as they are typed: every option that takes one takes the same words, and says so in the same words.

`90` and `90s` are seconds, `5m` (or `5min`) minutes, then `2h`, `1d`, `2w`; fractions are allowed: `1.5h`.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import click

from segue.cli.wording import duration

HOW = "90 or 90s, 5m, 2h, 1d"
"""What every help says of a duration; a bare number is seconds."""

_UNITS = {"": 1, "s": 1, "m": 60, "min": 60, "h": 3600, "d": 86400, "w": 7 * 86400}
_SPELLED = ("d", "h", "m")
_LONGEST = timedelta.max.total_seconds()


class Duration(click.ParamType):  # type: ignore[type-arg]
    """A parameter that is a length of time; its value is seconds as a float.

    `word` is one that may stand instead, such as "forever"; its value is that word. `least` is the shortest one that
    makes sense; with `above` it is itself too short.
    """

    name = "duration"

    def __init__(self, *, least: float = 0.0, above: bool = False, word: str | None = None) -> None:
        self.least = least
        self.above = above
        self.word = word

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float | str:
        """The seconds; fails with what may be typed."""
        if isinstance(value, (int, float)):
            return float(value)
        if self.word is not None and value == self.word:
            return self.word
        seconds = parsed(value)
        if seconds is None:
            instead = "" if self.word is None else f", or {self.word}"
            self.fail(f"{value!r} is no length of time; write it like {HOW} or 1.5h{instead}.", param, ctx)
        if seconds > _LONGEST:
            self.fail(f"{value!r} is longer than there has been time.", param, ctx)
        if seconds < self.least or (self.above and seconds == self.least):
            wanted = f"more than {self.least:g} s" if self.above else f"at least {duration(self.least)}"
            self.fail(f"{value!r} is too short; give {wanted}.", param, ctx)
        return seconds


def parsed(text: str) -> float | None:
    """A length of time in seconds; None when it is none."""
    match = re.fullmatch(r"(\d+(?:\.\d+)?|\.\d+)\s*([a-z]*)", text.strip().lower())
    return None if match is None or match[2] not in _UNITS else float(match[1]) * _UNITS[match[2]]


def typed_duration(seconds: float) -> str:
    """Seconds as they may be typed, in the largest unit that is whole: "30d", "90s"."""
    for unit in _SPELLED:
        if seconds and seconds % _UNITS[unit] == 0:
            return f"{seconds / _UNITS[unit]:.0f}{unit}"
    return f"{seconds:f}".rstrip("0").rstrip(".") + "s"


def duration_option(
    *names: str, help: str, kind: Duration | None = None, default: str | None = None, otherwise: str | None = None,
    **options: Any,
) -> Callable[[Any], Any]:  # fmt: skip
    """An option that takes a length of time; its help ends with how one is typed, and with what counts without it.

    `default` is typed as by the user, `otherwise` only told.
    """
    kind = kind or Duration()
    how = f"({HOW})" if kind.word is None else f"({HOW}, {kind.word})"
    told = default or otherwise
    text = f"{help} {how}" + (f" [default: {told}]" if told else "")
    if default is not None:
        options["default"] = default
    return click.option(*names, type=kind, help=text, **options)
