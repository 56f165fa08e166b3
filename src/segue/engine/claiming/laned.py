"""Claims where steps with lanes wait: limits are kept, and lanes and plain steps share a worker's places.

A worker that has no such steps claims as ever (`PlainClaim`), and looks for lanes by one small statement beside it,
fifty times a second at most. When there are some it goes on like this, within its turn:

1. Look: the lanes of its queues, each with its first step; the plain steps that it could have; who holds places now.
2. Share its places out among them (`allocate`), as if that were still true.
3. Lock the limits and keys of those that got some, never waiting for any, count again, and share again.
4. Claim that many of each lane, and write down tokens and turns.

Invariant: places are counted under the lock of their limit and key, by a statement that begins when the lock is there,
and are claimed before it is given back, at the commit. So two claims never both take the last one.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Sequence
from datetime import timedelta
from functools import cached_property

from segue.engine.act import Act
from segue.engine.claiming.allocate import Allocation, Grant, Source, Tags, allocate
from segue.engine.claiming.candidates import Candidates, Snapshot
from segue.engine.claiming.charge import write_buckets, write_shares
from segue.engine.claiming.claim import PlainClaim
from segue.engine.claiming.claimed import ClaimedRow, claimed_rows, in_order
from segue.engine.claiming.cursor import ClaimCursor
from segue.engine.claiming.lane_memory import LOOK_SECONDS, LaneMemory
from segue.engine.identity import WorkerIdentity
from segue.engine.ids import chance
from segue.engine.limiting.limit_rows import lock_limit_keys, locked_limit_keys
from segue.engine.limiting.places import LimitKey

ROUNDS = 4
"""How often one turn shares out: again when lanes had fewer steps than they were given places."""

CONTENDED_SECONDS = 0.002
_FOR_EVER_SECONDS = 1e6


class Claim:
    """The claims of one turn; `freed` is how many of its outcomes gave places back.

    With `knows_no_plain` a claim has just found that no steps without lanes are ready.
    """

    def __init__(
        self, act: Act, worker: WorkerIdentity, cursor: ClaimCursor, memory: LaneMemory, *,
        want: int, freed: int, knows_no_plain: bool = False,
    ) -> None:  # fmt: skip
        self._act = act
        self._worker = worker
        self._cursor = cursor
        self._memory = memory
        self._want = want
        self._plain = PlainClaim(act, worker, cursor, want=want)
        self._freed = freed
        self._knows_no_plain = knows_no_plain
        self._is_sharing = False
        self._has_looked = False
        self._with_places = 0  # steps claimed that hold places
        self._is_short = False
        self._is_contended = False
        self._wait_seconds: float | None = None
        self.is_full = False  # there may be more than was wanted
        self.look_again = False  # nothing was found, but not every place was looked at

    def send(self) -> None:
        """Ask for plain steps without waiting for the answer, unless they must share with lanes."""
        memory, now = self._memory, self._act.now
        if not memory.knows_binding(now):
            self._read_binding()
        self._is_sharing = bool(memory.binding) or self._freed > 0 or (memory.is_active and memory.is_due(now))
        if self._is_sharing:
            return
        if not self._knows_no_plain:
            self._plain.send()
        if memory.is_due(now) or (self._knows_no_plain and now >= memory.rest_until):
            self._look()

    @property
    def plain(self) -> PlainClaim | None:
        """The claim of steps without lanes, if nothing else claims and no other queue may follow."""
        is_all = not (self._is_sharing or self._knows_no_plain)
        return self._plain if is_all and (len(self._worker.queues) == 1 or self._worker.run_id is not None) else None

    @property
    def look(self) -> Candidates | None:
        """The look at the lanes, if one was sent."""
        return self._candidates if self._has_looked else None

    def rows(self) -> list[ClaimedRow]:
        """The steps that were claimed."""
        if self._want <= 0:
            return []
        memory = self._memory
        if self._is_sharing:
            rows: list[ClaimedRow] = []
        else:
            rows = self._plain.rows()
            self.is_full, self.look_again = self._plain.is_full, self._plain.look_again
            if not self._has_looked and not rows and self._act.now >= memory.rest_until:
                self._look()
            if not self._has_looked:
                return rows
            if not self._candidates.sees_lanes():
                memory.looked(self._act.now, is_active=False)
                return rows
            self._candidates.knows_no_plain = len(rows) < self._want
        rows += self._share(self._want - len(rows))
        self.is_full = len(rows) >= self._want
        looked_everywhere = self._plain.looked_everywhere and self._candidates.looked_everywhere
        if not rows and not looked_everywhere:
            self._cursor.reset()
            self.look_again = True
        in_order(rows)
        return rows

    @cached_property
    def _candidates(self) -> Candidates:
        """The looks of this turn: most turns take none."""
        return Candidates(self._act, self._worker, self._cursor, self._memory, want=self._want)

    def _look(self) -> None:
        self._has_looked = True
        self._candidates.send_lanes()

    @property
    def leaves_places(self) -> bool:
        """True when places came free that this worker does not fill: others should hear of it."""
        return self._freed > 0 and (self._want <= 0 or self._is_short or self._with_places < self._freed)

    @property
    def look_seconds(self) -> float | None:
        """How soon to look again though nothing else calls for a turn; None: no need to."""
        at = self._memory.wake_at
        return None if at is None else max((at - self._act.now).total_seconds(), 0.0)

    def _read_binding(self) -> None:
        """Ask now and then which limits bind steps that do not name them."""
        names = self._memory.bindable
        rows = self._act.tx.all("binding_limits", names=names, every_queue=self._worker.run_id is not None)
        self._memory.bound(frozenset(row[0] for row in rows), self._act.now)

    # Sharing ------------------------------------------------------------------------------------------------------

    def _share(self, want: int) -> list[ClaimedRow]:
        begun = time.monotonic()
        rows: list[ClaimedRow] = []
        is_done = False
        for _ in range(ROUNDS):
            if is_done or len(rows) >= want:
                break
            found, is_done = self._round(want - len(rows))
            rows += found
        self.look_again |= not is_done and len(rows) < want
        self._remember(is_done, has_claimed=bool(rows), seconds=time.monotonic() - begun)
        return rows

    def _round(self, want: int) -> tuple[list[ClaimedRow], bool]:
        """Share out once. Returns what was claimed, and whether nothing more can be had now."""
        while True:
            # Whoever gives places back will most likely take them again: that saves a look before the lock.
            seen = self._candidates.read(want, lock=self._freed > 0)
            sources = seen.sources if seen.locked is None else self._under_lock(seen, seen.locked)
            chosen = self._allocate(seen, want, sources)
            if chosen.grants or not self._candidates.goes_on():
                break
        if seen.locked is not None:
            self._is_contended |= sum(map(len, sources)) < sum(map(len, seen.sources))
        elif chosen.grants:
            seen, chosen = self._lock(seen, chosen, want)
        self._is_short = chosen.is_short
        self._wait_seconds = chosen.wait_seconds
        if not chosen.grants:
            return [], True
        self._memory.plain_next = chosen.plain_next
        rows, is_as_granted = self._claim(seen, chosen.grants)
        return rows, is_as_granted and not chosen.is_short

    def _lock(self, seen: Snapshot, chosen: Allocation, want: int) -> tuple[Snapshot, Allocation]:
        """Lock the limits and keys of what was chosen, and choose again by what is true then."""
        limit_keys = {limit_key for grant in chosen.grants for limit_key in self._limit_keys(seen, grant.source)}
        if not limit_keys:
            return seen, chosen
        locking = lock_limit_keys(self._act.tx, limit_keys)
        seen = self._candidates.reread(seen)
        locked = locked_limit_keys(locking)
        self._is_contended |= locked != limit_keys
        return seen, self._allocate(seen, want, self._under_lock(seen, locked))

    def _under_lock(self, seen: Snapshot, locked: set[LimitKey]) -> list[list[Source]]:
        """The sources all of whose limits and keys are locked."""
        return [[each for each in group if locked.issuperset(self._limit_keys(seen, each))] for group in seen.sources]

    def _allocate(self, seen: Snapshot, want: int, sources: Sequence[Sequence[Source]]) -> Allocation:
        tags = Tags(dict(seen.served), self._memory.floors)
        return allocate(sources, want, seen.places(self._act.now), tags, plain_next=self._memory.plain_next)

    def _limit_keys(self, seen: Snapshot, source: Source) -> set[LimitKey]:
        return {(use.limit, use.key) for use in source.uses if use.limit in seen.terms}

    def _claim(self, seen: Snapshot, grants: Sequence[Grant]) -> tuple[list[ClaimedRow], bool]:
        """Claim what was granted; also says whether every source had that many."""
        sent = [(grant, self._candidates.claim(grant)) for grant in _merged(grants)]
        rows: list[ClaimedRow] = []
        counts: list[tuple[Source, int]] = []
        is_as_granted = True
        for grant, later in sent:
            found = claimed_rows(later.rows())
            source = grant.source
            is_as_granted &= len(found) >= grant.count
            if not found:
                continue
            rows += found
            counts.append((source, len(found)))
            self._candidates.note_claimed(source, found)
            if self._limit_keys(seen, source):
                self._with_places += len(found)
                self._memory.hold((row.run_id, row.step, row.attempt) for row in found)
        write_buckets(self._act, seen.places(self._act.now), counts)
        if seen.is_keyed:
            write_shares(self._act, self._memory, counts)
        return rows, is_as_granted

    def _remember(self, is_done: bool, *, has_claimed: bool, seconds: float) -> None:
        """When to look again."""
        memory, now = self._memory, self._act.now
        memory.looked(now, is_active=self._candidates.has_lanes)
        if not is_done or self._is_short:
            memory.look_at = now
        waits = [] if self._wait_seconds is None else [self._wait_seconds]
        if self._is_contended:
            waits.append(CONTENDED_SECONDS * (1 + chance()))
        if not has_claimed and self._candidates.is_long:
            memory.look_at = memory.rest_until = now + timedelta(seconds=10 * seconds)
        if not has_claimed and not self._candidates.is_whole:
            waits.append(max(LOOK_SECONDS, 10 * seconds))
        if waits and min(waits) < _FOR_EVER_SECONDS:
            memory.wake_at = now + timedelta(seconds=min(waits))


def _merged(grants: Iterable[Grant]) -> list[Grant]:
    """Plain steps are claimed in their order of priority anyway: one claim for each source."""
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
