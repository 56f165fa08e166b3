"""The turn: everything that a worker reports to the database and receives from it, in one transaction.

Outcomes are recorded, children released, runs ended, ready steps claimed, their references resolved; then one commit. A
crash before the commit leaves everything as it was: the worker's steps are still running under its lease, and are
rescued when it expires.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any

from segue.engine.act import Act
from segue.engine.at_hand import PayloadsNeeded
from segue.engine.claiming.assembling import Assembly
from segue.engine.claiming.candidates import Candidates
from segue.engine.claiming.claimed import ClaimedRow
from segue.engine.claiming.laned import Claim
from segue.engine.expand import read_large_plans
from segue.engine.identity import WorkerIdentity
from segue.engine.locking import held_runs
from segue.engine.notes import begin_runs, note_starts
from segue.engine.plain import Exchanged, are_plain, exchange, heard
from segue.engine.progress import put_progress
from segue.engine.record import Recorded
from segue.engine.reporting import Reported, report
from segue.engine.statistics import put_statistics
from segue.engine.stored import moment_of, storable
from segue.engine.turn_memory import TurnMemory
from segue.engine.turn_request import TurnRequest, TurnResult, together
from segue.engine.watch import Watch
from segue.engine.watching import put_printed
from segue.errors import PASSING_ERRORS
from segue.model import ErrorInfo, Job, Outcome, Verdict
from segue.observing.metrics.meter import metering
from segue.observing.tracing.switch import tracing
from segue.store.protocol import Later, Store, Transaction

TIMERS_AT_ONCE = 1000
UNKNOWN_TIMER_SECONDS = 1.0


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
        self._lanes = memory.lanes_of(worker)
        self._was_long = memory.was_long  # the last claim: this one is to see what it passes over
        self._freed = 0  # how many of the outcomes gave places of limits back
        self._knows_no_plain = False  # a claim has just found that no steps without lanes are ready
        self._result = TurnResult()
        self._apart: list[ClaimedRow] = []
        self._upcoming: Later | None = None
        self._candidates: Candidates | None = None  # a look at lanes, in a plain exchange

    def take(self) -> TurnResult:
        """Take it. Raises StoreError when the database cannot do it; then nothing has happened, as far as is known."""
        request, memory = self._request, self._memory
        self._freed = self._lanes.give_back(request.outcomes) + self._lanes.give_back(request.recorded)
        if self._may_be_plain():
            unsaid = dict(memory.unsaid)
            read_at = time.monotonic()
            exchanged = exchange(
                self._store, self._watch, self._worker, memory.cursor, request.outcomes, request.want, self._look,
                only_child=memory.take_only_child(request.outcomes),
            )  # fmt: skip
            self._result.age_seconds = time.monotonic() - read_at
            memory.was_said(unsaid)
            return self._accept(self._have_looked(exchanged))
        return self._take_whole()

    # In one exchange ----------------------------------------------------------------------------------------------

    def _may_be_plain(self) -> bool:
        """Whether a plain exchange may do it all, judging without the database."""
        request, worker = self._request, self._worker
        return (
            self._store.sends_commit_along
            and request.heartbeat is None
            and not (request.cancels or request.progress or request.printed or request.alone or request.apart)
            and (len(worker.queues) == 1 or worker.run_id is not None)
            and not (self._freed or self._was_long)
            and self._watch.is_quiet
            and self._lanes.may_claim_plainly(self._store.now())
            and are_plain(request.outcomes)
        )

    def _look(self, act: Act) -> None:
        """Look at timers and lanes now and then, and say what the last turn left unsaid, behind the outcomes."""
        if self._request.timers:
            self._tend_timers(act)
        self._say_begun(act)
        if self._request.want > 0 and self._lanes.is_due(act.now):
            self._candidates = Candidates(act, self._worker, self._memory.cursor, self._lanes, want=self._request.want)
            self._candidates.send_lanes()

    def _have_looked(self, exchanged: Exchanged) -> Exchanged:
        """What was seen meanwhile: if there are lanes, places that are left are shared among them."""
        self._note_next_timer(exchanged.act)
        if self._candidates is None:
            return exchanged
        if self._candidates.finds_any_lanes():
            self._lanes.saw_lanes()
            return exchanged._replace(looks_further=len(exchanged.rows) < self._request.want)
        self._lanes.looked(exchanged.act.now, is_active=False)
        return exchanged._replace(looks_further=False)

    def _accept(self, exchanged: Exchanged) -> TurnResult:
        """Take what was claimed and committed together, say what may be said afterwards, and look after the rest."""
        result, request = self._result, self._request
        self._memory.begun.add_all(exchanged.begun)
        self._memory.was_long = exchanged.was_long
        result.ended = list(exchanged.ended)
        result.again |= exchanged.is_full or exchanged.look_again
        self._make_jobs(exchanged)
        if not (exchanged.left or exchanged.looks_further):
            return result
        want = request.want - len(exchanged.rows)
        rest = Turn(
            self._store,
            self._worker,
            TurnRequest(outcomes=exchanged.left, want=want, comes_back=request.comes_back),
            self._memory,
            self._watch,
        )
        rest._knows_no_plain = not exchanged.left
        try:
            return together(result, rest._take_whole())
        except Exception as error:
            if not exchanged.rows and len(exchanged.left) == len(request.outcomes):
                raise
            if isinstance(error, PayloadsNeeded):
                result.needed = error
            result.outcomes += exchanged.left  # it did bring something: the next turn hears why the rest cannot be done
            result.again = True
            return result

    def _make_jobs(self, exchanged: Exchanged) -> None:
        """Make jobs of claimed rows, and say in the same transaction that runs begin and that there is more to do.

        That a run begins may wait for the next turn, if this is soon: when the run has ended by then, it is never said.
        """
        result, rows = self._result, exchanged.rows
        self._count(rows, exchanged.act.now)
        new = sorted({row.run_id for row in rows if row.run_id not in self._memory.begun})
        is_more = exchanged.started > len(rows)
        if new and self._request.comes_back:
            self._memory.unsaid.update(dict.fromkeys(new, self._store.now()))
            new, result.unsaid = [], True
        self._memory.remember_children(rows)
        assembly = Assembly(rows, exchanged.results, waited=self._stopwatch())
        made: tuple[list[Job], list[Outcome]] | None = None
        try:
            if not (new or is_more or assembly.needs_database):
                made = assembly.jobs(None)
            else:
                with self._store.transaction() as tx:
                    act = self._watch.begin(tx, self._store.now())
                    if new:
                        begin_runs(act, new)
                    if is_more:
                        tx.later("wake")
                    if is_more and not exchanged.is_full and self._request.want > 0:
                        self._upcoming = tx.later("next_timer")  # what it started may have to wait: a retry, a delay
                    made = assembly.jobs(tx)
                    self._note_next_timer(act)
        except Exception:  # noqa: BLE001 - these steps are claimed, whatever it was: each is looked at for itself
            if made is None:
                self._make_jobs_apart(rows)
        if made is not None:
            result.jobs, result.outcomes = made

    # With looks in between ----------------------------------------------------------------------------------------

    def _take_whole(self) -> TurnResult:
        if not self._knows_no_plain:
            self._memory.was_long = False
        before = self._store.now()  # because where it asks the database it is a transaction of its own
        request, result, memory = self._request, self._result, self._memory
        plans = read_large_plans(self._store, request.outcomes, before)
        with self._store.transaction() as tx:
            now = self._store.now()  # and again: the wait for the transaction may have been longer than a lease
            read_at = time.monotonic()
            act = self._watch.begin(tx, now)
            result.unfinished = act.unfinished
            if request.heartbeat is not None and not self._renew(act, request.heartbeat):
                result.lease_lost = True
                return result
            tally, is_told = memory.tally, request.heartbeat is not None and memory.tally.is_due(now)
            if is_told:
                put_statistics(tx, tally)
            self._progress_and_cancels(act)
            outcomes = request.outcomes
            if request.alone:
                tx.later("wait_shortly")
                outcomes = self._of_free_runs(tx)
            claim = self._claim(act)
            unsaid = dict(self._memory.unsaid)

            def look() -> None:
                if request.timers:
                    self._tend_timers(act)
                self._say_begun(act)
                if request.want > 0:
                    claim.send()

            reported = report(
                act, outcomes, by=self._worker.name, plans=plans, meanwhile=look, admits=not request.alone, wakes=False
            )
            result.ended = list(act.ended_runs)
            result.missed = reported.admitted.missed
            result.refused = reported.recorded.refused
            result.again = request.want > 0 and (reported.admitted.runs > 0 or reported.has_started_late)
            plain = claim.plain if self._may_close_at_once(act, reported) else None
            if plain is None:
                self._take_claimed(act, claim, reported.recorded)
        result.age_seconds = time.monotonic() - read_at
        self._memory.was_said(unsaid)
        if is_told:
            tally.was_written(now)
        self._watch.publish(act)
        if plain is not None:
            self._candidates = claim.look
            exchanged = heard(act, plain, request.want, reported.recorded, ended=result.ended)
            return self._accept(self._have_looked(exchanged))
        if self._apart:
            self._make_jobs_apart(self._apart)
        return result

    def _may_close_at_once(self, act: Act, reported: Reported) -> bool:
        """Whether the claim is all that is still to be heard of, so that the commit may be sent along with it."""
        return (
            self._store.sends_commit_along
            and not self._was_long
            and reported.is_settled
            and act.journal is None
            and not (self._request.apart or self._request.alone)
            and self._request.want > 0
        )

    def _take_claimed(self, act: Act, claim: Claim, recorded: Recorded) -> None:
        """What was claimed, and what others should hear of."""
        request, result = self._request, self._result
        rows = claim.rows()
        if request.want > 0 and not claim.is_full and recorded.started > len(rows):
            self._upcoming = act.tx.later("next_timer")  # its own steps may have to wait: a retry, a delay, a sleep
        self._note_next_timer(act)
        self._count(rows, act.now)
        if rows:
            self._begin(act, {row.run_id for row in rows}, recorded.locked)
            if request.apart:
                self._apart = rows
            else:
                result.jobs, result.outcomes = Assembly(rows, recorded.results, waited=self._stopwatch()).jobs(act.tx)
            if act.journal is not None:
                note_starts(act.journal, [(job.run_id, job.step, job.attempt) for job in result.jobs])
        result.again |= claim.is_full or claim.look_again
        result.look_seconds = claim.look_seconds
        if recorded.started > len(rows) or claim.leaves_places:
            act.tx.later("wake")  # more than this worker takes now: notify others
        if self._watch.notify(act):
            result.again = True

    def _count(self, rows: list[ClaimedRow], now: datetime) -> None:
        """Remember what was claimed, for the statistics. Runs that a program works itself are not counted."""
        if rows and self._worker.run_id is None:
            self._memory.tally.began(rows, now, self._store.conversions)

    def _make_jobs_apart(self, rows: list[ClaimedRow]) -> None:
        """Look at what was claimed row by row, each in a transaction of its own: what a row breaks fails its step."""
        for row in rows:
            try:
                with self._store.reading() as tx:
                    jobs, outcomes = Assembly([row], {}).jobs(tx)
            except PASSING_ERRORS:  # no fault of the row's
                self._result.outcomes.append(Outcome(row.run_id, row.step, row.attempt, Verdict.RELEASED))
            except Exception as error:  # noqa: BLE001 - whatever it is, it is charged to this attempt
                info = ErrorInfo(type(error).__name__, storable(f"what it needs could not be read: {error}"))
                self._result.outcomes.append(
                    Outcome(row.run_id, row.step, row.attempt, Verdict.FAILED, error=info, retryable=False)
                )
            else:
                self._result.jobs += jobs
                self._result.outcomes += outcomes

    def _stopwatch(self) -> Callable[[Any], float] | None:
        """What says how long ago a step became ready, if metrics or traces want to know."""
        if metering.meter is None and tracing.spans is None:
            return None
        now, read = self._store.now(), self._store.conversions

        def waited(ready_at: Any) -> float:
            moment = moment_of(read, ready_at)
            return 0.0 if moment is None else max((now - moment).total_seconds(), 0.0)

        return waited

    def _of_free_runs(self, tx: Transaction) -> list[Outcome]:
        """The outcomes except those of runs that another transaction holds, which are left. It does not wait."""
        ids = sorted({outcome.run_id for outcome in self._request.outcomes})
        held = held_runs(tx, ids) if ids else set()
        self._result.left = [outcome for outcome in self._request.outcomes if outcome.run_id in held]
        return [outcome for outcome in self._request.outcomes if outcome.run_id not in held]

    def _renew(self, act: Act, status: str) -> bool:
        return bool(
            act.tx.all(
                "heartbeat", worker_id=self._worker.id, now=act.now, status=status, sleeping=self._request.sleeping,
                lease_until=act.now + timedelta(seconds=self._worker.lease_seconds),
            )
        )  # fmt: skip

    def _progress_and_cancels(self, act: Act) -> None:
        """Progress, and the steps to be cancelled: rare, so each may cost a statement."""
        for progress in self._request.progress:
            put_progress(act, progress)
        for printed in self._request.printed:
            put_printed(act, printed)
        if self._request.cancels:
            for run_id, step, attempt, is_to_end in act.tx.all(
                "asked_of_worker", worker_id=self._worker.id, now=act.now
            ):
                (self._result.cancels if is_to_end else self._result.watched).append((run_id, step, attempt))

    def _claim(self, act: Act) -> Claim:
        return Claim(
            act, self._worker, self._memory.cursor, self._lanes, want=self._request.want, freed=self._freed,
            knows_no_plain=self._knows_no_plain,
        )  # fmt: skip

    def _tend_timers(self, act: Act) -> None:
        act.tx.later("due_timers", now=act.now, limit=TIMERS_AT_ONCE)
        self._upcoming = act.tx.later("next_timer")

    def _note_next_timer(self, act: Act) -> None:
        if self._upcoming is not None:
            found = self._upcoming.rows()[0][0]
            upcoming = moment_of(act.tx, found)
            self._result.knows_timers = True
            if found is not None and upcoming is None:  # a damaged time sorts before all others: they come due anyway
                self._result.timer_seconds = UNKNOWN_TIMER_SECONDS
            if upcoming is not None:
                self._result.timer_seconds = max((upcoming - act.now).total_seconds(), 0.0)

    def _say_begun(self, act: Act) -> None:
        """Say that runs have begun, behind the outcomes: of those that have ended it need not be said any more."""
        unsaid = self._memory.unsaid
        if unsaid:
            begin_runs(act, list(unsaid), at=min(unsaid.values()))

    def _begin(self, act: Act, claimed: set[str], locked: frozenset[str]) -> None:
        """Mark runs whose first step was claimed as running.

        The statement leaves out a run that another turn holds, so it is certain only for runs that this turn holds;
        until then it is repeated with every claim.
        """
        new = sorted(run_id for run_id in claimed if run_id not in self._memory.begun)
        if new:
            begin_runs(act, new)
            self._memory.begun.add_all(run_id for run_id in new if run_id in locked)
