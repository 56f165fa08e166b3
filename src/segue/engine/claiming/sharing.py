"""Shares what is free among steps with lanes and plain steps: for a worker's claim, and for what an executor is sent.

1. Look: read the lanes, each with its first step, the plain steps beside them, and the state of limits.
2. Allocate the free slots among them, assuming that nothing changes (`allocate`).
3. Lock the limits and keys that were allocated, without waiting for locks, count again, and allocate again.
4. Take the granted number of steps from each lane, and write tokens and fair shares.

Invariant: places are counted under the lock of their limit and key, by a statement that begins after the lock was
taken, and they are taken before the commit releases it. So two processes never take the same place.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from datetime import timedelta

from segue.engine.act import Act
from segue.engine.claiming.allocate import Allocation, Grant, Source, Tags, allocate
from segue.engine.claiming.candidates import Candidates, Snapshot
from segue.engine.claiming.charge import write_buckets, write_shares
from segue.engine.claiming.claimed import ClaimedRow
from segue.engine.claiming.lane_memory import LOOK_SECONDS, LaneMemory
from segue.engine.ids import chance
from segue.engine.limiting.limit_rows import lock_limit_keys, locked_limit_keys
from segue.engine.limiting.places import LimitKey
from segue.model import Attempt

ROUNDS = 4
"""How often one turn allocates at most: it does so again if lanes had fewer steps than were granted."""

CONTENDED_SECONDS = 0.002
_NEVER_SECONDS = 1e6  # longer than this: the rate is zero


class Sharing:
    """Takes steps that share slots. `freed`: how many places were just given back in the same transaction."""

    def __init__(
        self, act: Act, candidates: Candidates, memory: LaneMemory, *, freed: int, monotonic: Callable[[], float]
    ) -> None:  # fmt: skip
        self._act = act
        self._candidates = candidates
        self._memory = memory
        self._freed = freed
        self._monotonic = monotonic
        self._wait_seconds: float | None = None
        self.is_contended = False  # another transaction has the lock of a limit
        self.holding: set[Attempt] = set()  # what was taken and holds places
        self.is_short = False  # more steps could start than there are slots
        self.look_again = False  # lanes had fewer steps than were granted

    def take(self, want: int) -> list[ClaimedRow]:
        """The steps that were taken, `want` at most."""
        begun = self._monotonic()
        rows: list[ClaimedRow] = []
        is_done = False
        for _ in range(ROUNDS):
            if is_done or len(rows) >= want:
                break
            found, is_done = self._round(want - len(rows))
            rows += found
        self.look_again |= not is_done and len(rows) < want
        self._remember(is_done, has_claimed=bool(rows), seconds=self._monotonic() - begun)
        return rows

    def _round(self, want: int) -> tuple[list[ClaimedRow], bool]:
        """Allocate and claim once. Returns the claimed steps, and whether nothing more can be claimed now."""
        while True:
            # A turn that gives places back most likely takes them again, so locking first saves one read.
            seen = self._candidates.read(want, lock=self._freed > 0)
            sources = seen.sources if seen.locked is None else self._under_lock(seen, seen.locked)
            chosen = self._allocate(seen, want, sources)
            if chosen.grants or not self._candidates.can_continue():
                break
        if seen.locked is not None:
            self.is_contended |= sum(map(len, sources)) < sum(map(len, seen.sources))
        elif chosen.grants:
            seen, chosen = self._lock(seen, chosen, want)
        self.is_short = chosen.is_short
        self._wait_seconds = chosen.wait_seconds
        if not chosen.grants:
            return [], True
        self._memory.plain_next = chosen.plain_next
        rows, is_as_granted = self._claim(seen, chosen.grants)
        return rows, is_as_granted and not chosen.is_short

    def _lock(self, seen: Snapshot, chosen: Allocation, want: int) -> tuple[Snapshot, Allocation]:
        """Lock the limits and keys of the granted sources, read again, and allocate again."""
        limit_keys = {limit_key for grant in chosen.grants for limit_key in self._limit_keys(seen, grant.source)}
        if not limit_keys:
            return seen, chosen
        locking = lock_limit_keys(self._act.tx, limit_keys)
        seen = self._candidates.reread(seen)
        locked = locked_limit_keys(locking)
        self.is_contended |= locked != limit_keys
        return seen, self._allocate(seen, want, self._under_lock(seen, locked))

    def _under_lock(self, seen: Snapshot, locked: set[LimitKey]) -> list[list[Source]]:
        """The sources of which all limits and keys are locked."""
        return [[each for each in group if locked.issuperset(self._limit_keys(seen, each))] for group in seen.sources]

    def _allocate(self, seen: Snapshot, want: int, sources: Sequence[Sequence[Source]]) -> Allocation:
        tags = Tags(dict(seen.served), self._memory.floors)
        return allocate(sources, want, seen.places(self._act.now), tags, plain_next=self._memory.plain_next)

    def _limit_keys(self, seen: Snapshot, source: Source) -> set[LimitKey]:
        return {(use.limit, use.key) for use in source.uses if use.limit in seen.terms}

    def _claim(self, seen: Snapshot, grants: Sequence[Grant]) -> tuple[list[ClaimedRow], bool]:
        """Claim what was granted. Also returns whether every source had as many steps as were granted."""
        sent = [(grant, self._candidates.claim(grant)) for grant in _merged(grants)]
        rows: list[ClaimedRow] = []
        counts: list[tuple[Source, int]] = []
        is_as_granted = True
        for grant, later in sent:
            found = self._candidates.claimed(later)
            source = grant.source
            is_as_granted &= len(found) >= grant.count
            if not found:
                continue
            rows += found
            counts.append((source, len(found)))
            self._candidates.note_claimed(source, found)
            if self._limit_keys(seen, source):
                self.holding.update((row.run_id, row.step, row.attempt) for row in found)
        write_buckets(self._act, seen.places(self._act.now), counts)
        if seen.is_keyed:
            write_shares(self._act, self._memory, counts)
        return rows, is_as_granted

    def _remember(self, is_done: bool, *, has_claimed: bool, seconds: float) -> None:
        """Set the time of the next look."""
        memory, now = self._memory, self._act.now
        memory.looked(now, is_active=self._candidates.has_lanes)
        if not is_done or self.is_short:
            memory.look_at = now
        waits = [] if self._wait_seconds is None else [self._wait_seconds]
        if self.is_contended:
            waits.append(CONTENDED_SECONDS * (1 + chance()))
        if not has_claimed and self._candidates.is_long:
            memory.look_at = memory.rest_until = now + timedelta(seconds=10 * seconds)
        if not has_claimed and not self._candidates.is_whole:
            waits.append(max(LOOK_SECONDS, 10 * seconds))
        if waits and min(waits) < _NEVER_SECONDS:
            memory.wake_at = now + timedelta(seconds=min(waits))


def _merged(grants: Iterable[Grant]) -> list[Grant]:
    """Merge the grants of each plain source: one claim takes plain steps in order of priority."""
    plain: dict[int, Grant] = {}
    merged: list[Grant] = []
    for grant in grants:
        first = plain.get(id(grant.source))
        if first is not None:
            first.count += grant.count
            continue
        merged.append(grant)
        if grant.source.lane is None:
            plain[id(grant.source)] = grant
    return merged
