"""Where the next claim starts to look.

On PostgreSQL a claimed step leaves a dead entry in the index that claims walk, until a vacuum comes by. A worker that
has claimed a hundred thousand steps would step over as many dead entries each time. So it remembers how far it came,
and looks from the beginning only a few times a second: for steps of a higher priority, and for those whose releasing
transaction committed later than its time says.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

from segue.store.protocol import Store

FULL_LOOK_SECONDS = 0.1
MARGIN = timedelta(seconds=0.2)
BEGINNING = datetime(1970, 1, 1, tzinfo=UTC)
FIRST_RANK = -32_000
EVERY_QUEUE = ""


class ClaimCursor:
    """Of one worker, for each of its queues."""

    def __init__(self, monotonic: Callable[[], float]) -> None:
        self._monotonic = monotonic
        self._positions: dict[str, tuple[int, datetime]] = {}
        self._full_look_at: dict[str, float] = {}

    def start(self, queue: str, lane: str = "") -> tuple[int, datetime]:
        """(rank, since) for a queue, or a lane of it: the rank is the priority negated."""
        queue += lane
        now = self._monotonic()
        position = self._positions.get(queue)
        if position is None or now >= self._full_look_at.get(queue, 0.0):
            self._full_look_at[queue] = now + FULL_LOOK_SECONDS
            return FIRST_RANK, BEGINNING
        return position

    def claimed(self, rows: Sequence[Any], store: Store, *, queue: str, lane: str = "") -> None:
        """Go on behind the last of these steps of a queue, or a lane of it, in the order of the index."""
        rows = [row for row in rows if queue in (EVERY_QUEUE, row[12])]
        last = max(rows, key=lambda row: (-row[10], row[11]))
        ready_at = store.datetime(last[11])
        if ready_at is not None:
            self._positions[queue + lane] = (-last[10], ready_at - MARGIN)

    def reset(self) -> None:
        """Look from the beginning the next time, on every queue."""
        self._full_look_at.clear()
