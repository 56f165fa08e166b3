"""What a claim sees of lanes and plain steps before it shares places out: read, not locked."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

import msgspec

from segue.engine.act import Act
from segue.engine.claiming.allocate import STARVING_SECONDS, Grant, Source
from segue.engine.claiming.claimed import ClaimedRow
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
"""So many lanes of a queue are looked at together: for each place some. Where there are more, the next look goes on
behind them."""

FEW_LIMIT_KEYS = 16

LOOKS_AT_MOST = 10
"""... and so many times in one turn, while none of them can start anything."""


class Snapshot(msgspec.Struct, frozen=True):
    """What was seen at one moment."""

    sources: list[list[Source]]  # by queue
    terms: dict[str, LimitTerms]
    taken: dict[LimitKey, int]
    full_at: dict[LimitKey, datetime]
    served: dict[tuple[str, str], float]
    is_keyed: bool  # whether some lane has a turn of its own
    locked: set[LimitKey] | None = None  # what was locked before it was seen; None: nothing

    def places(self, now: datetime) -> Places:
        """What is free, as far as it was seen."""
        return Places(self.terms, self.taken, self.full_at, now)


class Candidates:
    """The looks of one turn."""

    def __init__(
        self, act: Act, worker: WorkerIdentity, cursor: ClaimCursor, memory: LaneMemory, *, want: int,
    ) -> None:  # fmt: skip
        self._act = act
        self._worker = worker
        self._cursor = cursor
        self._memory = memory
        self._window = min(max(want * LANES_FOR_EACH, FEWEST_LANES), MOST_LANES)
        self._sent: list[tuple[str, Later]] = []
        self._lanes: list[Row] | None = None  # of the look that was sent
        self._looks = 0
        self._is_whole = True  # the last look saw every lane
        self._starts: dict[str, tuple[int, Any]] = {}
        self._deep: dict[str, dict[str, tuple[int, Any]]] = {}  # by queue: where lanes were looked into
        self.has_lanes = False
        self.knows_no_plain = False  # a claim of plain steps found that there are no more
        self.looked_everywhere = True

    # Lanes --------------------------------------------------------------------------------------------------------

    @property
    def is_long(self) -> bool:
        """Whether it took several looks, so that the next one should not follow at once."""
        return self._looks > 1

    @property
    def is_whole(self) -> bool:
        """Whether the last look saw every lane."""
        return self._is_whole

    @property
    def is_sent(self) -> bool:
        """Whether a look at the lanes is under way, or was read and not used yet."""
        return bool(self._sent) or self._lanes is not None

    def send_lanes(self) -> None:
        """Ask for the lanes, without waiting for the answer."""
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

    def sees_lanes(self) -> bool:
        """Whether there are any whose task the worker knows, or may be."""
        if self._lanes is None:
            self._lanes = self._read_lanes()
        return bool(self._lanes) or not self._is_whole

    def sees_anything(self) -> bool:
        """Whether there are any at all, as far as was asked: needs nothing further from the database."""
        return any(later.rows() for _, later in self._sent)

    def goes_on(self) -> bool:
        """Whether there are lanes that this turn has not seen, and may look at now."""
        return not self._is_whole and self._looks < LOOKS_AT_MOST

    def _read_lanes(self) -> list[Row]:
        """The lanes that were asked for; also the first ones, where it began in the middle and came to the end."""
        rows: list[Row] = []
        self._is_whole = True
        after = self._memory.after
        for queue, later in self._sent:
            found = later.rows()
            started = after.pop(queue, "")
            if len(found) >= self._window and self._worker.run_id is None:
                after[queue] = found[-1][1]
                self._is_whole = False
            elif started:
                first = self._ask(queue, "", self._window - len(found)).rows()
                seen = {row[1] for row in found}
                found = found + [row for row in first if row[1] not in seen]
            gone = self._deep.get(queue, {}).keys() - {row[1] for row in found}
            if gone and queue not in after:
                self._memory.forget(queue, gone)  # behind that there is nothing: look from the beginning
                self._is_whole = False
            known = self._memory.tasks
            rows += [row for row in found if (lane := lane_or_none(row[1])) is not None and lane.task in known]
        self._sent = []
        self._looks += 1
        self.has_lanes |= bool(rows) or not self._is_whole
        return rows

    # Everything ---------------------------------------------------------------------------------------------------

    def read(self, want: int, *, lock: bool = False) -> Snapshot:
        """The next lanes, the plain steps beside them, and how the limits of all of these stand.

        With `lock` they are locked first, when they are few; otherwise only those that will be needed are, later.
        """
        if not self.is_sent:
            self.send_lanes()
        groups = self._groups()
        peeks = [[(source, self._peek(source, want)) for source in group] for group in groups]
        self.sees_lanes()
        lanes, self._lanes = self._lanes or [], None
        for group in peeks:
            for source, later in group:
                source.heads = [(row[0], row[1]) for row in later.rows() if _has_order(row[0], row[1])]
                rank, _ = self._starts.get(source.queue, (FIRST_RANK, None))
                self.looked_everywhere &= (
                    rank == FIRST_RANK or len(source.heads) >= want or self._cursor.is_resting(source.queue)
                )
        self._add_lanes(groups, lanes)
        return self._stand(groups, lock)

    def reread(self, seen: Snapshot) -> Snapshot:
        """The same steps, and how their limits stand now."""
        terms, taken, full_at = self._limits(_limit_keys(seen.sources))
        return msgspec.structs.replace(seen, terms=terms, taken=taken, full_at=full_at)

    def _groups(self) -> list[list[Source]]:
        """The plain sources of each queue. Those of one run are claimed whatever their queue: one group."""
        if self._worker.run_id is None:
            return [self._plain(queue) for queue in self._worker.queues]
        queues = self._act.tx.all("waiting_queues_of_run", run_id=self._worker.run_id)
        return [[source for (queue,) in sorted(queues) for source in self._plain(queue)]]

    def _plain(self, queue: str) -> list[Source]:
        """Plain steps together, but for tasks that a limit binds: what it holds back must not hide the others."""
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
        """Where to look for plain steps: behind those that were claimed before, where all tasks are looked for."""
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

    def _add_lanes(self, groups: list[list[Source]], rows: list[Row]) -> None:
        memory, worker = self._memory, self._worker
        place = {queue: number for number, queue in enumerate(worker.queues)} if worker.run_id is None else {}
        old = self._act.now - timedelta(seconds=STARVING_SECONDS)
        for queue, text, priority, ready_at in rows:
            if not _has_order(priority, ready_at):
                continue
            lane = read_lane(text)
            uses = with_bound(lane.uses, queue, lane.task, lane.cost, memory.binding)
            since = moment_of(self._act.tx, ready_at) if any(use.cost > 1 for use in uses) else None
            groups[place.get(queue, 0)].append(
                Source(
                    queue, text, (lane.task,), lane.cost, uses, lane.share or "", lane.weight, [(priority, ready_at)],
                    has_starved=since is not None and since < old,
                )
            )  # fmt: skip

    def _stand(self, groups: list[list[Source]], lock: bool) -> Snapshot:
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
        terms = {row[0]: terms_of(row) for row in limits.rows()}
        standing, full_at = taken.rows(), buckets.rows()
        set_right(self._act, full_at)
        return terms, count_taken(standing, binding), read_buckets(tx, full_at, self._act.now)

    def _served(self, rows: list[Row], lanes: list[Source]) -> dict[tuple[str, str], float]:
        """How much each key had, what was not written down included; learns the weights and where the queues are."""
        memory = self._memory
        floors, served, weights = memory.floors, {}, {}
        for queue, key, weight, had, floor in rows:
            floors[queue] = max(floors.get(queue, 0.0), floor)
            served[queue, key] = had
            if weight is not None:
                weights[queue, key] = weight
        for (queue, key), amount in memory.uncounted.items():
            served[queue, key] = max(served.get((queue, key), 0.0), floors.get(queue, 0.0)) + amount
        least: dict[str, float] = {}
        for source in lanes:
            who = (source.queue, source.share)
            source.weight = weights.get(who, source.weight)
            tag = max(served.get(who, 0.0), floors.get(source.queue, 0.0))
            least[source.queue] = min(least.get(source.queue, tag), tag)
        for queue, tag in least.items():
            floors[queue] = max(floors.get(queue, 0.0), tag)
        return served

    # Claiming -----------------------------------------------------------------------------------------------------

    def claim(self, grant: Grant) -> Later:
        """Claim what was granted, without waiting for the answer."""
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

    def note_claimed(self, source: Source, rows: list[ClaimedRow]) -> None:
        """Steps were claimed: the next look goes on behind them."""
        if source.lane is not None:
            self._memory.claimed(source.queue, source.lane, rows, self._act.tx)
        elif self._worker.run_id is None and len(source.tasks) == len(self._worker.tasks):
            self._cursor.claimed(rows, self._act.tx, queue=source.queue)


def _has_order(priority: Any, ready_at: Any) -> bool:
    """Whether its place among others can be told: a damaged step is passed over."""
    return type(priority) is int and isinstance(ready_at, (str, datetime))


def _limit_keys(groups: list[list[Source]]) -> set[LimitKey]:
    return {(use.limit, use.key) for group in groups for source in group for use in source.uses}
