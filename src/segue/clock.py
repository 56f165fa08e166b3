"""The one clock. All code that needs the time asks this module, so that tests can control it."""

from __future__ import annotations

import time
from datetime import UTC, datetime, timedelta
from typing import Protocol

_BEGINNING = datetime(1970, 1, 1, tzinfo=UTC)


def earlier(now: datetime, by: timedelta | float) -> datetime:
    """The moment `by` (or so many seconds) before `now`, but not before 1970: nothing here is older."""
    try:
        return max(now - (by if isinstance(by, timedelta) else timedelta(seconds=by)), _BEGINNING)
    except OverflowError:
        return _BEGINNING


class Clock(Protocol):
    """Wall time (aware UTC) and monotonic seconds."""

    def now(self) -> datetime:
        """The time now, aware, in UTC."""
        ...

    def monotonic(self) -> float:
        """Seconds that never decrease, for measuring durations."""
        ...


class SystemClock:
    """The machine's own clock."""

    def now(self) -> datetime:
        """The time now, aware, in UTC."""
        return datetime.now(UTC)

    def monotonic(self) -> float:
        """Seconds that never decrease."""
        return time.monotonic()


class ManualClock:
    """A clock that stands still until it is moved; for tests.

    Example::

        clock = ManualClock()
        clock.advance(seconds=61)
    """

    def __init__(self, start: datetime | None = None) -> None:
        self._now = start or datetime(2026, 1, 1, tzinfo=UTC)
        self._monotonic = 0.0

    def now(self) -> datetime:
        """The time that was set."""
        return self._now

    def monotonic(self) -> float:
        """Seconds by which this clock was advanced since it was made."""
        return self._monotonic

    def set(self, now: datetime) -> None:
        """Set the time, as when a wrong clock is corrected: the monotonic seconds are unaffected."""
        self._now = now

    def advance(self, *, seconds: float) -> None:
        """Advance the time and the monotonic seconds."""
        self._now += timedelta(seconds=seconds)
        self._monotonic += seconds
