"""Where attempts end: the one place that decides the outcome of an attempt and records it, for every source.

A worker's outcome, a rescue, a claim whose answer was lost, an executor's report and an alarm all call `end_attempt`.
The caller holds the lock of the run; only the current attempt of a step can be ended.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta
from typing import NamedTuple

import msgspec

from segue.engine.act import Act
from segue.engine.checkpoints import suspend
from segue.engine.ending import fail_fast
from segue.engine.fingerprint import fingerprint_of
from segue.engine.locking import LockedRun
from segue.engine.notes import note_retry
from segue.engine.rows import policy_or_none
from segue.engine.transitions import (
    REFUSED,
    Change,
    Ended,
    Expired,
    Facts,
    Lost,
    Recalled,
    Refused,
    Retrying,
    decide,
)  # fmt: skip
from segue.model import ErrorInfo, Outcome, RunStatus, StepStatus, Verdict
from segue.store.protocol import Finish, Later

EndingEvent = Ended | Lost | Retrying | Recalled | Expired

_DRAINED = (Verdict.EXPANDED, Verdict.SKIPPED, Verdict.SUSPENDED)
# it returned a plan, its `when=` was false, or its task sleeps or waits
_encode = msgspec.json.Encoder().encode


class Growth(msgspec.Struct, frozen=True):
    """An attempt that returned a plan, and the fields of its step that decide how the plan is inserted."""

    outcome: Outcome
    status: StepStatus  # of the step, before
    rule: str
    lane: str | None


End = Finish | Growth | Refused | None


class LockedRuns:
    """The runs in which attempts end in this transaction: the state that decides the ends, and counts of effects."""

    def __init__(self, locked: Iterable[LockedRun] = ()) -> None:
        locked = list(locked)
        self.ending = {run.id for run in locked if run.is_ending}
        self.paused = {run.id for run in locked if run.status == RunStatus.PAUSED}
        self.failing_fast = {run.id for run in locked if run.fail_fast}
        self._requeued = 0

    def note_requeued(self) -> None:
        """Count a step that waits for another try."""
        self._requeued += 1

    def take_requeued(self) -> int:
        """The number of steps that wait for another try, since the last call."""
        requeued, self._requeued = self._requeued, 0
        return requeued


def end_attempt(
    act: Act, runs: LockedRuns, outcome: Outcome, event: EndingEvent, *, by: str | None = None,
    state: Later | None = None,
) -> End:  # fmt: skip
    """Decide what `event` means for the step of `outcome`, and write it down.

    Returns the end of the step that is still to be written, with all that follows (Finish), or the plan to be inserted
    (Growth). None: the step waits to be tried again. The attempt is recorded with the name of who had it, `by`; None
    leaves no record. `state` is how the step stands, when that was asked already.
    """
    run_id, step = outcome.run_id, outcome.step
    found = look_at(act, runs, run_id, step, state)
    if found is None:
        return REFUSED
    facts = found.facts
    change = decide(facts, event)
    if not isinstance(change, Change):
        return change
    if change.cause == "lost" and outcome.error is not None:
        outcome = msgspec.structs.replace(outcome, error=_loss(outcome.error, change))
    if by is not None:
        _record(act, by, outcome, change, found.task)
    if change.status is StepStatus.BLOCKED:
        return Growth(outcome, facts.status, found.rule, found.lane)
    if change.status is StepStatus.READY or change.status is StepStatus.SENT:
        if change.cause == Verdict.SUSPENDED:
            is_ready = suspend(act, (run_id, step, outcome.attempt))
        else:
            _requeue(act, outcome, change, event.held_until if isinstance(event, Retrying) else None)
            is_ready = change.status is StepStatus.READY
        if is_ready:
            runs.note_requeued()
        return None
    if change.status is StepStatus.FAILED:
        if change.cause:
            act.tx.later("count_tries", run_id=run_id, step=step, failures=change.failures, losses=change.losses)
        fails_run = not found.is_harmless and run_id in runs.failing_fast and run_id not in runs.ending
        if fails_run and fail_fast(act, run_id, found.name, outcome.error, step=step):
            runs.ending.add(run_id)
    result = outcome.result if change.status is StepStatus.SUCCEEDED else None
    seconds = outcome.seconds if by is not None and isinstance(event, Ended | Retrying) else None
    return Finish(run_id, step, facts.attempt, facts.status, change.status, result, error_json(outcome), seconds)


class Found(NamedTuple):
    """The current state of a step: the input of a decision, and the fields that its consequences need."""

    facts: Facts
    name: str
    is_harmless: bool  # its failure does not fail the run
    rule: str
    lane: str | None
    task: str | None


def look_at(act: Act, runs: LockedRuns, run_id: str, step: int, state: Later | None = None) -> Found | None:
    """Read a step; None when it is gone. The caller holds the lock of the run."""
    rows = (state or act.tx.later("step_state", run_id=run_id, step=step)).rows()
    if not rows:
        return None
    status, attempt, failures, losses, policy, hook, name, may_fail, rule, is_asked_to_end, lane, is_fenced, task = (
        rows[0]
    )
    facts = Facts(
        StepStatus(status), attempt, failures, losses, policy_or_none(policy), seed=f"{run_id}:{step}",
        is_fenced=is_fenced is None or bool(is_fenced), is_asked_to_end=bool(is_asked_to_end),
        run_is_ending=run_id in runs.ending, run_is_paused=run_id in runs.paused,
    )  # fmt: skip
    return Found(facts, name, hook is not None or bool(may_fail), rule, lane, task)


def record_attempts(act: Act, worker: str, outcomes: Sequence[Outcome], *, task: str | None = None) -> None:
    """Record how attempts ended, with their errors and the tail of their output.

    A plan that was returned, a skip, or a suspension leaves no record if it has neither an error nor output.
    `task` is the task of all of them; errors get a fingerprint with it.
    """
    for outcome in outcomes:
        if outcome.verdict in _DRAINED and outcome.error is None and not outcome.output:
            continue
        act.tx.later(
            "put_attempt", run_id=outcome.run_id, step=outcome.step, attempt=outcome.attempt, status=outcome.verdict,
            worker=worker, finished_at=act.now, error=error_json(outcome), output=outcome.output or None,
            fingerprint=None if outcome.error is None else fingerprint_of(task, outcome.error),
        )  # fmt: skip


def error_json(outcome: Outcome) -> str | None:
    """The error of an outcome, as it is stored."""
    return None if outcome.error is None else _encode(outcome.error).decode()


def _record(act: Act, by: str, outcome: Outcome, change: Change, task: str | None) -> None:
    if change.cause == "released" and outcome.verdict != Verdict.RELEASED:
        outcome = msgspec.structs.replace(outcome, verdict=Verdict.RELEASED)
    record_attempts(act, by, [outcome], task=task)


def _requeue(act: Act, outcome: Outcome, change: Change, held_until: datetime | None) -> None:
    """Let the step wait for another try; or mark it as sent again, if its executor's broker holds the next try."""
    run_id, step, attempt = outcome.run_id, outcome.step, outcome.attempt
    is_try = change.cause in ("failed", "lost")
    error = error_json(outcome) if is_try else None
    if change.status is StepStatus.SENT:
        act.tx.later(
            "requeue_as_sent", run_id=run_id, step=step, attempt=attempt, next_attempt=change.attempt,
            failures=change.failures, error=error, now=act.now, sent_until=held_until,
        )  # fmt: skip
    else:
        due = act.now + timedelta(seconds=change.after_seconds)
        act.tx.later(
            "requeue", run_id=run_id, step=step, attempt=attempt, gate="timer" if due > act.now else None,
            ready_at=due, failures=change.failures, losses=change.losses, error=error,
        )  # fmt: skip
    if is_try:
        note_retry(act, run_id, step, attempt, error_json(outcome), change.after_seconds)


def _loss(error: ErrorInfo, change: Change) -> ErrorInfo:
    """The error of a lost attempt; it says so if this was the last loss that its step may have."""
    if change.status is not StepStatus.FAILED:
        return error
    parked = f"; this step has now lost {change.losses} workers and is parked (lost_retries). Does it kill them?"
    return msgspec.structs.replace(error, message=error.message + parked)
