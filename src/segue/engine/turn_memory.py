"""What a process remembers of its workers from turn to turn. It only saves work; nothing depends on it."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Sequence
from datetime import datetime

from segue.engine.claiming.claimed import ClaimedRow
from segue.engine.claiming.cursor import ClaimCursor
from segue.engine.claiming.lane_memory import LaneMemory
from segue.engine.claiming.sending import SendingMemory
from segue.engine.identity import WorkerIdentity
from segue.engine.recent import RecentIds
from segue.engine.tally import Tally
from segue.model import Attempt, Outcome

FEW_STEPS, _MOST_CHILDREN = 4, 1000
_MOST_WORKERS = 100  # that one process remembers


class TurnMemory:
    """A worker's memory from turn to turn. It only saves work; nothing depends on it."""

    def __init__(self, *, monotonic: Callable[[], float] = time.monotonic, tally: Tally | None = None) -> None:
        self._monotonic = monotonic
        self.begun = RecentIds()  # runs that are known to have begun
        self.unsaid: dict[str, datetime] = {}  # runs that have begun, and when, which the database does not know yet
        self.cursor = ClaimCursor(monotonic)
        self.tally = tally or Tally()  # of the attempts that ended
        self.was_long = False  # the last claim took long to find too few: the next turn is to see why
        self._lanes: dict[tuple[str, str | None], LaneMemory] = {}
        self._sending: dict[str, SendingMemory] = {}
        self._only_children: dict[Attempt, int] = {}

    def remember_children(self, rows: Sequence[ClaimedRow]) -> None:
        """Remember the only children of steps that were claimed, while a worker has few steps, as of a chain."""
        if len(rows) > FEW_STEPS:
            return
        if len(self._only_children) > _MOST_CHILDREN:
            self._only_children.clear()
        for row in rows:
            if row.only_child is not None and row.only_child >= 0:
                self._only_children[row.run_id, row.step, row.attempt] = row.only_child

    def take_only_child(self, outcomes: Sequence[Outcome]) -> int | None:
        """The only child of the step of a single outcome, if it is remembered."""
        if len(outcomes) != 1 or not self._only_children:
            return None
        [one] = outcomes
        return self._only_children.pop((one.run_id, one.step, one.attempt), None)

    def was_said(self, unsaid: Iterable[str]) -> None:
        """The database knows that these runs have begun."""
        for run_id in unsaid:
            self.unsaid.pop(run_id, None)

    def sending_of(self, low: str) -> SendingMemory:
        """This process's memory of the lanes of an executor, whose queues begin with `low`."""
        found = self._sending.get(low)
        if found is None:
            found = self._sending[low] = SendingMemory(monotonic=self._monotonic)
        return found

    def lanes_of(self, worker: WorkerIdentity) -> LaneMemory:
        """This worker's memory of lanes."""
        who = (worker.id, worker.run_id)
        found = self._lanes.get(who)
        if found is None:
            if len(self._lanes) >= _MOST_WORKERS:
                self._lanes.clear()
            found = self._lanes[who] = LaneMemory(worker, monotonic=self._monotonic)
        return found
