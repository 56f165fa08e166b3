"""Allocates the free slots of a worker to steps with lanes and to plain steps, by the rules below. Pure.

1. Queues are served in the order in which the worker lists them.
2. Higher priorities go first.
3. At the same priority, plain steps and lanes alternate.
4. Among lanes, the key that was served least goes first. Each start adds its cost divided by the key's weight, so
   three times the weight gets three times the starts. An idle key earns no credit: when it has work again, it starts
   level with the others. Lanes without a key count as one key.
5. Among plain steps the oldest goes first. Lanes of one key get one slot each, the oldest first, then a second one.

A step that its limits hold back is skipped and does not delay other steps. One exception: if a step costs several
places and has waited for them for longer than `STARVING_SECONDS`, the places of its limit are reserved for it as they
are given back, because cheaper steps would otherwise take every one of them.
"""

from __future__ import annotations

from collections.abc import Sequence
from heapq import heapify, heappop, heappush, heapreplace
from typing import Any

import msgspec

from segue.engine.limiting.places import LimitKey, Places
from segue.plan.lanes import Use

STARVING_SECONDS = 30.0


class Source(msgspec.Struct):
    """Steps that can be claimed: the steps of one lane, or plain steps."""

    queue: str
    lane: str | None  # None: plain
    tasks: tuple[str, ...]
    cost: int
    uses: tuple[Use, ...]
    share: str
    weight: float
    heads: list[tuple[int, Any]]  # (priority, ready at): the first step of a lane; every claimable plain step
    has_starved: bool = False


class Grant(msgspec.Struct):
    """Permission to claim `count` steps from a source; from a lane only steps of this priority."""

    source: Source
    priority: int
    count: int


class Allocation(msgspec.Struct):
    """The result of `allocate`."""

    grants: list[Grant] = []
    is_short: bool = False  # more steps could run than there are free slots
    wait_seconds: float | None = None  # until a rate lets the next step start
    plain_next: bool = True  # at equal priority a plain step goes next, not a lane


class Tags:
    """The virtual time of each key on each queue: the cost of its starts, divided by its weight."""

    def __init__(self, served: dict[tuple[str, str], float], floors: dict[str, float]) -> None:
        self._served = served
        self._floors = floors

    def of(self, queue: str, share: str) -> float:
        """The virtual time of a key, never less than that of its queue."""
        floor = self._floors.get(queue, 0.0)
        return max(self._served.get((queue, share), floor), floor)

    def add(self, queue: str, share: str, amount: float) -> None:
        """Charge a key for a start."""
        self._served[queue, share] = self.of(queue, share) + amount


def allocate(
    queues: Sequence[Sequence[Source]], want: int, places: Places, tags: Tags, *, plain_next: bool
) -> Allocation:
    """Allocate `want` slots to the sources of each queue. Every grant is charged to `places` and `tags`."""
    result = Allocation([], plain_next=plain_next)
    for sources in queues:
        _reserve_for_starving(sources, places)
    for sources in queues:
        want = _Queue(sources, places, tags, result).allocate(want)
    return result


def _reserve_for_starving(sources: Sequence[Source], places: Places) -> None:
    for source in sources:
        held = places.held(source.uses) if source.has_starved else None
        if held is None or held.wait_seconds is not None or held.use.cost == 1:
            continue
        free = places.free(held.use)
        if free and places.held(use for use in source.uses if use is not held.use) is None:
            places.take((Use(held.use.limit, held.use.key, free),))


