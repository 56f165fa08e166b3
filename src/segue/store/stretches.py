"""Long batches in stretches: in each, a column whose value is the same in all rows is sent once, not with every row.

Of the 24 columns of a large plan's steps, all but a few are the same in thousands of neighbours. Sending them with
every row takes half of the time in which the steps are written. On PostgreSQL, the server also works on one stretch
while the next is prepared.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

from segue.store.protocol import Row

LONG = 1000
"""Rows; a shorter batch is sent as it is."""

STRETCH = 5000


class Stretch(NamedTuple):
    """Neighbouring rows of a batch, as columns."""

    columns: list[tuple[Any, ...]]
    is_same: list[bool]  # for each column; at least one is not, so that the number of rows is known


def stretches(rows: Sequence[Row]) -> Iterator[Stretch]:
    """Divide a batch."""
    for first in range(0, len(rows), STRETCH):
        columns = list(zip(*rows[first : first + STRETCH], strict=True))
        is_same = [values.count(values[0]) == len(values) for values in columns]
        if all(is_same):
            is_same[next((at for at, values in enumerate(columns) if values[0] is not None), 0)] = False
        yield Stretch(columns, is_same)
