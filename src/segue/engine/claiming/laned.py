"""Claims steps with lanes and plain steps together: it keeps limits, and shares the worker's slots fairly.

While no lanes wait, only plain steps are claimed (`PlainClaim`); one small statement beside them checks for lanes, at
most fifty times a second. If lanes wait, the slots are shared (`Sharing`).
"""

from __future__ import annotations

from functools import cached_property

from segue.engine.act import Act
from segue.engine.claiming.candidates import Candidates
from segue.engine.claiming.claim import PlainClaim
from segue.engine.claiming.claimed import ClaimedRow, in_order
from segue.engine.claiming.cursor import ClaimCursor
from segue.engine.claiming.lane_memory import LaneMemory
from segue.engine.claiming.sharing import Sharing
from segue.engine.identity import WorkerIdentity


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
        self._sharing: Sharing | None = None
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
        sharing = Sharing(
            self._act, self._candidates, memory, freed=self._freed, monotonic=self._cursor.monotonic
        )  # fmt: skip
        self._sharing = sharing
        rows += sharing.take(self._want - len(rows))
        memory.hold(sharing.holding)
        self.look_again |= sharing.look_again
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
        sharing = self._sharing
        if self._freed <= 0 or self._want <= 0 or sharing is None:
            return self._freed > 0
        return sharing.is_short or len(sharing.holding) < self._freed

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
