"""What a claim returns of each step: the columns of `claimed_columns`, by name."""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import suppress
from typing import Any, NamedTuple

from segue.store.protocol import Row


class ClaimedRow(NamedTuple):
    """A step that has just been claimed."""

    run_id: str
    step: int
    attempt: int
    name: str
    task: str
    args: str
    holes: str | None
    when_expr: str | None
    policy: str | None
    failures: int
    priority: int
    ready_at: Any  # as the database stores times
    queue: str
    only_child: int | None = None  # of the step, where that is worth remembering


def claimed_rows(rows: Iterable[Row]) -> list[ClaimedRow]:
    """The rows of a claim statement, with names."""
    return [ClaimedRow(*row) for row in rows]


def in_order(rows: list[ClaimedRow]) -> None:
    """Sort steps as they are to be run: by priority, then the oldest first."""
    with suppress(TypeError):  # a damaged priority or time: they run in the order in which they were found
        rows.sort(key=lambda row: (-row.priority, row.ready_at, row.step))