class _Queue:
    """Allocates slots to the sources of one queue."""

    def __init__(self, sources: Sequence[Source], places: Places, tags: Tags, result: Allocation) -> None:
        self._sources = sources
        self._places = places
        self._tags = tags
        self._result = result
        self._grants: dict[tuple[int, int], Grant] = {}
        # Plain steps: (-priority, ready at, source, index of the head). Lanes of each key: (-priority, number of
        # grants, ready at, source). The length of a lane is unknown, so the lanes of one key alternate as well.
        self._plain: list[tuple[int, Any, int, int]] = []
        self._lanes: dict[LimitKey, list[tuple[int, int, Any, int]]] = {}
        for number, source in enumerate(sources):
            if not source.heads:
                continue
            priority, ready_at = source.heads[0]
            if source.lane is None:
                self._plain.append((-priority, ready_at, number, 0))
            else:
                self._lanes.setdefault((source.queue, source.share), []).append((-priority, 0, ready_at, number))
        heapify(self._plain)
        for lanes in self._lanes.values():
            heapify(lanes)
        self._keys = [self._rank_of(key) for key in self._lanes]
        heapify(self._keys)

    def allocate(self, want: int) -> int:
        """Grant slots until none is left or no source can use one; returns the number of slots that are left."""
        while True:
            lane, plain = self._first_lane(), self._first_plain()
            if lane is None and plain is None:
                return want
            if want <= 0:
                self._result.is_short = True
                return want
            self._grant_next(lane, plain)
            want -= 1

    def _rank_of(self, key: LimitKey) -> tuple[int, float, Any, LimitKey]:
        """The sort key of a fair-share key: the priority of its first lane, then its virtual time."""
        rank, _, ready_at, _ = self._lanes[key][0]
        return (rank, self._tags.of(*key), ready_at, key)

    def _first_lane(self) -> tuple[int, LimitKey] | None:
        """(-priority, key) of the first lane that its limits do not hold back."""
        while self._keys:
            key = self._keys[0][3]
            lanes = self._lanes[key]
            while lanes and self._is_held(lanes[0][3]):
                heappop(lanes)
            if not lanes:
                heappop(self._keys)
                continue
            rank = self._rank_of(key)
            if rank == self._keys[0]:
                return rank[0], key
            heapreplace(self._keys, rank)
        return None

    def _first_plain(self) -> int | None:
        """-priority of the first plain step that its limits do not hold back."""
        while self._plain and self._is_held(self._plain[0][2]):
            heappop(self._plain)
        return self._plain[0][0] if self._plain else None

    def _is_held(self, number: int) -> bool:
        """Whether limits hold a source back. If so, it can be dropped: the number of free places only shrinks."""
        held = self._places.held(self._sources[number].uses)
        if held is None:
            return False
        if held.wait_seconds is not None:
            before = self._result.wait_seconds
            self._result.wait_seconds = held.wait_seconds if before is None else min(before, held.wait_seconds)
        return True

    def _grant_next(self, lane: tuple[int, LimitKey] | None, plain: int | None) -> None:
        if lane is not None and plain is not None and lane[0] == plain:
            is_plain = self._result.plain_next
            self._result.plain_next = not is_plain
        else:
            is_plain = lane is None or (plain is not None and plain < lane[0])
        if is_plain:
            self._grant_to_plain()
        elif lane is not None:
            self._grant_to_lane(lane[1])

    def _grant_to_plain(self) -> None:
        rank, _, number, head = heappop(self._plain)
        source = self._sources[number]
        self._grant(number, -rank)
        if head + 1 < len(source.heads):
            priority, ready_at = source.heads[head + 1]
            heappush(self._plain, (-priority, ready_at, number, head + 1))

    def _grant_to_lane(self, key: LimitKey) -> None:
        rank, granted, ready_at, number = self._lanes[key][0]
        source = self._sources[number]
        self._grant(number, -rank)
        heapreplace(self._lanes[key], (rank, granted + 1, ready_at, number))
        self._tags.add(*key, source.cost / source.weight)

    def _grant(self, number: int, priority: int) -> None:
        source = self._sources[number]
        self._places.take(source.uses)
        grant = self._grants.get((number, priority))
        if grant is None:
            grant = self._grants[number, priority] = Grant(source, priority, 0)
            self._result.grants.append(grant)
        grant.count += 1
