"""How many steps a worker's pool would take, and whether it still takes any."""

from __future__ import annotations

import time

from segue.errors import WorkerError
from segue.worker.pool import Pool

IDLE_POOL_SECONDS = 300.0
"""A pool that runs nothing, and takes nothing for so long, is broken."""


class Intake:
    """Asks a pool for its room. `took_at` is when it last had room, or had attempts, by the monotonic clock."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool
        self.took_at = time.monotonic()

    def room(self, *, from_: float) -> int:
        """How many steps the pool would take; 0 before the time `from_`.

        Raises WorkerError if it will never take any.
        """
        capacity, now = self._pool.capacity, time.monotonic()
        if capacity or self._pool.in_flight:
            self.took_at = now
        elif now - self.took_at > IDLE_POOL_SECONDS:
            raise WorkerError(
                f"The pool has taken nothing for {IDLE_POOL_SECONDS:.0f} s though nothing runs in it: its processes "
                "cannot be started, or are stopped. Check the log above and the limits of this machine "
                "(ulimit -u, pids.max), and start the worker again."
            )
        return capacity if now >= from_ else 0
