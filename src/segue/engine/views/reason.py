"""A reason why something does not move, and how long ago something was, in words."""

from __future__ import annotations

from datetime import datetime

import msgspec

from segue.jsonable import Jsonable


class Reason(Jsonable, msgspec.Struct, frozen=True):
    """Why something does not move: a word for programs, the step it is about, a sentence for people."""

    code: str
    step: str | None
    text: str

    def __str__(self) -> str:
        return f"{self.step}: {self.text}" if self.step else self.text


def ago(moment: datetime | None, now: datetime) -> str:
    """How long ago this was."""
    return "an unknown time" if moment is None else span((now - moment).total_seconds())


def span(seconds: float) -> str:
    """A length of time."""
    seconds = max(seconds, 0.0)
    if seconds < 10:
        return f"{seconds:.1f} s"
    if seconds < 120:
        return f"{seconds:.0f} s"
    minutes = seconds / 60
    return f"{minutes:.0f} min" if minutes < 120 else f"{minutes / 60:.1f} h"
