"""Durations on the command line: all options accept the same notation, and describe it with the same words.

`90` and `90s` are seconds, `5m` (or `5min`) minutes, then `2h`, `1d`, `2w`; fractions are allowed: `1.5h`.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import click

from segue.times import duration

HOW = "90 or 90s, 5m, 2h, 1d"
"""How every help text describes a duration; a bare number is seconds."""

_UNITS = {"": 1, "s": 1, "m": 60, "min": 60, "h": 3600, "d": 86400, "w": 7 * 86400}
_SPELLED = ("d", "h", "m")
_LONGEST = timedelta.max.total_seconds()


class Duration(click.ParamType):  # type: ignore[type-arg]
    """A parameter that is a duration; its value is seconds as a float.

    `word` may be typed instead, such as "forever"; its value is the word itself. `least` is the shortest valid
    duration; with `above` the duration must be longer than `least`.
    """

    name = "duration"

    def __init__(self, *, least: float = 0.0, above: bool = False, word: str | None = None) -> None:
        self.least = least
        self.above = above
        self.word = word

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float | str:
        """The seconds. Fails with a message that shows the notation."""
        if isinstance(value, (int, float)):
            return float(value)
        if self.word is not None and value == self.word:
            return self.word
        seconds = parsed(value)
        if seconds is None:
            instead = "" if self.word is None else f", or {self.word}"
            self.fail(f"{value!r} is not a duration; write it like {HOW} or 1.5h{instead}.", param, ctx)
        if seconds > _LONGEST:
            self.fail(f"{value!r} is too long: longer than the calendar.", param, ctx)
        if seconds < self.least or (self.above and seconds == self.least):
            wanted = f"more than {self.least:g} s" if self.above else f"at least {duration(self.least)}"
            self.fail(f"{value!r} is too short; give {wanted}.", param, ctx)
        return seconds


def parsed(text: str) -> float | None:
    """A duration in seconds; None if the text is not one."""
    match = re.fullmatch(r"(\d+(?:\.\d+)?|\.\d+)\s*([a-z]*)", text.strip().lower())
    return None if match is None or match[2] not in _UNITS else float(match[1]) * _UNITS[match[2]]


def typed_duration(seconds: float) -> str:
    """Seconds as they are typed, in the largest unit that gives a whole number: "30d", "90s"."""
    for unit in _SPELLED:
        if seconds and seconds % _UNITS[unit] == 0:
            return f"{seconds / _UNITS[unit]:.0f}{unit}"
    return f"{seconds:f}".rstrip("0").rstrip(".") + "s"


def duration_option(
    *names: str, help: str, kind: Duration | None = None, default: str | None = None, otherwise: str | None = None,
    **options: Any,
) -> Callable[[Any], Any]:  # fmt: skip
    """An option that takes a duration. Its help ends with the notation, and with the default.

    `default` is a duration as typed. `otherwise` describes what happens without the option, and is only shown.
    """
    kind = kind or Duration()
    how = f"({HOW})" if kind.word is None else f"({HOW}, {kind.word})"
    told = default or otherwise
    text = f"{help} {how}" + (f" [default: {told}]" if told else "")
    if default is not None:
        options["default"] = default
    return click.option(*names, type=kind, help=text, **options)
