"""The database's clock, read seldom and carried on by this machine's stopwatch.

Leases and timers must mean the same to every process, whatever their own clocks say, so all of them use the database's
time. Asking it in every turn would cost a round trip; a monotonic stopwatch between readings drifts by microseconds.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta

from segue.clock import Clock, SystemClock

READING_LASTS_SECONDS = 60.0


class DatabaseClock:
    """Remembers the last reading and how long ago it was."""

    def __init__(self, clock: Clock | None = None) -> None:
        self._clock = clock or SystemClock()
        self._reading: datetime | None = None
        self._read_at = 0.0

    def is_stale(self) -> bool:
        """True when there is no reading, or an old one."""
        return self._reading is None or self._clock.monotonic() - self._read_at > READING_LASTS_SECONDS

    def read(self, ask: Callable[[], datetime]) -> None:
        """Take a reading; half of the time that the answer took is added to it."""
        before = self._clock.monotonic()
        reading = ask()
        after = self._clock.monotonic()
        self._reading, self._read_at = reading + timedelta(seconds=(after - before) / 2), after

    def now(self) -> datetime:
        """The database's time by the last reading."""
        if self._reading is None:
            raise RuntimeError("the database's clock was never read")
        return self._reading + timedelta(seconds=self._clock.monotonic() - self._read_at)
