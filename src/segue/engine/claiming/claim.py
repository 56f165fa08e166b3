"""Claims plain steps: steps without limits, rates or fair shares.

The claim is sent directly after the outcomes, before their results have been read: on PostgreSQL both share one round
trip. Steps that are released only after those results have been read (behind joins and skipped steps) are claimed by
the next turn, which follows immediately.
"""

from __future__ import annotations

from datetime import datetime

from segue.engine.act import Act
from segue.engine.claiming.claimed import ClaimedRow, claimed_rows, in_order
from segue.engine.claiming.cursor import EVERY_QUEUE, FIRST_RANK, MARGIN, ClaimCursor
from segue.engine.identity import WorkerIdentity
from segue.model import DEFAULT_PRIORITY
from segue.store.protocol import Later

LONG_SECONDS = 0.02
MANY_READY = 10_000
LONGEST_REST_SECONDS = 2.0


class PlainClaim:
    """Claims plain steps in one turn: first `send`, then `rows`, after the outcomes have been recorded."""

    def __init__(self, act: Act, worker: WorkerIdentity, cursor: ClaimCursor, *, want: int) -> None:
        self._act = act
        self._cursor = cursor
        self._worker = worker
        self._want = want
        self._sent: Later | None = None
        self._asked_at = 0.0
        self._was_full = True
        self.is_full = False  # there may be more ready steps than were wanted
        self.looked_everywhere = True
        self.was_long = False  # the scan took long and found too few
        self.look_again = False  # nothing was found, but part of the index was not scanned

    def send(self) -> None:
        """Send the claim for the first queue (or for the one run) without waiting for its result."""
        worker = self._worker
        if worker.run_id is not None:
            rank, since = self._start(EVERY_QUEUE)
            self._sent = self._act.tx.later(
                "claim_of_run", run_id=worker.run_id, tasks=worker.tasks, limit=self._want, worker_id=worker.id,
                now=self._act.now, rank=rank, since=since,
            )  # fmt: skip
        else:
            self._sent = self._ask(worker.queues[0], self._want)

    def rows(self, *, may_ask: bool = True) -> list[ClaimedRow]:
        """The claimed steps. If the first queue had too few, the other queues are asked as well.

        Without `may_ask` nothing more is sent, because the transaction has ended.
        """
        if self._sent is None:
            return []
        rows = claimed_rows(self._sent.rows())
        if not may_ask:
            self.was_long = len(rows) < self._want and self._cursor.monotonic() - self._asked_at >= LONG_SECONDS
        elif self._worker.run_id is None:
            self._rest_if_long(self._worker.queues[0], found_enough=len(rows) >= self._want)
            for queue in self._worker.queues[1:]:
                if len(rows) >= self._want:
                    break
                rows += claimed_rows(self._ask(queue, self._want - len(rows)).rows())
                self._rest_if_long(queue, found_enough=len(rows) >= self._want)
        self.is_full = len(rows) >= self._want
        if len(rows) > 1:
            in_order(rows)
        if rows:
            self._cursor.claimed(rows, self._act.tx, queue=EVERY_QUEUE if self._worker.run_id else rows[-1].queue)
        elif not self.looked_everywhere:
            self._cursor.reset()
            self.look_again = True
        return rows

    def _ask(self, queue: str, limit: int) -> Later:
        worker = self._worker
        rank, since = self._start(queue)
        return self._act.tx.later(
            "claim", queue=queue, tasks=worker.tasks, limit=limit, worker_id=worker.id, now=self._act.now,
            rank=rank, since=since,
        )  # fmt: skip

    def _start(self, queue: str) -> tuple[int, datetime]:
        self._asked_at = self._cursor.monotonic()
        rank, since = self._cursor.start(queue)
        self._was_full = rank == FIRST_RANK
        self.looked_everywhere &= self._was_full or self._cursor.is_resting(queue)
        return rank, since

    def _rest_if_long(self, queue: str, *, found_enough: bool) -> None:
        """Pause full scans of a queue where they skip thousands of steps whose task this worker does not know."""
        took = self._cursor.monotonic() - self._asked_at
        if found_enough or took < LONG_SECONDS:
            return
        if self._act.tx.all("count_ready", queue=queue, limit=MANY_READY)[0][0] >= MANY_READY:
            # Most steps have the default priority. If those were skipped already, only the lowest ones are left.
            rank = -DEFAULT_PRIORITY if self._was_full else 0
            self._cursor.rest(queue, min(10 * took, LONGEST_REST_SECONDS), (rank, self._act.now - MARGIN))
