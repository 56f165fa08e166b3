"""Takes ready steps of an executor, so that they are sent: within limits, at the pace of rates, and in fair order.

This is to an executor what a claim (laned.py) is to a worker, with the same parts. An executor has no slots of its own,
so as many steps are taken as one transaction may hold, until the window is full (window.py); besides it, only limits
keep steps inside. A step that is sent holds its places like one that runs, from now until its attempt ends.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from datetime import datetime, timedelta
from functools import cached_property
from typing import Any, NamedTuple

from segue.engine.act import Act
from segue.engine.claiming.allocate import Grant, Source
from segue.engine.claiming.candidates import Candidates, WaitingLane
from segue.engine.claiming.claimed import ClaimedRow, in_order, sent_rows
from segue.engine.claiming.cursor import ClaimCursor
from segue.engine.claiming.lane_memory import LaneMemory
from segue.engine.claiming.sharing import Sharing
from segue.engine.claiming.window import UNCOUNTED, Window
from segue.engine.identity import WorkerIdentity
from segue.engine.limiting.places import QUEUE, TASK, limit_of_task, with_bound
from segue.model import Attempt
from segue.plan.namespaces import bare, namespace_of
from segue.store.protocol import Later

_NO_WORKER = WorkerIdentity(id="", name="", queues=("",), tasks=())


class Outlet(NamedTuple):
    """Which steps are taken, and what is written into their rows."""

    low: str  # queues from here
    high: str  # ... to this one, which is not among them
    is_fenced: bool
    wait_seconds: float  # a step that has not begun by then is looked for
    executor: str
    window: int  # about so many steps of a queue are sent and have not begun


class SendingMemory:
    """What a process remembers of an executor's lanes from exchange to exchange. It only saves work."""

    def __init__(self, *, monotonic: Callable[[], float]) -> None:
        self.lanes = LaneMemory(_NO_WORKER, monotonic=monotonic)
        self.cursor = ClaimCursor(monotonic)
        self.window = Window(monotonic)

    def may_send_plainly(self, now: datetime) -> bool:
        """Whether no limit and no lane is known that would keep a step back, and nothing is to be counted."""
        return self.lanes.may_claim_plainly(now) and not self.window.is_due


class Sending:
    """Takes steps once, in one transaction.

    `freed`: how many of the attempts that just ended gave places back. `expected`: how many steps just became ready.
    """

    def __init__(
        self, act: Act, outlet: Outlet, memory: SendingMemory, *, want: int, freed: int = 0, expected: int = 0
    ) -> None:  # fmt: skip
        self._act = act
        self._outlet = outlet
        self._memory = memory
        self._most = want
        self._want = min(want, UNCOUNTED)  # of each queue, until the window is counted
        self._freed = freed
        self._expected = expected
        self._plain: list[Later] = []
        self._sharing: Sharing | None = None
        self.is_full = False  # there may be more to send
        self.fills_window = False  # from now on steps are kept back, which other processes are to know

    def send(self) -> None:
        """Take plain steps without waiting for the answer, and look for lanes if that is due.

        Only if no limit binds them, as `may_send_plainly` says.
        """
        outlet, now = self._outlet, self._act.now
        until = now + timedelta(seconds=outlet.wait_seconds)
        self._plain = [
            self._act.tx.later(
                "send_ready", low=low, high=high, limit=self._want, fenced=outlet.is_fenced, now=now, sent_until=until
            )
            for low, high in self._memory.window.ranges(outlet.low, outlet.high)
        ]
        if self._memory.lanes.is_due(now):
            self._candidates.send_lanes()

    def plain_rows(self) -> list[ClaimedRow]:
        """What `send` took, when the transaction has ended. If lanes wait, the next exchange shares."""
        rows = self._taken()
        lanes = self._memory.lanes
        if self._candidates.is_sent:
            if self._candidates.finds_any_lanes():
                lanes.saw_lanes()
                self.is_full = True
            else:
                lanes.looked(self._act.now, is_active=False)
        return rows

    def rows(self) -> list[ClaimedRow]:
        """The steps that were taken, in the order in which they are to be sent."""
        lanes, window, now = self._memory.lanes, self._memory.window, self._act.now
        if not lanes.knows_binding(now):
            self._read_binding()
        if window.is_due and self._most:
            outlet, was_full = self._outlet, bool(window.full)
            self._want = window.count(self._act, outlet.executor, size=outlet.window, want=self._most)
            self.fills_window = bool(window.full) and not was_full
        rows: list[ClaimedRow] = []
        if not (lanes.binding or lanes.is_active or self._freed):
            self.send()
            rows = self._taken()
            if not self._candidates.is_sent:
                if len(rows) >= min(self._expected, self._want):
                    return rows
                self._candidates.send_lanes()
            if not self._candidates.finds_lanes():
                lanes.looked(now, is_active=False)
                return rows
            self._candidates.knows_no_plain = len(rows) < self._want
        want = self._want - len(rows)
        if want > 0:
            sharing = self._sharing = Sharing(
                self._act, self._candidates, lanes, freed=self._freed, monotonic=self._memory.cursor.monotonic
            )  # fmt: skip
            rows += sharing.take(want)
            self.is_full |= sharing.look_again
        self._note_full(len(rows))
        in_order(rows)
        return rows

    @property
    def holding(self) -> Collection[Attempt]:
        """The attempts that hold places, of those that were taken."""
        return () if self._sharing is None else self._sharing.holding

    @property
    def look_seconds(self) -> float | None:
        """When to look again because of rates or the window, in seconds from now; None: that is not needed."""
        at, again = self._memory.lanes.wake_at, self._memory.window.look_seconds
        seconds = [] if at is None else [max((at - self._act.now).total_seconds(), 0.0)]
        return min([*seconds, *([] if again is None else [again])], default=None)

    @property
    def leaves_places(self) -> bool:
        """Whether places that were given back are left, so that other processes must be woken."""
        return self._freed > len(self.holding)

    @property
    def is_contended(self) -> bool:
        """Whether another process has a limit just now, so that somewhere a look must follow."""
        return self._sharing is not None and self._sharing.is_contended

    @cached_property
    def _candidates(self) -> _SendingCandidates:
        return _SendingCandidates(self._act, self._outlet, self._memory, want=self._want)

    def _taken(self) -> list[ClaimedRow]:
        rows: list[ClaimedRow] = []
        for later in self._plain:
            found = sent_rows(later.rows())
            self._note_full(len(found))
            rows += found
        in_order(rows)
        return rows

    def _note_full(self, count: int) -> None:
        """Remember that there may be more, if so many were taken at once."""
        if count >= self._want:
            self.is_full = True
            if self._want:  # or nothing was to be sent, which says nothing about the window
                self._memory.window.overflowed()

    def _read_binding(self) -> None:
        """Read which limits bind steps of this executor that have no lane."""
        outlet = self._outlet
        namespace, first, last = namespace_of(outlet.low), bare(outlet.low), bare(outlet.high)
        of_tasks = first.removeprefix("@") if first.endswith(":") else ""  # pushed tasks are named as they are
        found = set[str]()
        for (name,) in self._act.tx.all("limits_that_may_bind"):
            plain = bare(name)
            is_ours = plain.startswith(TASK + of_tasks) or first <= plain.removeprefix(QUEUE) < last
            if is_ours and namespace_of(name) == namespace:
                found.add(name)
        self._memory.lanes.bound(frozenset(found), self._act.now)


