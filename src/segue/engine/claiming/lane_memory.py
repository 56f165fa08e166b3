"""What a worker remembers of lanes from turn to turn. It only saves work; nothing depends on it."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Sequence
from datetime import UTC, datetime, timedelta

from segue.engine.claiming.claimed import ClaimedRow
from segue.engine.claiming.cursor import FIRST_RANK, ClaimCursor
from segue.engine.identity import WorkerIdentity
from segue.engine.limiting.places import limit_of_queue, limit_of_task
from segue.model import Outcome
from segue.plan.namespaces import stored
from segue.store.protocol import Transaction

LOOK_SECONDS = 0.02
"""How often a busy worker looks whether steps with lanes wait."""

BINDING_SECONDS = 1.0
"""How often it looks for limits that bind steps without lanes."""

DEEP_AFTER = 500
"""So many steps are claimed of a lane before it is worth while to remember how far that went."""

_AT_ONCE = datetime.min.replace(tzinfo=UTC)
_MOST_HELD = 100_000
_MOST_DEEP = 100

Lane = tuple[str, str]  # a queue and the lane's text


class LaneMemory:
    """Of one worker."""

    def __init__(self, worker: WorkerIdentity, *, monotonic: Callable[[], float] = time.monotonic) -> None:
        self.tasks = frozenset(worker.tasks)
        of_tasks = [limit_of_task(stored(worker.namespace, ""), task) for task in worker.tasks]
        self.bindable = [limit_of_queue(queue) for queue in worker.queues] + of_tasks
        self.binding: frozenset[str] = frozenset()  # limits that bind its steps without lanes
        self.is_active = False  # steps with lanes waited at the last look
        self.look_at = _AT_ONCE  # the next look, in a turn that is taken anyway
        self.wake_at: datetime | None = None  # ... for which a turn is to be taken
        self.rest_until = _AT_ONCE  # a look was long and in vain
        self.after: dict[str, str] = {}  # by queue: where the last look ended, when it did not see all lanes
        self.floors: dict[str, float] = {}  # by queue: its virtual time
        self.uncounted: dict[tuple[str, str], float] = {}  # what could not be written of who was served
        self.plain_next = True
        self.cursor = ClaimCursor(monotonic)  # in lanes of which much was claimed
        self._claimed: dict[Lane, int] = {}
        self._binding_since = self._binding_until = _AT_ONCE
        self._held: set[tuple[str, int, int]] = set()  # attempts that have places

    def hold(self, attempts: Iterable[tuple[str, int, int]]) -> None:
        """Remember attempts that have places of limits."""
        if len(self._held) < _MOST_HELD:
            self._held.update(attempts)

    def give_back(self, outcomes: Sequence[Outcome]) -> int:
        """How many of these outcomes give places back."""
        if not self._held:
            return 0
        ended = self._held.intersection((o.run_id, o.step, o.attempt) for o in outcomes)
        self._held -= ended
        return len(ended)

    def claimed(self, queue: str, lane: str, rows: Sequence[ClaimedRow], tx: Transaction) -> None:
        """Steps of a lane were claimed. Of lanes from which many were, remember how far that went."""
        which = (queue, lane)
        count = self._claimed[which] = self._claimed.pop(which, 0) + len(rows)
        if count >= DEEP_AFTER:
            self.cursor.claimed(rows, tx, queue=queue, lane=lane)
        if len(self._claimed) > _MOST_DEEP:
            del self._claimed[next(iter(self._claimed))]  # the one that was claimed from longest ago

    def forget(self, queue: str, lanes: Iterable[str]) -> None:
        """Look into these lanes from the beginning."""
        for lane in lanes:
            self._claimed.pop((queue, lane), None)

    def starts(self, queue: str) -> dict[str, tuple[int, datetime]]:
        """Where to look into lanes of which many steps were claimed, now and then from the beginning."""
        starts = {
            lane: self.cursor.start(of, lane)
            for (of, lane), count in self._claimed.items()
            if of == queue and count >= DEEP_AFTER
        }
        return {lane: start for lane, start in starts.items() if start[0] != FIRST_RANK}

    def knows_binding(self, now: datetime) -> bool:
        """Whether `binding` was read a short time ago."""
        return self._binding_since <= now < self._binding_until

    def bound(self, binding: frozenset[str], now: datetime) -> None:
        """Remember what was read just now."""
        if now < self._binding_since:  # the clock was set back: what was to come at its time comes at once
            self.look_at = self.rest_until = _AT_ONCE
        self.binding = binding
        self._binding_since, self._binding_until = now, now + timedelta(seconds=BINDING_SECONDS)

    def is_out_of_the_way(self, now: datetime) -> bool:
        """Whether lanes and limits are of no concern to a claim, as far as was seen a short time ago."""
        return self.knows_binding(now) and not self.binding and not self.is_active

    def is_due(self, now: datetime) -> bool:
        """Whether to look for lanes in this turn."""
        return now >= self.look_at or (self.wake_at is not None and now >= self.wake_at)

    def saw_lanes(self) -> None:
        """There are lanes that this turn has no places for: the next one shares."""
        self.is_active, self.look_at = True, _AT_ONCE

    def looked(self, now: datetime, *, is_active: bool) -> None:
        """A look was taken that needs no other soon."""
        self.is_active = is_active
        self.look_at = now + timedelta(seconds=LOOK_SECONDS)
        self.wake_at = None
