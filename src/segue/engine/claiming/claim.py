"""Claiming: ready steps become this worker's, with everything that their tasks need.

The claim is sent right behind the outcomes, before anybody has looked at what came of them: on PostgreSQL both share
one round trip. What only the second look sets free (joins that were passed, steps that were skipped) is claimed in the
turn that follows at once.
"""

from __future__ import annotations

import time
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
    """The claims of steps without lanes in one turn: `send`, then, when the outcomes have been dealt with, `rows`."""

    def __init__(self, act: Act, worker: WorkerIdentity, cursor: ClaimCursor, *, want: int) -> None:
        self._act = act
        self._cursor = cursor
        self._worker = worker
        self._want = want
        self._sent: Later | None = None
        self._asked_at = 0.0
        self._was_full = True
        self.is_full = False  # there may be more than was wanted
        self.looked_everywhere = True
        self.was_long = False  # it took long to find too few
        self.look_again = False  # nothing was found, but not every place was looked at

    def send(self) -> None:
        """Ask for steps of the first queue (or of the one run), without waiting for the answer."""
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
        """The steps that were claimed, those of other queues too where the first had too few.

        Unless it `may_ask`, nothing further is sent: the transaction is over.
        """
        if self._sent is None:
            return []
        rows = claimed_rows(self._sent.rows())
        if not may_ask:
            self.was_long = len(rows) < self._want and time.monotonic() - self._asked_at >= LONG_SECONDS
        elif self._worker.run_id is None:
            self._see_how_long(self._worker.queues[0], in_vain=len(rows) < self._want)
            for queue in self._worker.queues[1:]:
                if len(rows) >= self._want:
                    break
                rows += claimed_rows(self._ask(queue, self._want - len(rows)).rows())
                self._see_how_long(queue, in_vain=len(rows) < self._want)
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
        self._asked_at = time.monotonic()
        rank, since = self._cursor.start(queue)
        self._was_full = rank == FIRST_RANK
        self.looked_everywhere &= self._was_full or self._cursor.is_resting(queue)
        return rank, since

    def _see_how_long(self, queue: str, *, in_vain: bool) -> None:
        """Let looks rest that pass over thousands of steps which this worker does not know."""
        took = time.monotonic() - self._asked_at
        if not in_vain or took < LONG_SECONDS:
            return
        if self._act.tx.all("count_ready", queue=queue, limit=MANY_READY)[0][0] >= MANY_READY:
            # Most have the default priority. Where it were others that took so long, only the lowest is left.
            rank = -DEFAULT_PRIORITY if self._was_full else 0
            self._cursor.rest(queue, min(10 * took, LONGEST_REST_SECONDS), (rank, self._act.now - MARGIN))
