"""The turn: everything that a worker tells the database and hears from it, in one transaction.

Outcomes are recorded, children released, runs ended, ready steps claimed, their references resolved; then one commit. A
crash before the commit leaves everything as it was: the worker's steps are still running under its lease, and are
rescued.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from datetime import datetime, timedelta

import msgspec

from segue.engine.claim import Claim
from segue.engine.cursor import ClaimCursor
from segue.engine.identity import WorkerIdentity
from segue.engine.recent import RecentIds
from segue.engine.record import Recording
from segue.model import Job, Outcome, Progress
from segue.store.protocol import Store, Transaction

TIMERS_AT_ONCE = 1000


class TurnRequest(msgspec.Struct):
    """What the worker brings to a turn."""

    outcomes: Sequence[Outcome] = ()
    progress: Sequence[Progress] = ()
    want: int = 0  # how many steps it could take
    heartbeat: str | None = None  # its status, when the lease is to be renewed now
    sleeping: bool = False  # said with the heartbeat: notify me
    timers: bool = False  # look for timers that have come due, and when the next one will
    cancels: bool = False  # ask which of its steps are to end


class TurnResult(msgspec.Struct):
    """What the worker takes from it."""

    jobs: list[Job] = []
    outcomes: list[Outcome] = []  # of claimed steps that need not run: for the next turn
    refused: int = 0  # outcomes that came too late
    ended: list[str] = []  # runs that became final
    cancels: list[tuple[str, int, int]] = []  # (run, step, attempt) to be ended
    timer_seconds: float | None = None  # until the next timer comes due, when asked and there is one
    lease_lost: bool = False  # declared lost: nothing was done, and what it runs is no longer its own
    again: bool = False  # there may be more to claim right now


class TurnMemory:
    """What a worker remembers from turn to turn. It only saves work; nothing depends on it."""

    def __init__(self) -> None:
        self.begun = RecentIds()  # runs that are known to have begun
        self.cursor = ClaimCursor(time.monotonic)


class Turn:
    """One turn of one worker."""

    def __init__(self, store: Store, worker: WorkerIdentity, request: TurnRequest, memory: TurnMemory) -> None:
        self._store = store
        self._worker = worker
        self._request = request
        self._memory = memory
        self._result = TurnResult()

    def take(self) -> TurnResult:
        """Take it. Raises StoreError when the database cannot do it; then nothing has happened, as far as is known."""
        self._store.now()  # beforehand, because where it asks the database it is a transaction of its own
        request, result = self._request, self._result
        with self._store.transaction() as tx:
            now = self._store.now()  # and again: the transaction may have been waited for, longer than a lease lasts
            if request.heartbeat is not None and not self._renew(tx, now, request.heartbeat):
                result.lease_lost = True
                return result
            self._attend(tx, now)
            recording = Recording(self._store, tx, self._worker.name, request.outcomes, now)
            if request.outcomes:
                recording.send()
            if not recording.is_plain:
                recording.settle()
            # Invariant: a turn that holds steps (come due, claimed) waits for nothing any more, so two never wait for
            # each other. What plain successes set off touches no step that is ready.
            if request.timers:
                self._tend_timers(tx, now)
            claim = Claim(self._store, tx, self._worker, self._memory.cursor, want=request.want, now=now)
            if request.want > 0:
                claim.send()
            if recording.is_plain:
                recording.settle()
            rows = claim.rows()
            if rows:
                self._begin({row[0] for row in rows}, recording.locked, tx, now)
                result.jobs, result.outcomes = claim.jobs(rows, recording.results)
            result.refused, result.ended = recording.refused, recording.ended
            result.again = (
                claim.is_full
                or claim.look_again
                or (recording.is_plain and recording.started_late > 0 and request.want > 0)
            )
            if recording.started > len(rows):
                tx.later("wake")  # more than this worker takes now: others should hear of it
        return result

    def _renew(self, tx: Transaction, now: datetime, status: str) -> bool:
        return bool(
            tx.all(
                "heartbeat", worker_id=self._worker.id, now=now, status=status, sleeping=self._request.sleeping,
                lease_until=now + timedelta(seconds=self._worker.lease_seconds),
            )
        )  # fmt: skip

    def _attend(self, tx: Transaction, now: datetime) -> None:
        """Progress, and what is to be cancelled: seldom, so each may cost a statement."""
        for progress in self._request.progress:
            tx.later(
                "put_progress", run_id=progress.run_id, step=progress.step, attempt=progress.attempt,
                done=progress.done, total=progress.total, message=progress.message, now=now,
            )  # fmt: skip
        if self._request.cancels:
            found = tx.all("cancel_requests", worker_id=self._worker.id)
            self._result.cancels = [(row[0], row[1], row[2]) for row in found]

    def _tend_timers(self, tx: Transaction, now: datetime) -> None:
        tx.later("due_timers", now=now, limit=TIMERS_AT_ONCE)
        upcoming = self._store.datetime(tx.all("next_timer")[0][0])
        if upcoming is not None:
            self._result.timer_seconds = max((upcoming - now).total_seconds(), 0.0)

    def _begin(self, claimed: set[str], locked: set[str], tx: Transaction, now: datetime) -> None:
        """Mark runs whose first step was claimed as running.

        The statement leaves out a run that another turn holds, so only of runs that this turn holds is it certain;
        until then it is said again with every claim.
        """
        new = sorted(run_id for run_id in claimed if run_id not in self._memory.begun)
        if new:
            tx.later("runs_begin", ids=new, now=now)
            self._memory.begun.add_all(run_id for run_id in new if run_id in locked)
