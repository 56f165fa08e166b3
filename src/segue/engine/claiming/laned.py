"""Claims steps with lanes and plain steps together: it keeps limits, and shares the worker's slots fairly.

While no lanes wait, only plain steps are claimed (`PlainClaim`); one small statement beside them checks for lanes, at
most fifty times a second. If lanes wait, the turn does this:

1. Look: read the lanes of its queues, each with its first step, the claimable plain steps, and the state of limits.
2. Allocate the free slots among them, assuming that nothing changes (`allocate`).
3. Lock the limits and keys that were allocated, without waiting for locks, count again, and allocate again.
4. Claim the granted number of steps from each lane, and write tokens and fair shares.

Invariant: places are counted under the lock of their limit and key, by a statement that begins after the lock was
taken, and they are claimed before the commit releases it. So two claims never take the same place.
"""

from __future__ import annotations

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
"""How often one turn allocates at most: it does so again if lanes had fewer steps than were granted."""

CONTENDED_SECONDS = 0.002
_NEVER_SECONDS = 1e6  # longer than this: the rate is zero


class Claim:
    """Claims steps in one turn. `freed` is the number of its outcomes that gave places back.

    `knows_no_plain` says that a claim has just found no plain steps.
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
        self._with_places = 0  # claimed steps that hold places
        self._is_short = False
        self._is_contended = False
        self._wait_seconds: float | None = None
        self.is_full = False  # there may be more ready steps than were wanted
        self.look_again = False  # nothing was found, but part of the index was not scanned

    def send(self) -> None:
        """Send the claim of plain steps without waiting for its result, unless they must share with lanes."""
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
        """The claim of plain steps, if it is the only claim of this turn."""
        is_all = not (self._is_sharing or self._knows_no_plain)
        return self._plain if is_all and (len(self._worker.queues) == 1 or self._worker.run_id is not None) else None

    @property
    def look(self) -> Candidates | None:
        """The look at the lanes, if one was sent."""
        return self._candidates if self._has_looked else None

    def rows(self) -> list[ClaimedRow]:
        """The claimed steps."""
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
            if not self._candidates.finds_lanes():
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
        """Made when it is needed: most turns do not look at lanes."""
        return Candidates(self._act, self._worker, self._cursor, self._memory, want=self._want)

    def _look(self) -> None:
        self._has_looked = True
        self._candidates.send_lanes()

    @property
    def leaves_places(self) -> bool:
        """True if the outcomes gave back more places than this worker fills, so that other workers must be woken."""
        return self._freed > 0 and (self._want <= 0 or self._is_short or self._with_places < self._freed)

    @property
    def look_seconds(self) -> float | None:
        """When to take the next turn because of limits, in seconds from now; None: no turn is needed."""
        at = self._memory.wake_at
        return None if at is None else max((at - self._act.now).total_seconds(), 0.0)

    def _read_binding(self) -> None:
        """Read which limits bind plain steps."""
        names = self._memory.bindable
        rows = self._act.tx.all("binding_limits", names=names, every_queue=self._worker.run_id is not None)
        self._memory.bound(frozenset(row[0] for row in rows), self._act.now)

    # Sharing ------------------------------------------------------------------------------------------------------

    def _share(self, want: int) -> list[ClaimedRow]:
        begun = self._cursor.monotonic()
        rows: list[ClaimedRow] = []
        is_done = False
        for _ in range(ROUNDS):
            if is_done or len(rows) >= want:
                break
            found, is_done = self._round(want - len(rows))
            rows += found
        self.look_again |= not is_done and len(rows) < want
        self._remember(is_done, has_claimed=bool(rows), seconds=self._cursor.monotonic() - begun)
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
        """Lock the limits and keys of the granted sources, read again, and allocate again."""
        limit_keys = {limit_key for grant in chosen.grants for limit_key in self._limit_keys(seen, grant.source)}
        if not limit_keys:
            return seen, chosen
        locking = lock_limit_keys(self._act.tx, limit_keys)
        seen = self._candidates.reread(seen)
        locked = locked_limit_keys(locking)
        self._is_contended |= locked != limit_keys
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
        """Set the time of the next look."""
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
