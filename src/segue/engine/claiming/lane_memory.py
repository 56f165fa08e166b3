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
"""How often a busy worker checks whether steps with lanes wait."""

BINDING_SECONDS = 1.0
"""How often it reads which limits bind plain steps."""

DEEP_AFTER = 500
"""After this many claims from a lane, its scan position is remembered."""

_AT_ONCE = datetime.min.replace(tzinfo=UTC)
_MOST_HELD = 100_000
_MOST_DEEP = 100

Lane = tuple[str, str]  # a queue and the lane's text


class LaneMemory:
    """The lanes, limits and held places that one worker remembers."""

    def __init__(self, worker: WorkerIdentity, *, monotonic: Callable[[], float] = time.monotonic) -> None:
        self.tasks = frozenset(worker.tasks)
        of_tasks = [limit_of_task(stored(worker.namespace, ""), task) for task in worker.tasks]
        self.bindable = [limit_of_queue(queue) for queue in worker.queues] + of_tasks
        self.binding: frozenset[str] = frozenset()  # limits that bind its plain steps
        self.is_active = False  # steps with lanes waited when it last looked
        self.look_at = _AT_ONCE  # the next look, as part of a turn that is taken anyway
        self.wake_at: datetime | None = None  # the next look, for which a turn is taken even if nothing else needs one
        self.rest_until = _AT_ONCE  # no look before this time: the last one took long and found nothing
        self.after: dict[str, str] = {}  # by queue: the last lane that was read, if there are more lanes
        self.floors: dict[str, float] = {}  # by queue: its virtual time
        self.uncounted: dict[tuple[str, str], float] = {}  # by queue and key: virtual time that could not be written
        self.plain_next = True
        self.cursor = ClaimCursor(monotonic)  # positions in lanes from which many steps were claimed
        self._claimed: dict[Lane, int] = {}
        self._binding_since = self._binding_until = _AT_ONCE
        self._held: set[tuple[str, int, int]] = set()  # attempts that hold places

    def hold(self, attempts: Iterable[tuple[str, int, int]]) -> None:
        """Remember attempts that hold places of limits."""
        if len(self._held) < _MOST_HELD:
            self._held.update(attempts)

    def give_back(self, outcomes: Sequence[Outcome]) -> int:
        """The number of these outcomes that give places back."""
        if not self._held:
            return 0
        ended = self._held.intersection((o.run_id, o.step, o.attempt) for o in outcomes)
        self._held -= ended
        return len(ended)

    def claimed(self, queue: str, lane: str, rows: Sequence[ClaimedRow], tx: Transaction) -> None:
        """Count steps claimed from a lane; after `DEEP_AFTER`, remember the scan position."""
        which = (queue, lane)
        count = self._claimed[which] = self._claimed.pop(which, 0) + len(rows)
        if count >= DEEP_AFTER:
            self.cursor.claimed(rows, tx, queue=queue, lane=lane)
        if len(self._claimed) > _MOST_DEEP:
            del self._claimed[next(iter(self._claimed))]  # the least recently used one

    def forget(self, queue: str, lanes: Iterable[str]) -> None:
        """Forget the positions in these lanes: they are scanned from the beginning again."""
        for lane in lanes:
            self._claimed.pop((queue, lane), None)

    def starts(self, queue: str) -> dict[str, tuple[int, datetime]]:
        """The scan positions of a queue's lanes that have one. Every now and then a lane is scanned in full instead."""
        starts = {
            lane: self.cursor.start(of, lane)
            for (of, lane), count in self._claimed.items()
            if of == queue and count >= DEEP_AFTER
        }
        return {lane: start for lane, start in starts.items() if start[0] != FIRST_RANK}

    def knows_binding(self, now: datetime) -> bool:
        """Whether `binding` was read recently."""
        return self._binding_since <= now < self._binding_until

    def bound(self, binding: frozenset[str], now: datetime) -> None:
        """Remember the limits that were read just now."""
        if now < self._binding_since:  # the clock was set back: do now what was due at a time of the old clock
            self.look_at = self.rest_until = _AT_ONCE
        self.binding = binding
        self._binding_since, self._binding_until = now, now + timedelta(seconds=BINDING_SECONDS)

    def may_claim_plainly(self, now: datetime) -> bool:
        """Whether a claim may ignore lanes and limits: none was found recently."""
        return self.knows_binding(now) and not self.binding and not self.is_active

    def is_due(self, now: datetime) -> bool:
        """Whether to look for lanes in this turn."""
        return now >= self.look_at or (self.wake_at is not None and now >= self.wake_at)

    def saw_lanes(self) -> None:
        """This turn found lanes that it did not serve: the next turn shares its slots with them."""
        self.is_active, self.look_at = True, _AT_ONCE

    def looked(self, now: datetime, *, is_active: bool) -> None:
        """A look has been taken: the next one is due in `LOOK_SECONDS`."""
        self.is_active = is_active
        self.look_at = now + timedelta(seconds=LOOK_SECONDS)
        self.wake_at = None
