"""Where the next claim starts to look.

On PostgreSQL a claimed step leaves a dead entry in the index that claims walk, until a vacuum comes by. A worker that
has claimed a hundred thousand steps would step over as many dead entries each time. So it remembers how far it came,
and looks from the beginning only a few times a second: for steps of a higher priority, and for those whose releasing
transaction committed later than its time says.

Likewise where thousands of steps wait that the worker does not know: a look that passed over them in vain was long, so
the next one from the beginning waits for ten times as long. Until then only what became ready since is looked at.
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
    """Of one worker, for each of its queues."""

    def __init__(self, monotonic: Callable[[], float]) -> None:
        self._monotonic = monotonic
        self._positions: dict[str, tuple[int, datetime]] = {}
        self._full_look_at: dict[str, float] = {}
        self._resting: dict[str, float] = {}  # until when no look from the beginning is taken, whatever is found

    def start(self, queue: str, lane: str = "") -> tuple[int, datetime]:
        """(rank, since) for a queue, or a lane of it: the rank is the priority negated."""
        queue += lane
        now = self._monotonic()
        position = self._positions.get(queue)
        if position is None or now >= self._full_look_at.get(queue, 0.0):
            self._full_look_at[queue] = now + FULL_LOOK_SECONDS
            return FIRST_RANK, BEGINNING
        return position

    def claimed(self, rows: Sequence[ClaimedRow], tx: Transaction, *, queue: str, lane: str = "") -> None:
        """Go on behind the last of these steps of a queue, or a lane of it, in the order of the index."""
        rows = [row for row in rows if queue in (EVERY_QUEUE, row.queue)]
        try:
            last = max(rows, key=lambda row: (-row.priority, row.ready_at))
        except TypeError:  # a damaged priority or time: there is no order to go on in
            return
        ready_at = moment_of(tx, last.ready_at)
        if ready_at is not None:
            self._positions[queue + lane] = (-last.priority, ready_at - MARGIN)

    def rest(self, queue: str, seconds: float, position: tuple[int, datetime]) -> None:
        """A look was long and in vain: for so many seconds look only behind this position."""
        self._positions[queue] = position
        self._resting[queue] = self._full_look_at[queue] = self._monotonic() + seconds

    def is_resting(self, queue: str) -> bool:
        """Whether what is before the position was passed over in vain a short time ago."""
        return bool(self._resting) and self._monotonic() < self._resting.get(queue, 0.0)

    def reset(self) -> None:
        """Look from the beginning the next time, on every queue that does not rest."""
        self._full_look_at = {queue: at for queue, at in self._full_look_at.items() if self.is_resting(queue)}
