"""The one clock. Everything that asks for the time asks here, so that tests can turn the hands."""

from __future__ import annotations

import time
from datetime import UTC, datetime, timedelta
from typing import Protocol

_BEGINNING = datetime(1970, 1, 1, tzinfo=UTC)


def earlier(now: datetime, by: timedelta | float) -> datetime:
    """The moment so long (or so many seconds) before `now`, 1970 at the earliest: nothing here is older."""
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
        """Seconds that only ever grow, for measuring how long something took."""
        ...


class SystemClock:
    """The machine's own clock."""

    def now(self) -> datetime:
        """The time now, aware, in UTC."""
        return datetime.now(UTC)

    def monotonic(self) -> float:
        """Seconds that only ever grow."""
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
        """Seconds since this clock was made, as far as it was moved."""
        return self._monotonic

    def advance(self, *, seconds: float) -> None:
        """Move both hands forward."""
        self._now += timedelta(seconds=seconds)
        self._monotonic += seconds
