"""When a worker does what: turns, heartbeats, checks of the timers. No I/O; the caller passes the time and the events.

A busy worker takes turns as fast as outcomes come. A worker that finds nothing polls again after 5 ms, then after 10
ms, and then falls asleep: its next heartbeat says so, and a process that starts something then notifies it. An asleep
worker still polls once a second.
"""

from __future__ import annotations

import math
from collections.abc import Callable

from segue.engine.backoff import longer_wait
from segue.engine.turn_request import TurnRequest, TurnResult

FIRST_POLL_SECONDS = 0.005
ASLEEP_AFTER_SECONDS = 0.02  # a poll interval this long means asleep
POLL_SECONDS = 1.0
TIMERS_SECONDS = 0.02  # between two looks at the timers of others, while it turns anyway
TIMERS_APART_SECONDS = 0.005  # between two looks at timers that it knows of, however many come due
UNSAID_SECONDS = 0.01  # that runs have begun may be left unsaid for so long
CANCELS_SECONDS = 0.5
PROGRESS_SECONDS = 0.5
RESCUE_SECONDS = 5.0
FIRST_BACK_OFF_SECONDS = 0.1
LONGEST_BACK_OFF_SECONDS = 5.0


class Pace:
    """The times at which a worker's duties are due."""

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
        self._timers_looked_at = now - TIMERS_APART_SECONDS
        self._timer_due_at: float | None = None
        self._look_at: float | None = None  # when limits may let something start
        self._unsaid_at = math.inf  # when what was left unsaid must be said
        self._cancels_at = now
        self._progress_at = now
        self._rescue_at = now
        self._blocked_until = 0.0
        self._back_off_seconds = 0.0
        self._told_asleep = False

    @property
    def is_asleep(self) -> bool:
        """True if it has found nothing for long enough that it wants to be notified."""
        return self._interval >= ASLEEP_AFTER_SECONDS

    @property
    def is_blocked(self) -> bool:
        """True while it backs off."""
        return self._monotonic() < self._blocked_until

    def is_turn_due(self, *, outcomes: bool, progress: bool, want: int) -> bool:
        """Is there something to report to the database, or to ask it?"""
        now = self._monotonic()
        if now < self._blocked_until:
            return False
        if outcomes or now >= self._heartbeat_at or now >= self._unsaid_at or (progress and now >= self._progress_at):
            return True
        return (want > 0 and (self._hungry or now >= self._next_look())) or now >= self._cancels_at + POLL_SECONDS

    def wait_seconds(self, *, want: int, has_outcomes: bool) -> float:
        """The seconds to wait for news before the next turn is due."""
        now = self._monotonic()
        if now < self._blocked_until:
            return self._blocked_until - now
        if has_outcomes or (want and self._hungry):
            return 0.0
        due = min(self._heartbeat_at, self._cancels_at + POLL_SECONDS, self._unsaid_at)
        if want:
            due = min(due, self._next_look())
        return max(due - now, 0.0)

    def heartbeat_due(self, *, want: int) -> bool:
        """Renew the lease now? Also when the worker falls asleep or wakes up, because a heartbeat records that."""
        changed = self.is_asleep != self._told_asleep and (want > 0 or self._told_asleep)
        return changed or self._monotonic() >= self._heartbeat_at

    def timers_due(self) -> bool:
        """Check the timers in this turn? Always before it sleeps, since others may have set some meanwhile."""
        now = self._monotonic()
        if now >= self._timers_at or self.is_asleep:
            return True
        return self._timer_due_at is not None and now >= self._next_timer(self._timer_due_at)

    def cancels_due(self, runs_something: bool) -> bool:
        """Ask in this turn which steps are to end?"""
        return runs_something and self._monotonic() >= self._cancels_at

    def rescue_due(self) -> bool:
        """Look for lost workers now? Not while its own heartbeat is late: it would count itself as lost."""
        now = self._monotonic()
        if now < self._rescue_at or now >= self._heartbeat_at:
            return False
        self._rescue_at = now + self._rescue_seconds
        return True

    def hint(self) -> None:
        """Record that there may be something to claim."""
        self._hungry = True

    def back_off(self) -> float:
        """A turn failed. Returns the seconds until the next try."""
        self._back_off_seconds = longer_wait(
            self._back_off_seconds, first_seconds=FIRST_BACK_OFF_SECONDS, longest_seconds=LONGEST_BACK_OFF_SECONDS
        )
        now = self._monotonic()
        self._blocked_until = now + self._back_off_seconds
        # Other workers may have been cut off as well: give them the time to renew their leases.
        self._rescue_at = max(self._rescue_at, now + self._rescue_seconds)
        return self._back_off_seconds

    def after_turn(self, request: TurnRequest, result: TurnResult) -> None:
        """A turn succeeded."""
        now = self._monotonic()
        fell_asleep = request.heartbeat is not None and request.sleeping and not self._told_asleep
        self._blocked_until = self._back_off_seconds = 0.0
        self._unsaid_at = now + UNSAID_SECONDS if result.unsaid else math.inf
        self._progress_at = now + PROGRESS_SECONDS
        self._cancels_at = now + CANCELS_SECONDS if request.cancels or now > self._cancels_at else self._cancels_at
        if request.heartbeat is not None:
            self._heartbeat_at = now + self._heartbeat_seconds
            self._told_asleep = request.sleeping
        if request.timers:
            self._timers_at = now + TIMERS_SECONDS
            self._timers_looked_at = now
        told_at = now - result.age_seconds
        if result.knows_timers:
            self._timer_due_at = None if result.timer_seconds is None else told_at + result.timer_seconds
        if request.want == 0:
            return
        self._look_at = None if result.look_seconds is None else told_at + result.look_seconds
        self._hungry = result.again or len(result.jobs) >= request.want
        if result.jobs or request.outcomes or request.recorded:
            self._interval = FIRST_POLL_SECONDS
        elif not self._hungry:
            self._interval = POLL_SECONDS if self.is_asleep else self._interval * 2
            self._hungry = fell_asleep  # a start that did not see it asleep sent no notification: poll once more
        self._poll_at = now + self._interval

    def _next_look(self) -> float:
        due = self._poll_at if self._look_at is None else min(self._poll_at, self._look_at)
        if self._timer_due_at is not None:
            return min(due, self._next_timer(self._timer_due_at))
        return due

    def _next_timer(self, due_at: float) -> float:
        return max(due_at, self._timers_looked_at + TIMERS_APART_SECONDS)
