"""Claiming: ready steps become this worker's, with everything that their tasks need.

The claim is sent right behind the outcomes, before anybody has looked at what came of them: on PostgreSQL both share
one round trip. What only the second look sets free (joins that were passed, steps that were skipped) is claimed in the
turn that follows at once.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any

from segue.engine.claiming.cursor import EVERY_QUEUE, FIRST_RANK, ClaimCursor
from segue.engine.identity import WorkerIdentity
from segue.engine.resolve import hook_value, is_true, load
from segue.engine.rows import decode_policy
from segue.errors import SerializationError
from segue.model import RUN, ErrorInfo, Job, Outcome, Verdict
from segue.plan.codec import decode_expr, decode_holes, evaluate, steps_in
from segue.store.protocol import Later, Store, Transaction

_NOTHING: dict[int, str] = {}


class Claim:
    """The claims of one turn: `send`, then, when the outcomes have been dealt with, `jobs`."""

    def __init__(
        self, store: Store, tx: Transaction, worker: WorkerIdentity, cursor: ClaimCursor, *, want: int, now: datetime
    ) -> None:
        self._store = store
        self._tx = tx
        self._cursor = cursor
        self._worker = worker
        self._want = want
        self._now = now
        self._sent: Later | None = None
        self._looked_everywhere = True
        self.is_full = False  # there may be more than was wanted
        self.look_again = False  # nothing was found, but not every place was looked at

    def send(self) -> None:
        """Ask for steps of the first queue (or of the one run), without waiting for the answer."""
        worker = self._worker
        if worker.run_id is not None:
            rank, since = self._start(EVERY_QUEUE)
            self._sent = self._tx.later(
                "claim_of_run", run_id=worker.run_id, tasks=worker.tasks, limit=self._want, worker_id=worker.id,
                now=self._now, rank=rank, since=since,
            )  # fmt: skip
        else:
            self._sent = self._ask(worker.queues[0], self._want)

    def rows(self) -> list[Any]:
        """The steps that were claimed, those of other queues too where the first had too few."""
        if self._sent is None:
            return []
        rows = self._sent.rows()
        if self._worker.run_id is None:
            for queue in self._worker.queues[1:]:
                if len(rows) >= self._want:
                    break
                rows = rows + self._ask(queue, self._want - len(rows)).rows()
        self.is_full = len(rows) >= self._want
        if len(rows) > 1:
            rows.sort(key=lambda row: (-row[10], row[11], row[1]))
        if rows:
            self._cursor.claimed(rows, self._store, queue=EVERY_QUEUE if self._worker.run_id else rows[-1][12])
        elif not self._looked_everywhere:
            self._cursor.reset()
            self.look_again = True
        return rows

    def _ask(self, queue: str, limit: int) -> Later:
        worker = self._worker
        rank, since = self._start(queue)
        return self._tx.later(
            "claim", queue=queue, tasks=worker.tasks, limit=limit, worker_id=worker.id, now=self._now,
            rank=rank, since=since,
        )  # fmt: skip

    def _start(self, queue: str) -> tuple[int, datetime]:
        rank, since = self._cursor.start(queue)
        self._looked_everywhere &= rank == FIRST_RANK
        return rank, since

    def jobs(self, rows: list[Any], known: dict[tuple[str, int], str]) -> tuple[list[Job], list[Outcome]]:
        """What the pool is to run, and the outcomes of steps that need not run because their `when=` is false.

        `known` are results that this very transaction recorded.
        """
        values = self._values(rows, known)
        jobs: list[Job] = []
        outcomes: list[Outcome] = []
        for run_id, step, attempt, name, task, args, holes, when_expr, policy, failures, _, _, _ in rows:
            mine = values.get((run_id, step), _NOTHING)
            if when_expr is not None:
                outcome = _unless_when(run_id, step, attempt, when_expr, mine)
                if outcome is not None:
                    outcomes.append(outcome)
                    continue
            jobs.append(
                Job(run_id, step, attempt, name, task, args, holes, mine, decode_policy(policy).timeout, failures)
            )
        return jobs, outcomes

    def _values(self, rows: list[Any], known: dict[tuple[str, int], str]) -> dict[tuple[str, int], dict[int, str]]:
        """For every claimed step that refers to others: their results."""
        wanted: dict[tuple[str, int], set[int]] = {}
        by_run: dict[str, set[int]] = {}
        for row in rows:
            if row[6] is None and row[7] is None:
                continue
            steps = {step for hole in decode_holes(row[6]) for step in steps_in(hole.what)}
            if row[7] is not None:
                steps |= set(steps_in(decode_expr(row[7])))
            wanted[row[0], row[1]] = steps
            by_run.setdefault(row[0], set()).update(steps)
        found = {run_id: self._load(run_id, steps, known) for run_id, steps in by_run.items()}
        values = {}
        for (run_id, step), steps in wanted.items():
            mine = {n: found[run_id][n] for n in steps if n != RUN}
            if RUN in steps:
                mine[RUN] = hook_value(self._tx, run_id, step)
            values[run_id, step] = mine
        return values

    def _load(self, run_id: str, steps: set[int], known: dict[tuple[str, int], str]) -> dict[int, str]:
        steps = steps - {RUN}
        here = {step: known[run_id, step] for step in steps if (run_id, step) in known}
        return here if len(here) == len(steps) else load(self._tx, run_id, steps, here)


def _unless_when(run_id: str, step: int, attempt: int, when_expr: str, known: dict[int, str]) -> Outcome | None:
    """How a step with a condition ends without running, or None when it is to run."""
    try:
        if is_true(evaluate(decode_expr(when_expr), known)):
            return None
    except SerializationError as error:
        info = ErrorInfo("SerializationError", f"when= cannot be told: {error}")
        return Outcome(run_id, step, attempt, Verdict.FAILED, error=info, retryable=False)
    return Outcome(run_id, step, attempt, Verdict.SKIPPED)
