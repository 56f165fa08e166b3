"""The turn: everything that a worker tells the database and hears from it, in one transaction.

Outcomes are recorded, children released, runs ended, ready steps claimed, their references resolved; then one commit. A
crash before the commit leaves everything as it was: the worker's steps are still running under its lease, and are
rescued.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

import msgspec

from segue.engine.attempts import record_attempts
from segue.engine.expand import expand
from segue.engine.resolve import hook_value, is_true, load
from segue.engine.rows import decode_policy
from segue.engine.settle import Settled, Settler
from segue.engine.transitions import Change, Ended, Facts, decide
from segue.errors import SerializationError
from segue.model import RUN, ErrorInfo, Job, Outcome, Progress, StepStatus, Verdict
from segue.plan.codec import decode_expr, decode_holes, evaluate, steps_in
from segue.store.protocol import Finish, Store, Transaction

TIMERS_AT_ONCE = 1000
_encode = msgspec.json.Encoder().encode


@dataclass(frozen=True, slots=True)
class WorkerIdentity:
    """Who claims, what it may claim, and for how long it has a right to what it claimed."""

    id: str
    name: str
    queues: tuple[str, ...]
    tasks: list[str]
    lease_seconds: float = 30.0
    run_id: str | None = None  # claim steps of this run only


@dataclass(slots=True)
class TurnRequest:
    """What the worker brings to a turn."""

    outcomes: Sequence[Outcome] = ()
    progress: Sequence[Progress] = ()
    want: int = 0  # how many steps it could take
    heartbeat: str | None = None  # its status, when the lease is to be renewed now
    sleeping: bool = False  # said with the heartbeat: notify me
    timers: bool = False  # look for timers that have come due, and when the next one will
    cancels: bool = False  # ask which of its steps are to end


@dataclass(slots=True)
class TurnResult:
    """What the worker takes from it."""

    jobs: list[Job] = field(default_factory=list)
    refused: int = 0  # outcomes that came too late
    ended: list[str] = field(default_factory=list)  # runs that became final
    cancels: list[tuple[str, int, int]] = field(default_factory=list)  # (run, step, attempt) to be ended
    timer_seconds: float | None = None  # until the next timer comes due, when asked and there is one
    lease_lost: bool = False  # declared lost: nothing was done, and what it runs is no longer its own
    again: bool = False  # there may be more to claim right now


class Turn:
    """One turn of one worker."""

    def __init__(self, store: Store, worker: WorkerIdentity, request: TurnRequest) -> None:
        self._store = store
        self._worker = worker
        self._request = request
        self._result = TurnResult()
        self._known: dict[tuple[str, int], str] = {}  # results recorded in this very turn
        self._surplus = False  # more became claimable than this worker takes: others should hear of it

    def take(self) -> TurnResult:
        """Take it. Raises StoreError when the database cannot do it; then nothing has happened, as far as is known."""
        now = self._store.now()
        request = self._request
        with self._store.transaction() as tx:
            if request.heartbeat is not None and not self._renew(tx, now, request.heartbeat):
                self._result.lease_lost = True
                return self._result
            for progress in request.progress:
                tx.all(
                    "put_progress", run_id=progress.run_id, step=progress.step, attempt=progress.attempt,
                    done=progress.done, total=progress.total, message=progress.message, now=now,
                )  # fmt: skip
            if request.timers:
                self._tend_timers(tx, now)
            if request.cancels:
                found = tx.all("cancel_requests", worker_id=self._worker.id)
                self._result.cancels = [(row[0], row[1], row[2]) for row in found]
            if request.outcomes:
                self._record(tx, now, request.outcomes)
            if request.want > 0:
                self._claim(tx, now, request.want)
            if self._surplus:
                tx.later("wake")
        return self._result

    def _renew(self, tx: Transaction, now: datetime, status: str) -> bool:
        lease_until = now + timedelta(seconds=self._worker.lease_seconds)
        return bool(
            tx.all(
                "heartbeat", worker_id=self._worker.id, now=now, lease_until=lease_until,
                status=status, sleeping=self._request.sleeping,
            )
        )  # fmt: skip

    def _tend_timers(self, tx: Transaction, now: datetime) -> None:
        tx.all("due_timers", now=now, limit=TIMERS_AT_ONCE)
        upcoming = self._store.datetime(tx.all("next_timer")[0][0])
        if upcoming is not None:
            self._result.timer_seconds = max((upcoming - now).total_seconds(), 0.0)

    # Recording ----------------------------------------------------------------------------------------------------

    def _record(self, tx: Transaction, now: datetime, outcomes: Sequence[Outcome]) -> None:
        locked = tx.later("lock_runs", ids=sorted({outcome.run_id for outcome in outcomes}))
        plain = [o for o in outcomes if o.verdict == Verdict.SUCCEEDED]
        batch = [
            Finish(o.run_id, o.step, o.attempt, "running", "succeeded", o.result, None, o.seconds) for o in plain
        ]  # fmt: skip
        sent = tx.finish(batch, now) if batch else None
        runs = {row[0]: row for row in locked.rows()}
        settler = Settler(self._store, tx, now)
        ending = {run_id for run_id, row in runs.items() if row[1] is not None}
        failed_fast: set[str] = set()
        first = sent.result() if sent is not None else None
        finishes: list[Finish] = []
        if len(plain) < len(outcomes):
            rest = [o for o in outcomes if o.verdict != Verdict.SUCCEEDED]
            finishes, failed_fast = self._decide(tx, now, settler, rest, runs, ending)
            ending |= failed_fast
        settled = settler.settle(batch, first=first) if first is not None else Settled(0, 0, [])
        if finishes or ending:
            settled = settler.settle(finishes, ending=sorted(ending))
        self._result.ended = settled.ended
        if first is not None:
            self._result.refused += len(plain) - first.recorded
            if first.recorded == len(plain):
                self._known = {(o.run_id, o.step): o.result or "null" for o in plain}
        record_attempts(tx, now, self._worker.name, [o for o in plain if o.output])
        self._surplus = settled.started > self._request.want

    def _decide(
        self, tx: Transaction, now: datetime, settler: Settler, outcomes: Sequence[Outcome],
        runs: Mapping[str, Any], ending: set[str],
    ) -> tuple[list[Finish], set[str]]:  # fmt: skip
        """Outcomes that are not plain successes, one by one: what `decide` says of them is written down."""
        finishes: list[Finish] = []
        failed_fast: set[str] = set()
        for outcome in outcomes:
            rows = tx.all("step_state", run_id=outcome.run_id, step=outcome.step)
            if not rows:
                self._result.refused += 1
                continue
            status, attempt, failures, losses, policy, hook, name, may_fail = rows[0]
            facts = Facts(
                StepStatus(status), attempt, failures, losses, decode_policy(policy),
                seed=f"{outcome.run_id}:{outcome.step}",
            )  # fmt: skip
            verdict = Verdict(outcome.verdict)
            if outcome.run_id in ending and hook is None:
                verdict = _while_ending(verdict)
            change = decide(facts, Ended(outcome.attempt, verdict, outcome.retryable, outcome.retry_after))
            if not isinstance(change, Change):
                self._result.refused += 1
                continue
            record_attempts(tx, now, self._worker.name, [outcome])
            error = _encode(outcome.error).decode() if outcome.error is not None else None
            if verdict is Verdict.EXPANDED:
                finishes += expand(self._store, tx, settler, outcome, hook=hook, now=now)
            elif change.status is StepStatus.READY:
                self._requeue(tx, now, outcome, change, error)
            else:
                finishes.append(
                    Finish(
                        outcome.run_id, outcome.step, outcome.attempt, "running", change.status, None, error,
                        outcome.seconds,
                    )
                )  # fmt: skip
                if change.status is StepStatus.FAILED and hook is None and not may_fail:
                    failed_fast |= self._fail_fast(tx, now, runs.get(outcome.run_id), name, outcome.error)
        return finishes, failed_fast

    def _requeue(self, tx: Transaction, now: datetime, outcome: Outcome, change: Change, error: str | None) -> None:
        due = now + timedelta(seconds=change.after_seconds)
        tx.all(
            "requeue", run_id=outcome.run_id, step=outcome.step, attempt=outcome.attempt,
            gate="timer" if due > now else None, ready_at=due,
            failures=change.failures, losses=change.losses, error=error,
        )  # fmt: skip

    def _fail_fast(self, tx: Transaction, now: datetime, run: Any, name: str, error: ErrorInfo | None) -> set[str]:
        if run is None or not run[2] or run[1] is not None:
            return set()
        info = {"step": name, "type": error.type if error else "Failed", "message": error.message if error else ""}
        text = msgspec.json.encode(info).decode()
        if tx.all("set_intent", run_id=run[0], intent="failed", error=text):
            tx.all("cancel_waiting_steps", run_id=run[0], now=now)
            tx.all("request_cancel", run_id=run[0])
        return {run[0]}

    # Claiming -----------------------------------------------------------------------------------------------------

    def _claim(self, tx: Transaction, now: datetime, want: int) -> None:
        worker = self._worker
        rows: list[Any] = []
        if worker.run_id is not None:
            rows = tx.all(
                "claim_of_run", run_id=worker.run_id, tasks=worker.tasks, limit=want, worker_id=worker.id, now=now
            )  # fmt: skip
        else:
            for queue in worker.queues:
                rows += tx.all(
                    "claim", queue=queue, tasks=worker.tasks, limit=want - len(rows), worker_id=worker.id, now=now
                )  # fmt: skip
                if len(rows) >= want:
                    self._result.again = True
                    break
        if not rows:
            return
        if len(rows) > 1:
            rows.sort(key=lambda row: (-row[10], row[11], row[1]))
        tx.all("runs_begin", ids=sorted({row[0] for row in rows}), now=now)
        self._result.jobs = self._jobs(tx, now, rows)

    def _jobs(self, tx: Transaction, now: datetime, rows: list[Any]) -> list[Job]:
        values = self._values(tx, rows)
        jobs, settled = [], []
        for run_id, step, attempt, name, task, args, holes, when_expr, policy, failures, _, _ in rows:
            known = values.get((run_id, step), {})
            if when_expr is not None:
                finish = _unless_when(run_id, step, attempt, when_expr, known)
                if finish is not None:
                    settled.append(finish)
                    continue
            jobs.append(
                Job(run_id, step, attempt, name, task, args, holes, known, decode_policy(policy).timeout, failures)
            )  # fmt: skip
        if settled:
            tx.all("lock_runs", ids=sorted({finish.run_id for finish in settled}))
            done = Settler(self._store, tx, now).settle(settled)
            self._result.ended = [*self._result.ended, *done.ended]
            self._result.again = True
        return jobs

    def _values(self, tx: Transaction, rows: list[Any]) -> dict[tuple[str, int], dict[int, str]]:
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
        found = {run_id: self._load(tx, run_id, steps) for run_id, steps in by_run.items()}
        values = {}
        for (run_id, step), steps in wanted.items():
            mine = {n: found[run_id][n] for n in steps if n != RUN}
            if RUN in steps:
                mine[RUN] = hook_value(tx, run_id, step)
            values[run_id, step] = mine
        return values

    def _load(self, tx: Transaction, run_id: str, steps: set[int]) -> dict[int, str]:
        steps = steps - {RUN}
        known = {step: self._known[run_id, step] for step in steps if (run_id, step) in self._known}
        return known if len(known) == len(steps) else load(tx, run_id, steps, known)


def _while_ending(verdict: Verdict) -> Verdict:
    """A run that is being ended starts nothing more: a try that failed, was handed back or grew is its last."""
    return Verdict.CANCELLED if verdict in (Verdict.RELEASED, Verdict.EXPANDED, Verdict.FAILED) else verdict


def _unless_when(run_id: str, step: int, attempt: int, when_expr: str, known: dict[int, str]) -> Finish | None:
    """How a step with a condition ends without running, or None when it is to run."""
    try:
        if is_true(evaluate(decode_expr(when_expr), known)):
            return None
    except SerializationError as error:
        info = _encode(ErrorInfo("SerializationError", f"when= cannot be told: {error}")).decode()
        return Finish(run_id, step, attempt, StepStatus.RUNNING, StepStatus.FAILED, None, info)
    return Finish(run_id, step, attempt, StepStatus.RUNNING, StepStatus.SKIPPED)
