"""The position in the index at which the next claim starts to scan.

On PostgreSQL a claimed step leaves a dead entry in the index that claims scan, until a vacuum removes it. A worker that
has claimed a hundred thousand steps would skip as many dead entries with every claim. So it remembers its position, and
scans from the beginning only a few times a second. A full scan finds steps of a higher priority, and steps that were
committed later than their time says.

The same holds if thousands of steps wait whose task the worker does not know. A scan that skips them all takes long, so
the next full scan waits for ten times as long. Until then the worker sees only steps that became ready since.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta

from segue.engine.claiming.claimed import ClaimedRow
from segue.engine.stored import moment_of
from segue.store.protocol import Transaction

FULL_LOOK_SECONDS = 0.1
MARGIN = timedelta(seconds=0.2)
BEGINNING = datetime(1970, 1, 1, tzinfo=UTC)
FIRST_RANK = -32_000
EVERY_QUEUE = ""


class ClaimCursor:
    """The scan positions of one worker: one for each queue, and for some lanes."""

    def __init__(self, monotonic: Callable[[], float]) -> None:
        self.monotonic = monotonic
        self._positions: dict[str, tuple[int, datetime]] = {}
        self._full_look_at: dict[str, float] = {}
        self._resting: dict[str, float] = {}  # until when there is no full scan, whatever the others find

    def start(self, queue: str, lane: str = "") -> tuple[int, datetime]:
        """Where to start in a queue or one of its lanes, as (rank, since); a rank is a negated priority."""
        queue += lane
        now = self.monotonic()
        position = self._positions.get(queue)
        if position is None or now >= self._full_look_at.get(queue, 0.0):
            self._full_look_at[queue] = now + FULL_LOOK_SECONDS
            return FIRST_RANK, BEGINNING
        return position

    def claimed(self, rows: Sequence[ClaimedRow], tx: Transaction, *, queue: str, lane: str = "") -> None:
        """Move the position of a queue, or of one of its lanes, to the last of these steps in index order."""
        rows = [row for row in rows if queue in (EVERY_QUEUE, row.queue)]
        try:
            last = max(rows, key=lambda row: (-row.priority, row.ready_at))
        except TypeError:  # a damaged priority or time: these steps have no order
            return
        ready_at = moment_of(tx, last.ready_at)
        if ready_at is not None:
            self._positions[queue + lane] = (-last.priority, ready_at - MARGIN)

    def rest(self, queue: str, seconds: float, position: tuple[int, datetime]) -> None:
        """After a long scan that found too few: for `seconds`, scan only from this position on."""
        self._positions[queue] = position
        self._resting[queue] = self._full_look_at[queue] = self.monotonic() + seconds

    def is_resting(self, queue: str) -> bool:
        """Whether a recent full scan found too few steps before the position."""
        return bool(self._resting) and self.monotonic() < self._resting.get(queue, 0.0)

    def reset(self) -> None:
        """Make the next scan of every queue a full one, except where full scans are paused."""
        self._full_look_at = {queue: at for queue, at in self._full_look_at.items() if self.is_resting(queue)}
