"""The database's clock, read rarely and extrapolated with this machine's stopwatch.

Leases and timers must mean the same to every process, whatever the clock of its machine shows. So all processes use the
database's time. Reading it in every turn would cost a round trip; a monotonic stopwatch drifts only by microseconds
between two readings.

The server's clock can jump: it is corrected, or a server with another clock takes over. So every few seconds a
transaction also reads it ("glances"), and a reading that no longer fits is replaced at once.

Invariant: a reading is one object and is replaced as a whole. Threads share a clock. The time of one reading with the
stopwatch of another could be off by minutes, enough to write a lease that has already expired.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta
from typing import NamedTuple

from segue.clock import Clock, SystemClock
from segue.observing.harmless_log import get_logger

READING_LASTS_SECONDS = 60.0
GLANCE_EVERY_SECONDS = 5.0
JUMP_SECONDS = 0.5
"""A glance that differs by more than this shows that the server's clock jumped. Smaller differences come from the
network."""
_SLOW_SECONDS = 0.5  # a slower answer is too imprecise, so the clock is read once more

logger = get_logger("segue.store")


class _Reading(NamedTuple):
    moment: datetime  # what the server answered ...
    taken_at: float  # ... when this machine's stopwatch showed this
    is_trusted: bool = True

    def at(self, stopwatch: float) -> datetime:
        return self.moment + timedelta(seconds=stopwatch - self.taken_at)


class DatabaseClock:
    """Remembers the last reading and how long ago it was. Threads may share it."""

    def __init__(self, clock: Clock | None = None) -> None:
        self._clock = clock or SystemClock()
        self._reading: _Reading | None = None

    def is_stale(self) -> bool:
        """True if the last reading is missing, old, or no longer trusted."""
        return self._is_older_than(READING_LASTS_SECONDS)

    def wants_a_glance(self) -> bool:
        """True if the reading is some seconds old: time to check whether it still fits."""
        return self._is_older_than(GLANCE_EVERY_SECONDS)

    def _is_older_than(self, seconds: float) -> bool:
        reading = self._reading
        if reading is None or not reading.is_trusted:
            return True
        return self._clock.monotonic() - reading.taken_at > seconds

    def stopwatch(self) -> float:
        """The stopwatch that measures `asked_at` and `heard_at` of `glance`."""
        return self._clock.monotonic()

    def read(self, ask: Callable[[], datetime]) -> None:
        """Take a reading, and add half of the time that the answer took."""
        reading, seconds = self._timed(ask)
        if seconds > _SLOW_SECONDS:
            again, seconds_again = self._timed(ask)
            if seconds_again < seconds:
                reading = again
        self._reading = reading

    def glance(self, told: datetime, asked_at: float, heard_at: float) -> None:
        """Compare with the server's answer, which it gave between these two stopwatch readings."""
        reading = self._reading
        fresh = _Reading(told + timedelta(seconds=(heard_at - asked_at) / 2), heard_at)
        is_precise = heard_at - asked_at < JUMP_SECONDS / 10
        if reading is None or not reading.is_trusted:
            self._reading = fresh._replace(is_trusted=is_precise)
            return
        tolerance = timedelta(seconds=JUMP_SECONDS)
        if reading.at(asked_at) - tolerance <= told <= reading.at(heard_at) + tolerance:
            if is_precise:
                self._reading = fresh
            return
        seconds = (told - reading.at(asked_at)).total_seconds()
        logger.warning("the database's clock jumped by %+.1f s; going by the new time", seconds)
        self._reading = fresh._replace(is_trusted=is_precise)

    def now(self) -> datetime:
        """The database's time, computed from the last reading."""
        reading = self._reading
        if reading is None:
            raise RuntimeError("the database's clock was never read")
        return reading.at(self._clock.monotonic())

    def forget(self) -> None:
        """Have the clock read again before it is used the next time."""
        reading = self._reading
        if reading is not None:
            self._reading = reading._replace(is_trusted=False)

    def _timed(self, ask: Callable[[], datetime]) -> tuple[_Reading, float]:
        before = self._clock.monotonic()
        moment = ask()
        after = self._clock.monotonic()
        seconds = after - before
        return _Reading(moment + timedelta(seconds=seconds / 2), after), seconds


class GivenClock(DatabaseClock):
    """A clock that replaces the database's clock, which is then not read."""

    def __init__(self, clock: Clock) -> None:
        super().__init__(clock)
        self._given = clock

    def is_stale(self) -> bool:
        """Always false."""
        return False

    def wants_a_glance(self) -> bool:
        """Do nothing: the given clock is always right."""
        return False

    def now(self) -> datetime:
        """The time of the given clock."""
        return self._given.now()
