"""A reason why something does not move."""

from __future__ import annotations

import msgspec

from segue.jsonable import Jsonable


class Reason(Jsonable, msgspec.Struct, frozen=True):
    """Why something does not move: a word for programs, the step it is about, a sentence for people."""

    code: str
    step: str | None
    text: str

    def __str__(self) -> str:
        return f"{self.step}: {self.text}" if self.step else self.text
