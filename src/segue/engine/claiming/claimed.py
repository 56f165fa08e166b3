"""The columns of a claimed step (`claimed_columns`), by name."""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import suppress
from typing import Any, NamedTuple

from segue.store.protocol import Row


class ClaimedRow(NamedTuple):
    """A step that has just been claimed or sent."""

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
    only_child: int | None = None  # the step's only child, if the claim returns it
    spec: str | None = None  # what its executor needs to know
    handle: str | None = None  # its id there


def claimed_rows(rows: Iterable[Row]) -> list[ClaimedRow]:
    """The rows of a claim statement, with names."""
    return [ClaimedRow(*row) for row in rows]


def sent_rows(rows: Iterable[Row]) -> list[ClaimedRow]:
    """The rows of a statement that sends steps."""
    return [ClaimedRow(*claimed)._replace(spec=spec, handle=handle) for *claimed, spec, handle in rows]


def in_order(rows: list[ClaimedRow]) -> None:
    """Sort steps into the order in which they run: by priority, then the oldest first."""
    with suppress(TypeError):  # a damaged priority or time: keep the order of the claim
        rows.sort(key=lambda row: (-row.priority, row.ready_at, row.step))
