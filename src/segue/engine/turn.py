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

from segue.engine.admission import admit_after
from segue.engine.claiming.cursor import ClaimCursor
from segue.engine.claiming.lane_memory import LaneMemory
from segue.engine.claiming.laned import LanedClaim
from segue.engine.claiming.places import Spot
from segue.engine.happenings import begin_runs, note_starts
from segue.engine.identity import WorkerIdentity
from segue.engine.recent import RecentIds
from segue.engine.record import Recording
from segue.engine.watch import Watch
from segue.model import Job, Outcome, Progress
from segue.store.protocol import Store, Transaction

TIMERS_AT_ONCE = 1000
_MOST_WORKERS = 100  # that one process remembers


class TurnRequest(msgspec.Struct):
    """What the worker brings to a turn."""

    outcomes: Sequence[Outcome] = ()
    recorded: Sequence[Outcome] = ()  # of attempts that wrote down themselves what came of them
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
    missed: set[Spot] = set()  # limits of runs that ended, which somebody else had in hand: to be asked again
    look_seconds: float | None = None  # until limits may let something start, though nobody says so


class TurnMemory:
    """What a worker remembers from turn to turn. It only saves work; nothing depends on it."""

    def __init__(self) -> None:
        self.begun = RecentIds()  # runs that are known to have begun
        self.cursor = ClaimCursor(time.monotonic)
        self._lanes: dict[tuple[str, str | None], LaneMemory] = {}

    def lanes_of(self, worker: WorkerIdentity) -> LaneMemory:
        """What this worker remembers of lanes."""
        who = (worker.id, worker.run_id)
        found = self._lanes.get(who)
        if found is None:
            if len(self._lanes) >= _MOST_WORKERS:
                self._lanes.clear()
            found = self._lanes[who] = LaneMemory(worker)
        return found


class Turn:
    """One turn of one worker."""

    def __init__(
        self, store: Store, worker: WorkerIdentity, request: TurnRequest, memory: TurnMemory, watch: Watch
    ) -> None:
        self._store = store
        self._worker = worker
        self._request = request
        self._memory = memory
        self._watch = watch
        self._result = TurnResult()
        self._admitted = False

    def take(self) -> TurnResult:
        """Take it. Raises StoreError when the database cannot do it; then nothing has happened, as far as is known."""
        self._store.now()  # beforehand, because where it asks the database it is a transaction of its own
        request, result = self._request, self._result
        with self._store.transaction() as tx:
            now = self._store.now()  # and again: the transaction may have been waited for, longer than a lease lasts
            journal = self._watch.open(tx, now)
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
            claim = self._claim(tx, now)
            if request.want > 0:
                claim.send()
            if recording.is_plain:
                recording.settle()
            if recording.ended:
                self._admit(tx, recording, now)
            rows = claim.rows()
            if rows:
                self._begin({row[0] for row in rows}, recording.locked, tx, now)
                result.jobs, result.outcomes = claim.jobs(rows, recording.results)
                if journal is not None:
                    note_starts(journal, [(job.run_id, job.step, job.attempt) for job in result.jobs])
            result.refused, result.ended = recording.refused, recording.ended
            result.again = (
                claim.is_full
                or claim.look_again
                or ((self._admitted or (recording.is_plain and recording.started_late > 0)) and request.want > 0)
            )
            result.look_seconds = claim.look_seconds
            if recording.started > len(rows) or claim.leaves_places:
                tx.later("wake")  # more than this worker takes now: others should hear of it
            if journal is not None and self._watch.notify(tx, journal):
                result.again = True
        if journal is not None:
            self._watch.publish(journal)
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

    def _admit(self, tx: Transaction, recording: Recording, now: datetime) -> None:
        """Runs ended whose places others wait for. This waits for nothing, so it may follow a claim."""
        ended = recording.ended_limited
        if ended:
            admitted = admit_after(self._store, tx, now, ended)
            self._result.missed = admitted.missed
            self._admitted = admitted.runs > 0

    def _claim(self, tx: Transaction, now: datetime) -> LanedClaim:
        lanes = self._memory.lanes_of(self._worker)
        freed = lanes.give_back(self._request.outcomes) + lanes.give_back(self._request.recorded)
        return LanedClaim(
            self._store, tx, self._worker, self._memory.cursor, lanes, want=self._request.want, freed=freed, now=now
        )  # fmt: skip

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
            begin_runs(tx, new, now)
            self._memory.begun.add_all(run_id for run_id in new if run_id in locked)
