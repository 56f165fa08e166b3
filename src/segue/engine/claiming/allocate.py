"""Who gets the free places of a worker: the rules by which steps with lanes and plain steps share them. Pure.

1. Queues are worked in the order that the worker names.
2. Higher priorities go first.
3. At the same priority, plain steps and lanes take turns, one each.
4. Among lanes, the key that was served least goes first. Each start adds its cost divided by the key's weight, so
   three times the weight gets three times the starts. A key that comes back begins where the others are: nobody saves
   up turns by waiting, nor has to catch up with those who came later. Lanes without a key are one key together.
5. Among plain steps the oldest goes first. Lanes of one key get a place each, the oldest first, then another each.

What its limits hold back is passed over, and holds up nothing else. One exception: when a step costs several places and
has waited for them for long (`STARVING_SECONDS`), those of its limit are kept for it as they come free, because cheaper
steps would otherwise take every one of them.
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
    """Steps that may be claimed: those of a lane, or plain ones."""

    queue: str
    lane: str | None  # None: plain
    tasks: tuple[str, ...]
    cost: int
    uses: tuple[Use, ...]
    share: str
    weight: float
    heads: list[tuple[int, Any]]  # (priority, ready at): of a lane its first step; of plain steps each that may be had
    has_starved: bool = False


class Grant(msgspec.Struct):
    """So many steps may be claimed from a source, of a lane those of this priority."""

    source: Source
    priority: int
    count: int


class Allocation(msgspec.Struct):
    """What came of sharing."""

    grants: list[Grant] = []
    is_short: bool = False  # more could run than there are places
    wait_seconds: float | None = None  # until a rate lets the next one start
    plain_next: bool = True  # whose turn it is


class Tags:
    """The virtual time of each key on each queue: how much it had of it, by its weight."""

    def __init__(self, served: dict[tuple[str, str], float], floors: dict[str, float]) -> None:
        self._served = served
        self._floors = floors

    def of(self, queue: str, share: str) -> float:
        """Where a key stands, at least where the queue is."""
        floor = self._floors.get(queue, 0.0)
        return max(self._served.get((queue, share), floor), floor)

    def add(self, queue: str, share: str, amount: float) -> None:
        """Count what it gets."""
        self._served[queue, share] = self.of(queue, share) + amount


def allocate(
    queues: Sequence[Sequence[Source]], want: int, places: Places, tags: Tags, *, plain_next: bool
) -> Allocation:
    """Share `want` places among the sources of each queue; `places` and `tags` are changed as they are given."""
    result = Allocation([], plain_next=plain_next)
    for sources in queues:
        _keep_for_starving(sources, places)
    for sources in queues:
        want = _Queue(sources, places, tags, result).share(want)
    return result


def _keep_for_starving(sources: Sequence[Source], places: Places) -> None:
    for source in sources:
        held = places.held(source.uses) if source.has_starved else None
        if held is None or held.wait_seconds is not None or held.use.cost == 1:
            continue
        free = places.free(held.use)
        if free and places.held(use for use in source.uses if use is not held.use) is None:
            places.take((Use(held.use.limit, held.use.key, free),))


class _Queue:
    """The sources of one queue while they are shared out."""

    def __init__(self, sources: Sequence[Source], places: Places, tags: Tags, result: Allocation) -> None:
        self._sources = sources
        self._places = places
        self._tags = tags
        self._result = result
        self._grants: dict[tuple[int, int], Grant] = {}
        # Plain steps: (-priority, ready at, source, which of its heads). Lanes of each key: (-priority, how many they
        # were given, ready at, source). How deep a lane is is not known, so those of one key take turns as well.
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
        self._keys = [self._standing(who) for who in self._lanes]
        heapify(self._keys)

    def share(self, want: int) -> int:
        """Give out places, as long as there are some; returns how many are left."""
        while True:
            lane, plain = self._first_lane(), self._first_plain()
            if lane is None and plain is None:
                return want
            if want <= 0:
                self._result.is_short = True
                return want
            self._give(lane, plain)
            want -= 1

    def _standing(self, who: LimitKey) -> tuple[int, float, Any, LimitKey]:
        """Where a key stands among others: by the priority of its first lane, then by what it had."""
        rank, _, ready_at, _ = self._lanes[who][0]
        return (rank, self._tags.of(*who), ready_at, who)

    def _first_lane(self) -> tuple[int, LimitKey] | None:
        """(-priority, key) of the lane that goes first and that its limits do not hold back."""
        while self._keys:
            who = self._keys[0][3]
            lanes = self._lanes[who]
            while lanes and self._is_held(lanes[0][3]):
                heappop(lanes)
            if not lanes:
                heappop(self._keys)
                continue
            standing = self._standing(who)
            if standing == self._keys[0]:
                return standing[0], who
            heapreplace(self._keys, standing)
        return None

    def _first_plain(self) -> int | None:
        """-priority of the plain step that goes first and that its limits do not hold back."""
        while self._plain and self._is_held(self._plain[0][2]):
            heappop(self._plain)
        return self._plain[0][0] if self._plain else None

    def _is_held(self, number: int) -> bool:
        """Whether limits hold a source back. It may be dropped then: places only become fewer."""
        held = self._places.held(self._sources[number].uses)
        if held is None:
            return False
        if held.wait_seconds is not None:
            before = self._result.wait_seconds
            self._result.wait_seconds = held.wait_seconds if before is None else min(before, held.wait_seconds)
        return True

    def _give(self, lane: tuple[int, LimitKey] | None, plain: int | None) -> None:
        if lane is not None and plain is not None and lane[0] == plain:
            is_plain = self._result.plain_next
            self._result.plain_next = not is_plain
        else:
            is_plain = lane is None or (plain is not None and plain < lane[0])
        if is_plain:
            self._give_plain()
        elif lane is not None:
            self._give_lane(lane[1])

    def _give_plain(self) -> None:
        rank, _, number, place = heappop(self._plain)
        source = self._sources[number]
        self._grant(number, -rank)
        if place + 1 < len(source.heads):
            priority, ready_at = source.heads[place + 1]
            heappush(self._plain, (-priority, ready_at, number, place + 1))

    def _give_lane(self, who: LimitKey) -> None:
        rank, given, ready_at, number = self._lanes[who][0]
        source = self._sources[number]
        self._grant(number, -rank)
        heapreplace(self._lanes[who], (rank, given + 1, ready_at, number))
        self._tags.add(*who, source.cost / source.weight)

    def _grant(self, number: int, priority: int) -> None:
        source = self._sources[number]
        self._places.take(source.uses)
        grant = self._grants.get((number, priority))
        if grant is None:
            grant = self._grants[number, priority] = Grant(source, priority, 0)
            self._result.grants.append(grant)
        grant.count += 1
