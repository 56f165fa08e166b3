"""Reads the lanes and plain steps that a worker could claim, and the state of their limits, before slots are allocated.

Nothing is locked, unless the caller asks for it.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any, NamedTuple

import msgspec

from segue.engine.act import Act
from segue.engine.claiming.allocate import STARVING_SECONDS, Grant, Source
from segue.engine.claiming.claimed import ClaimedRow, claimed_rows
from segue.engine.claiming.cursor import BEGINNING, FIRST_RANK, ClaimCursor
from segue.engine.claiming.lane_memory import LaneMemory
from segue.engine.identity import WorkerIdentity
from segue.engine.limiting.limit_rows import (
    count_taken,
    lane_or_none,
    limit_key_columns,
    lock_limit_keys,
    locked_limit_keys,
    read_buckets,
    set_right,
    terms_of,
)  # fmt: skip
from segue.engine.limiting.places import LimitKey, Places, limit_of_task, with_bound
from segue.engine.stored import moment_of
from segue.plan.graph import LimitTerms
from segue.plan.lanes import read_lane
from segue.store.protocol import Later, Row

FEWEST_LANES, MOST_LANES, LANES_FOR_EACH = 50, 200, 4
"""The number of lanes that are read from a queue at once: `LANES_FOR_EACH` for each free slot, between the other two.
If there are more, the next look continues after the last one."""

FEW_LIMIT_KEYS = 16

LOOKS_AT_MOST = 10
"""The number of looks in one turn, as long as nothing can start."""


class WaitingLane(NamedTuple):
    """A lane in which steps wait, with the priority and time of its first step."""

    queue: str
    lane: str
    priority: int
    ready_at: Any  # as the database stores times


class Snapshot(msgspec.Struct, frozen=True):
    """What could be claimed at one moment, and the state of the limits."""

    sources: list[list[Source]]  # by queue
    terms: dict[str, LimitTerms]
    taken: dict[LimitKey, int]
    full_at: dict[LimitKey, datetime]
    served: dict[tuple[str, str], float]
    is_keyed: bool  # whether a lane has a fair-share key
    locked: set[LimitKey] | None = None  # limits and keys that were locked before they were read; None: no lock

    def places(self, now: datetime) -> Places:
        """The free places and tokens at that moment."""
        return Places(self.terms, self.taken, self.full_at, now)


class Candidates:
    """Looks at what one turn could claim: `send_lanes`, then `read` until nothing more is needed."""

    def __init__(
        self, act: Act, worker: WorkerIdentity, cursor: ClaimCursor, memory: LaneMemory, *, want: int,
    ) -> None:  # fmt: skip
        self._act = act
        self._worker = worker
        self._cursor = cursor
        self._memory = memory
        self._window = min(max(want * LANES_FOR_EACH, FEWEST_LANES), MOST_LANES)
        self._sent: list[tuple[str, Later]] = []
        self._lanes: list[WaitingLane] | None = None  # the lanes of the last look, if not used yet
        self._looks = 0
        self._is_whole = True  # the last look read every lane
        self._starts: dict[str, tuple[int, Any]] = {}
        self._deep: dict[str, dict[str, tuple[int, Any]]] = {}  # by queue and lane: the scan position
        self.has_lanes = False
        self.knows_no_plain = False  # a claim found that no more plain steps are ready
        self.looked_everywhere = True

    # Lanes --------------------------------------------------------------------------------------------------------

    @property
    def is_long(self) -> bool:
        """Whether there were several looks, so that the next one should not follow immediately."""
        return self._looks > 1

    @property
    def is_whole(self) -> bool:
        """Whether the last look read every lane."""
        return self._is_whole

    @property
    def is_sent(self) -> bool:
        """Whether a look at the lanes was sent, or was read and not used yet."""
        return bool(self._sent) or self._lanes is not None

    def send_lanes(self) -> None:
        """Send the query for the lanes without waiting for its result."""
        worker, later = self._worker, self._act.tx.later
        if worker.run_id is not None:
            self._sent = [("", later("waiting_lanes_of_run", run_id=worker.run_id))]
            return
        after = self._memory.after
        self._sent = [(queue, self._ask(queue, after.get(queue, ""), self._window)) for queue in worker.queues]

    def _ask(self, queue: str, after: str, limit: int) -> Later:
        starts = self._deep[queue] = self._memory.starts(queue)
        return self._act.tx.later(
            "waiting_lanes", queue=queue, after=after, limit=limit, deep=list(starts),
            ranks=[rank for rank, _ in starts.values()], sinces=[since for _, since in starts.values()],
        )  # fmt: skip

    def finds_lanes(self) -> bool:
        """Whether a lane waits whose task the worker knows. Also true if some lanes have not been read."""
        if self._lanes is None:
            self._lanes = self._read_lanes()
        return bool(self._lanes) or not self._is_whole

    def finds_any_lanes(self) -> bool:
        """Whether the query that was sent found lanes, of any task. Sends nothing more."""
        return any(later.rows() for _, later in self._sent)

    def can_continue(self) -> bool:
        """Whether this turn may look at further lanes that it has not read."""
        return not self._is_whole and self._looks < LOOKS_AT_MOST

    def _read_lanes(self) -> list[WaitingLane]:
        """The lanes that were queried. A query that began in the middle and reached the end continues at the start."""
        rows: list[WaitingLane] = []
        self._is_whole = True
        after = self._memory.after
        for queue, later in self._sent:
            found = _waiting_lanes(later)
            started = after.pop(queue, "")
            if len(found) >= self._window and self._worker.run_id is None:
                after[queue] = self._place_of(found[-1])
                self._is_whole = False
            elif started:
                first = _waiting_lanes(self._ask(queue, "", self._window - len(found)))
                seen = {self._place_of(row) for row in found}
                found += [row for row in first if self._place_of(row) not in seen]
            gone = self._deep.get(queue, {}).keys() - {row.lane for row in found}
            if gone and queue not in after:
                self._memory.forget(queue, gone)  # nothing after the position: scan from the beginning
                self._is_whole = False
            rows += [row for row in found if (lane := lane_or_none(row.lane)) is not None and self._takes(lane.task)]
        self._sent = []
        self._looks += 1
        self.has_lanes |= bool(rows) or not self._is_whole
        return rows

    def _place_of(self, lane: WaitingLane) -> str:
        """Where a lane is among those of one query."""
        return lane.lane

    def _takes(self, task: str) -> bool:
        return task in self._memory.tasks

    # Everything ---------------------------------------------------------------------------------------------------

    def read(self, want: int, *, lock: bool = False) -> Snapshot:
        """The next lanes, the plain steps of the same queues, and the state of their limits.

        With `lock`, the limits and keys are locked first if they are few. Otherwise the caller locks those that it
        needs.
        """
        if not self.is_sent:
            self.send_lanes()
        groups = self._groups()
        peeks = [[(source, self._peek(source, want)) for source in group] for group in groups]
        self.finds_lanes()
        lanes, self._lanes = self._lanes or [], None
        for group in peeks:
            for source, later in group:
                source.heads = [(priority, at) for priority, at in later.rows() if _has_order(priority, at)]
                rank, _ = self._starts.get(source.queue, (FIRST_RANK, None))
                self.looked_everywhere &= (
                    rank == FIRST_RANK or len(source.heads) >= want or self._cursor.is_resting(source.queue)
                )
        self._add_lanes(groups, lanes)
        return self._with_limits(groups, lock)

    def reread(self, seen: Snapshot) -> Snapshot:
        """The same steps with the current state of their limits."""
        terms, taken, full_at = self._limits(_limit_keys(seen.sources))
        return msgspec.structs.replace(seen, terms=terms, taken=taken, full_at=full_at)

    def _groups(self) -> list[list[Source]]:
        """The plain sources of each queue. For a worker of one run, all queues are one group."""
        if self._worker.run_id is None:
            return [self._plain(queue) for queue in self._worker.queues]
        queues = self._act.tx.all("waiting_queues_of_run", run_id=self._worker.run_id)
        return [[source for (queue,) in sorted(queues) for source in self._plain(queue)]]

    def _plain(self, queue: str) -> list[Source]:
        """One source for all plain steps, and one for each task that a limit binds, so that it hides no other task."""
        if self.knows_no_plain:
            return []
        binding = self._memory.binding
        bound = [task for task in self._worker.tasks if limit_of_task(queue, task) in binding] if binding else []
        free = tuple(task for task in self._worker.tasks if task not in bound) if bound else self._worker.tasks
        return [
            Source(queue, None, tasks, 1, with_bound((), queue, tasks[0], 1, binding), "", 1.0, [])
            for tasks in (free, *((task,) for task in bound)) if tasks
        ]  # fmt: skip

    def _start(self, source: Source) -> tuple[int, Any]:
        """Where to scan for plain steps: from the cursor's position, if the source has all tasks of the worker."""
        if len(source.tasks) < len(self._worker.tasks):
            return FIRST_RANK, BEGINNING
        start = self._starts.get(source.queue)
        if start is None:
            start = self._starts[source.queue] = self._cursor.start(source.queue)
        return start

    def _peek(self, source: Source, want: int) -> Later:
        if self._worker.run_id is not None:
            return self._act.tx.later(
                "peek_of_run", run_id=self._worker.run_id, queue=source.queue, tasks=source.tasks, limit=want
            )  # fmt: skip
        rank, since = self._start(source)
        return self._act.tx.later("peek", queue=source.queue, tasks=source.tasks, limit=want, rank=rank, since=since)

    def _add_lanes(self, groups: list[list[Source]], rows: list[WaitingLane]) -> None:
        memory, worker = self._memory, self._worker
        group_of = {queue: number for number, queue in enumerate(worker.queues)} if worker.run_id is None else {}
        old = self._act.now - timedelta(seconds=STARVING_SECONDS)
        for queue, text, priority, ready_at in rows:
            if not _has_order(priority, ready_at):
                continue
            lane = read_lane(text)
            uses = with_bound(lane.uses, queue, lane.task, lane.cost, memory.binding)
            since = moment_of(self._act.tx, ready_at) if any(use.cost > 1 for use in uses) else None
            groups[group_of.get(queue, 0)].append(
                Source(
                    queue, text, (lane.task,), lane.cost, uses, lane.share or "", lane.weight, [(priority, ready_at)],
                    has_starved=since is not None and since < old,
                )
            )  # fmt: skip

    def _with_limits(self, groups: list[list[Source]], lock: bool) -> Snapshot:
        lanes = [source for group in groups for source in group if source.lane is not None]
        is_keyed = any(source.share for source in lanes)
        shares = None
        if is_keyed:
            columns = limit_key_columns({(source.queue, source.share) for source in lanes})
            shares = self._act.tx.later("shares", queues=columns["names"], **columns)
        limit_keys = _limit_keys(groups)
        locking = None
        if lock and 0 < len(limit_keys) <= FEW_LIMIT_KEYS:
            locking = lock_limit_keys(self._act.tx, limit_keys)
        terms, taken, full_at = self._limits(limit_keys)
        served = {} if shares is None else self._served(shares.rows(), lanes)
        locked = None if locking is None else locked_limit_keys(locking)
        return Snapshot(groups, terms, taken, full_at, served, is_keyed, locked)

    def _limits(
        self, limit_keys: set[LimitKey]
    ) -> tuple[dict[str, LimitTerms], dict[LimitKey, int], dict[LimitKey, datetime]]:
        if not limit_keys:
            return {}, {}, {}
        tx, binding = self._act.tx, self._memory.binding
        limits = tx.later("limits_named", names=sorted({name for name, _ in limit_keys}))
        taken = tx.later("taken_by_all" if binding else "taken_by_lanes")
        buckets = tx.later("buckets", **limit_key_columns(limit_keys))
        terms = terms_of(limits.rows())
        holders, full_at = taken.rows(), buckets.rows()
        set_right(self._act, full_at)
        return terms, count_taken(holders, binding), read_buckets(tx, full_at, self._act.now)

    def _served(self, rows: list[Row], lanes: list[Source]) -> dict[tuple[str, str], float]:
        """The virtual time of each key, including what is not written yet. Also sets weights and queues' times."""
        memory = self._memory
        floors, served, weights = memory.floors, {}, {}
        for queue, key, weight, tag, floor in rows:
            floors[queue] = max(floors.get(queue, 0.0), floor)
            served[queue, key] = tag
            if weight is not None:
                weights[queue, key] = weight
        for (queue, key), amount in memory.uncounted.items():
            served[queue, key] = max(served.get((queue, key), 0.0), floors.get(queue, 0.0)) + amount
        least: dict[str, float] = {}
        for source in lanes:
            owner = (source.queue, source.share)
            source.weight = weights.get(owner, source.weight)
            tag = max(served.get(owner, 0.0), floors.get(source.queue, 0.0))
            least[source.queue] = min(least.get(source.queue, tag), tag)
        for queue, tag in least.items():
            floors[queue] = max(floors.get(queue, 0.0), tag)
        return served

    # Claiming -----------------------------------------------------------------------------------------------------

    def claim(self, grant: Grant) -> Later:
        """Send the claim for a grant without waiting for its result."""
        source, worker = grant.source, self._worker
        claimed = {"worker_id": worker.id, "now": self._act.now, "limit": grant.count, "queue": source.queue}
        if source.lane is not None:
            rank, since = self._deep.get(source.queue, {}).get(source.lane, (FIRST_RANK, BEGINNING))
            return self._act.tx.later(
                "claim_lane", lane=source.lane, rank=-grant.priority, run_id=worker.run_id,
                since=since if rank == -grant.priority else BEGINNING, **claimed,
            )  # fmt: skip
        if worker.run_id is not None:
            return self._act.tx.later("claim_of_run_on", run_id=worker.run_id, tasks=source.tasks, **claimed)
        rank, since = self._start(source)
        return self._act.tx.later("claim", tasks=source.tasks, rank=rank, since=since, **claimed)

    def claimed(self, later: Later) -> list[ClaimedRow]:
        """The rows of such a claim."""
        return claimed_rows(later.rows())

    def note_claimed(self, source: Source, rows: list[ClaimedRow]) -> None:
        """Move the scan position of the source behind the claimed steps."""
        if source.lane is not None:
            self._memory.claimed(source.queue, source.lane, rows, self._act.tx)
        elif self._worker.run_id is None and len(source.tasks) == len(self._worker.tasks):
            self._cursor.claimed(rows, self._act.tx, queue=source.queue)


def _has_order(priority: Any, ready_at: Any) -> bool:
    """Whether a step can be ordered among others. A damaged one cannot, and is skipped."""
    return type(priority) is int and isinstance(ready_at, (str, datetime))


def _waiting_lanes(later: Later) -> list[WaitingLane]:
    return [WaitingLane(*row) for row in later.rows()]


def _limit_keys(groups: list[list[Source]]) -> set[LimitKey]:
    return {(use.limit, use.key) for group in groups for source in group for use in source.uses}
