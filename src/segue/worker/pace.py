"""When a worker does what: turns, heartbeats, looks at the timers. No I/O; it is told the time and what happened.

A busy worker turns as fast as outcomes come. A worker that finds nothing looks again after 5 ms, then 10, and then
falls asleep: it says so with a heartbeat, so that whoever starts something notifies it, and looks once a second anyway.
"""

from __future__ import annotations

from collections.abc import Callable

from segue.engine.turn import TurnRequest, TurnResult

FIRST_POLL_SECONDS = 0.005
ASLEEP_AFTER_SECONDS = 0.02  # a poll interval this long means asleep
POLL_SECONDS = 1.0
TIMERS_SECONDS = 0.05
CANCELS_SECONDS = 0.5
PROGRESS_SECONDS = 0.5
RESCUE_SECONDS = 5.0
LONGEST_BACK_OFF_SECONDS = 5.0


class Pace:
    """The times at which things are due."""

    def __init__(self, monotonic: Callable[[], float], *, lease_seconds: float) -> None:
        self._monotonic = monotonic
        self._heartbeat_seconds = lease_seconds / 3
        self._rescue_seconds = min(RESCUE_SECONDS, lease_seconds / 2)
        now = monotonic()
        self._hungry = True  # there may be something to claim
        self._interval = FIRST_POLL_SECONDS
        self._poll_at = now
        self._heartbeat_at = now + self._heartbeat_seconds
        self._timers_at = now
        self._timer_due_at: float | None = None
        self._look_at: float | None = None  # when limits may let something start
        self._cancels_at = now
        self._progress_at = now
        self._rescue_at = now
        self._blocked_until = 0.0
        self._back_off_seconds = 0.0
        self._told_asleep = False

    @property
    def is_asleep(self) -> bool:
        """True when it found nothing for long enough to want to be notified."""
        return self._interval >= ASLEEP_AFTER_SECONDS

    def is_turn_due(self, *, outcomes: bool, progress: bool, want: int) -> bool:
        """Is there something to say to the database, or to ask it?"""
        now = self._monotonic()
        if now < self._blocked_until:
            return False
        if outcomes or now >= self._heartbeat_at or (progress and now >= self._progress_at):
            return True
        return (want > 0 and (self._hungry or now >= self._next_look())) or now >= self._cancels_at + POLL_SECONDS

    def wait_seconds(self, *, want: int, has_outcomes: bool) -> float:
        """How long to wait for news before the next turn is due."""
        now = self._monotonic()
        if now < self._blocked_until:
            return self._blocked_until - now
        if has_outcomes or (want and self._hungry):
            return 0.0
        due = min(self._heartbeat_at, self._cancels_at + POLL_SECONDS)
        if want:
            due = min(due, self._next_look())
        return max(due - now, 0.0)

    def heartbeat_due(self, *, want: int) -> bool:
        """Renew the lease now? Also when the worker falls asleep or wakes up, which is said with a heartbeat."""
        changed = self.is_asleep != self._told_asleep and (want > 0 or self._told_asleep)
        return changed or self._monotonic() >= self._heartbeat_at

    def timers_due(self) -> bool:
        """Look at the timers in this turn?"""
        return self._monotonic() >= self._timers_at

    def cancels_due(self, runs_something: bool) -> bool:
        """Ask which steps are to end in this turn?"""
        return runs_something and self._monotonic() >= self._cancels_at

    def rescue_due(self) -> bool:
        """Look for lost workers now? Not while its own heartbeat is late: it would find itself among them."""
        now = self._monotonic()
        if now < self._rescue_at or now >= self._heartbeat_at:
            return False
        self._rescue_at = now + self._rescue_seconds
        return True

    def hint(self) -> None:
        """Somebody says that there may be something to claim."""
        self._hungry = True

    def back_off(self) -> float:
        """A turn could not be done; returns the seconds until the next try."""
        self._back_off_seconds = min(max(self._back_off_seconds * 2, 0.1), LONGEST_BACK_OFF_SECONDS)
        now = self._monotonic()
        self._blocked_until = now + self._back_off_seconds
        # Others may have been cut off as well: they get the time to say that they live.
        self._rescue_at = max(self._rescue_at, now + self._rescue_seconds)
        return self._back_off_seconds

    def after_turn(self, request: TurnRequest, result: TurnResult) -> None:
        """A turn went through."""
        now = self._monotonic()
        fell_asleep = request.heartbeat is not None and request.sleeping and not self._told_asleep
        self._blocked_until = self._back_off_seconds = 0.0
        self._progress_at = now + PROGRESS_SECONDS
        self._cancels_at = now + CANCELS_SECONDS if request.cancels or now > self._cancels_at else self._cancels_at
        if request.heartbeat is not None:
            self._heartbeat_at = now + self._heartbeat_seconds
            self._told_asleep = request.sleeping
        if request.timers:
            self._timers_at = now + TIMERS_SECONDS
            self._timer_due_at = None if result.timer_seconds is None else now + result.timer_seconds
        if request.want == 0:
            return
        self._look_at = None if result.look_seconds is None else now + result.look_seconds
        self._hungry = result.again or len(result.jobs) >= request.want
        if result.jobs or request.outcomes or request.recorded:
            self._interval = FIRST_POLL_SECONDS
        elif not self._hungry:
            self._interval = POLL_SECONDS if self.is_asleep else self._interval * 2
            self._hungry = fell_asleep  # a start that did not see it asleep notified nobody: look once more
        self._poll_at = now + self._interval

    def _next_look(self) -> float:
        due = self._poll_at if self._look_at is None else min(self._poll_at, self._look_at)
        if self._timer_due_at is not None:
            return min(due, max(self._timer_due_at, self._timers_at))
        return due
