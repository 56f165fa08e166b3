"""Many rows in one statement: on SQLite to begin a statement costs about as much as to write a row or two.

A *wide* statement is the one it was made of, with its row of `VALUES (?1, ?2 ...)` written `WIDTH` times.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import cache
from itertools import chain
from typing import Any

WIDTH = 16
_VALUES = re.compile(r"(.*\bVALUES )(\([^()]*\))([^?]*)", re.DOTALL)


@cache
def wide(text: str) -> str | None:
    """The wide statement; None when the text has no such row, or parameters outside of it."""
    found = _VALUES.fullmatch(text)
    if found is None:
        return None
    head, row, tail = found.groups()
    count = row.count("?")
    return head + ", ".join(_shifted(row, by=at * count) for at in range(WIDTH)) + tail


def parameters(rows: Sequence[Sequence[Any]]) -> list[Any]:
    """The parameters of a wide statement for these rows."""
    return [*chain.from_iterable(rows)]


def _shifted(row: str, *, by: int) -> str:
    return re.sub(r"\?(\d+)", lambda number: f"?{int(number[1]) + by}", row)
