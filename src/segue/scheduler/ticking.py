"""Which ticks of a schedule are to be decided now: jitter and catch-up. Pure: the caller passes the time.

Promises: `due_of` returns the same in every process; a tick is due before the next one is; of any number of missed
ticks it computes only those that are started, so a schedule of every second that was away for a year is decided
quickly.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from hashlib import sha256

import msgspec

from segue.model import CatchUp
from segue.timetable import Timetable

TICKS_AT_ONCE = 100
ON_TIME_SECONDS = 60.0  # with catch_up="none": how late a tick may start

_INSTANT = timedelta(microseconds=1)


class Batch(msgspec.Struct, frozen=True):
    """The decision on ticks that have come due."""

    ticks: tuple[datetime, ...]  # each starts a run, if overlap allows it
    missed: tuple[datetime, datetime] | None  # the first and the last of the earlier ticks, which start none
    why_missed: str
    next_tick: datetime | None  # all ticks before it are decided
    due_at: datetime | None  # when next_tick is to start


def due_of(name: str, tick: datetime, following: datetime | None, jitter: float) -> datetime:
    """When a tick of the schedule `name` is to start: at most `jitter` seconds late, and before the one after it."""
    if not jitter:
        return tick
    most = timedelta(seconds=jitter)
    if following is not None:
        most = min(most, following - tick)
    share = int.from_bytes(sha256(f"{name} {tick.isoformat()}".encode()).digest()[:8]) / 2**64
    return tick + most * share


class Ticking:
    """A schedule's ticks in order, each with the time at which it is due."""

    def __init__(
        self, name: str, timetable: Timetable, *, jitter: float = 0.0, catch_up: str = CatchUp.LATEST,
        window: float | None = None,
    ) -> None:  # fmt: skip
        self._name = name
        self._timetable = timetable
        self._jitter = jitter
        self._catch_up = catch_up
        self._window = None if window is None else timedelta(seconds=window)

    def due(self, tick: datetime) -> datetime:
        """When it is to start."""
        return due_of(self._name, tick, self._timetable.next_after(tick) if self._jitter else None, self._jitter)

    def upcoming(self, after: datetime) -> tuple[datetime | None, datetime | None]:
        """The first tick after a moment, and when it is due."""
        tick = self._timetable.next_after(after)
        return tick, None if tick is None else self.due(tick)

    def batch(self, first: datetime, now: datetime) -> Batch:
        """The decision now, if `first` is the first undecided tick."""
        if self.due(first) > now:
            return Batch((), None, "", first, self.due(first))
        return self._each(first, now) if self._catch_up == CatchUp.ALL else self._latest(first, now)

    def _latest(self, first: datetime, now: datetime) -> Batch:
        last = self._last(first, now)
        assert last is not None  # `first` is due
        if self.due(last) > now:
            last = self._last(first, last - _INSTANT)
            assert last is not None
        upcoming = self.upcoming(last)
        late = now - self.due(last)
        if self._catch_up == CatchUp.NONE and late > timedelta(seconds=ON_TIME_SECONDS):
            return Batch((), (first, last), "missed: no process did the chores then", *upcoming)
        if self._window is not None and late > self._window:
            return Batch((), (first, last), "missed: longer ago than the catch-up window", *upcoming)
        before = self._last(first, last - _INSTANT)
        why = "missed: only the latest is caught up"
        return Batch((last,), None if before is None else (first, before), why, *upcoming)

    def _each(self, first: datetime, now: datetime) -> Batch:
        missed = None
        tick: datetime | None = first
        if self._window is not None:
            horizon = now - self._window
            last = self._last(first, horizon - _INSTANT)
            if last is not None and self.due(last) >= horizon:
                last = self._last(first, last - _INSTANT)
            if last is not None:
                missed, tick = (first, last), self._timetable.next_after(last)
        ticks: list[datetime] = []
        while tick is not None and len(ticks) < TICKS_AT_ONCE and self.due(tick) <= now:
            ticks.append(tick)
            tick = self._timetable.next_after(tick)
        why = "missed: longer ago than the catch-up window"
        return Batch(tuple(ticks), missed, why, tick, None if tick is None else self.due(tick))

    def _last(self, first: datetime, until: datetime) -> datetime | None:
        """The last tick from `first` to `until`."""
        if until < first:
            return None
        return self._timetable.latest_in(first, until) or first