class _SendingCandidates(Candidates):
    """The lanes and plain steps of one executor: all its queues are one group, and it takes every task."""

    def __init__(self, act: Act, outlet: Outlet, memory: SendingMemory, *, want: int) -> None:
        super().__init__(act, _NO_WORKER, memory.cursor, memory.lanes, want=want)
        self._outlet = outlet
        self._full = memory.window.full

    def send_lanes(self) -> None:
        """See `Candidates`; a look that stopped at a lane goes on behind it."""
        self._sent = [("", self._ask("", self._memory.after.get("", ""), self._window))]

    def _ask(self, queue: str, after: str, limit: int) -> Later:
        after_queue, _, after_lane = after.partition("\0")
        return self._act.tx.later(
            "lanes_to_send", low=self._outlet.low, high=self._outlet.high, limit=limit,
            after_queue=after_queue, after_lane=after_lane,
        )  # fmt: skip

    def _place_of(self, lane: WaitingLane) -> str:
        return f"{lane.queue}\0{lane.lane}"

    def _takes(self, task: str) -> bool:
        return True

    def _groups(self) -> list[list[Source]]:
        """One group. Plain steps are one source for each queue, and one for each task of it that a limit binds."""
        if self.knows_no_plain:
            return [[]]
        outlet = self._outlet
        queues = self._act.tx.all("queues_to_send", low=outlet.low, high=outlet.high)
        return [[source for (queue,) in queues if queue not in self._full for source in self._plain(queue)]]

    def _plain(self, queue: str) -> list[Source]:
        binding = self._memory.binding
        first = limit_of_task(queue, "")
        tasks = sorted(name.removeprefix(first) for name in binding if name.startswith(first))
        return [
            Source(queue, None, of, 1, with_bound((), queue, of[0] if of else "", 1, binding), "", 1.0, [])
            for of in ((), *((task,) for task in tasks))
        ]

    def _peek(self, source: Source, want: int) -> Later:
        return self._act.tx.later("peek_to_send", queue=source.queue, limit=want, **self._which(source))

    def _which(self, source: Source) -> dict[str, Any]:
        """Which plain steps of its queue a source has: those of its task, or those that no other source has."""
        if source.tasks:
            return {"only": source.tasks[0], "but": []}
        return {"only": None, "but": [task for other in self._plain(source.queue) for task in other.tasks]}

    def claim(self, grant: Grant) -> Later:
        """See `Candidates`."""
        source, now = grant.source, self._act.now
        written = {
            "limit": grant.count, "queue": source.queue, "fenced": self._outlet.is_fenced, "now": now,
            "sent_until": now + timedelta(seconds=self._outlet.wait_seconds),
        }  # fmt: skip
        if source.lane is None:
            return self._act.tx.later("send_queue", **self._which(source), **written)
        return self._act.tx.later("send_lane", lane=source.lane, rank=-grant.priority, **written)

    def claimed(self, later: Later) -> list[ClaimedRow]:
        """See `Candidates`."""
        return sent_rows(later.rows())

    def note_claimed(self, source: Source, rows: list[ClaimedRow]) -> None:
        """Nothing: scans begin at the beginning."""
