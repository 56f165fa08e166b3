"""Writes many rows in one statement: on SQLite, starting a statement costs about as much as writing a row or two.

A *wide* statement is the original statement with its row of `VALUES (?1, ?2 ...)` repeated. A *slim* one is wide as
well, but values that are the same in all rows have one parameter each, before those of the rows.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from functools import cache, lru_cache, partial
from itertools import chain
from typing import Any

from segue.store.protocol import Row
from segue.store.stretches import Stretch

WIDTH = 16
WIDTHS = (64, 16, 4)
"""Of statements that look for rows, or change rows that were found: a width of its own for each number would fill the
cache of prepared statements."""
SLIM_WIDTH = 50
_MOST_PARAMETERS = 999  # of a statement; programs may lower the limit of their connections, but not below this default
_VALUES = re.compile(r"(.*\bVALUES )(\([^()]*\))([^?]*)", re.DOTALL)
_PARAMETER = re.compile(r"\?(\d+)")


@cache
def wide(text: str, width: int = WIDTH) -> str | None:
    """Build the wide statement; None if the text has no such row, or has parameters outside it."""
    found = _VALUES.fullmatch(text)
    if found is None:
        return None
    head, row, tail = found.groups()
    count = row.count("?")
    return head + ", ".join(_shifted(row, by=at * count) for at in range(width)) + tail


def pieces(rows: Sequence[Row]) -> Iterator[tuple[int, Sequence[Row]]]:
    """Divide rows into pieces as wide as possible; the width is 1 for what is left, which may be several rows."""
    first = 0
    for width in WIDTHS:
        while len(rows) - first >= width:
            yield width, rows[first : first + width]
            first += width
    if first < len(rows):
        yield 1, rows[first:]


def parameters(rows: Sequence[Sequence[Any]]) -> list[Any]:
    """Bind the parameters of a wide statement for these rows."""
    return [*chain.from_iterable(rows)]


def _shifted(row: str, *, by: int) -> str:
    return _PARAMETER.sub(lambda number: f"?{int(number[1]) + by}", row)


def is_insertion(text: str) -> bool:
    """Whether a statement can be slim: all of its parameters are in one row of `VALUES`."""
    return wide(text) is not None


def slim(text: str, stretch: Stretch) -> Iterator[tuple[str, list[Any]]]:
    """Slim statements that write a stretch, and their parameters."""
    columns, is_same = stretch
    same = [values[0] for values, is_one in zip(columns, is_same, strict=True) if is_one]
    rows = list(zip(*(values for values, is_one in zip(columns, is_same, strict=True) if not is_one), strict=True))
    width = min(SLIM_WIDTH, (_MOST_PARAMETERS - len(same)) // len(rows[0]))
    for first in range(0, len(rows), width):
        some = rows[first : first + width]
        yield _slim(text, tuple(is_same), len(some)), [*same, *chain.from_iterable(some)]


@lru_cache(maxsize=256)
def _slim(text: str, is_same: tuple[bool, ...], count: int) -> str:
    found = _VALUES.fullmatch(text)
    assert found is not None
    head, row, tail = found.groups()
    once = sum(is_same)
    varying = len(is_same) - once
    numbers = list(_numbers(is_same, once))

    def placed(number: re.Match[str], at: int) -> str:
        first = numbers[int(number[1]) - 1]
        return f"?{first + at * varying if first > once else first}"

    return head + ", ".join(_PARAMETER.sub(partial(placed, at=at), row) for at in range(count)) + tail


def _numbers(is_same: Sequence[bool], once: int) -> Iterator[int]:
    """The parameter that each column of the first row has."""
    same, varying = 0, once
    for is_one in is_same:
        if is_one:
            same += 1
            yield same
        else:
            varying += 1
            yield varying
