"""Alarms: moments at which somebody must look at a run or a step. The leader rings those that are due.

    deadline            of a run: it is ended as failed
    late_start          of a run or step: it should have begun, which is told once
    late_end            of a run or step: it should have ended, which is told once
    schedule_to_start   of a step: it should have been claimed by now, and fails if it could have been all the time
    wait                of a step that waits for a message: it fails, or succeeds with its default

Promises: a row here is a hint, written when the steps are and only where something was asked for; what it means is
decided under the run's lock from the run's own rows, so it may be rung late, twice, and by two at once. An alarm that
comes too early is set anew. One that has done its work rests, so that a retry of the run or step can set it anew, too;
that of a wait is deleted, because each wait has its own.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from typing import Any, NamedTuple

import msgspec

from segue.engine.ending import end_early, fail_fast
from segue.engine.events import record_event
from segue.engine.locking import lock_runs
from segue.engine.pausing import hold_steps, unpause
from segue.engine.settle import Settler
from segue.engine.waits import WAIT_ALARM, event_of, wait_rows
from segue.errors import SerializationError
from segue.model import ENGINE_TASKS, RUN, ErrorInfo, FailureInfo, Gate, RunStatus, StepStatus
from segue.plan.graph import Plan, RunTerms
from segue.store.protocol import Finish, Row, Store, Transaction

ALARMS_AT_ONCE = 200
AT_REST = datetime(9999, 1, 1, tzinfo=UTC)
"""When an alarm rings that has done its work."""
DEADLINE_EXCEEDED = "DeadlineExceeded"
SCHEDULE_TO_START_TIMEOUT = "ScheduleToStartTimeout"
WAIT_TIMEOUT = "WaitTimeout"
_NO_TERMS = RunTerms()
_encode = msgspec.json.Encoder().encode


class Kind(StrEnum):
    """What an alarm is about."""

    DEADLINE = "deadline"
    LATE_START = "late_start"
    LATE_END = "late_end"
    SCHEDULE_TO_START = "schedule_to_start"
    WAIT = WAIT_ALARM


class Subject(NamedTuple):
    """The run that an alarm is about, and the step when it is about one, as `alarm_subject` tells them."""

    run_status: str
    run_started_at: Any
    run_finished_at: Any
    admitted_at: Any
    is_fail_fast: bool
    status: str | None
    gate: str | None
    attempt: int
    name: str
    queue: str
    ready_at: Any
    finished_at: Any
    hook: str | None
    may_fail: bool
    started_at: Any  # of the first attempt

    @property
    def fails_the_run(self) -> bool:
        """Whether the step's failure ends its run at once."""
        return bool(self.is_fail_fast) and self.hook is None and not self.may_fail


# Setting --------------------------------------------------------------------------------------------------------------


def alarms_of(store: Store, plan: Plan, *, run_id: str, base: int | None = None, now: datetime) -> list[Row]:
    """What is inserted for the plan of a new run, or, with `base`, for one that a task returned: its first number."""
    found = [*_of_run(plan), *_of_steps(plan, 0)] if base is None else [*_of_steps(plan, base)]
    return [
        (run_id, step, kind.value, store.time(now + timedelta(seconds=seconds)), seconds)
        for step, kind, seconds in found
    ]  # fmt: skip


def _of_run(plan: Plan) -> Iterator[tuple[int, Kind, float]]:
    terms = plan.terms or _NO_TERMS
    if terms.deadline is not None:
        yield RUN, Kind.DEADLINE, terms.deadline
    if terms.sla is not None:
        if terms.sla.start is not None:
            yield RUN, Kind.LATE_START, terms.sla.start
        if terms.sla.end is not None:
            yield RUN, Kind.LATE_END, terms.sla.end


def _of_steps(plan: Plan, base: int) -> Iterator[tuple[int, Kind, float]]:
    for number, node in enumerate(plan.nodes, base):
        window = node.policy.schedule_to_start
        if window is not None and node.task is not None and node.task not in ENGINE_TASKS:
            yield number, Kind.SCHEDULE_TO_START, window
        if node.sla is not None:
            if node.sla.start is not None:
                yield number, Kind.LATE_START, node.sla.start
            if node.sla.end is not None:
                yield number, Kind.LATE_END, node.sla.end


# Ringing --------------------------------------------------------------------------------------------------------------


def ring_alarms(store: Store, tx: Transaction, now: datetime) -> int:
    """Deal with a batch of the alarms that are due; returns how many. Safe for two at once."""
    seen = tx.all("due_alarms", now=now, limit=ALARMS_AT_ONCE)
    if not seen:
        return 0
    locked = lock_runs(tx, {row[0] for row in seen})
    ids = {run.id for run in locked}
    gone = [row for row in seen if row[0] not in ids]
    for run_id, step, kind, _, _ in gone:
        tx.later("drop_alarm", run_id=run_id, step=step, kind=kind)
    # Read again: somebody else may have rung them before their runs were locked.
    due = [row for row in tx.all("due_alarms", now=now, limit=ALARMS_AT_ONCE) if row[0] in ids]
    ringing = _Ringing(store, tx, now, {run.id for run in locked if run.is_held})
    for run_id, step, kind, due_at, seconds in due:
        ringing.ring(run_id, step, Kind(kind), due_at, seconds or 0.0)
    hold_steps(tx, ringing.held)
    if ringing.has_moved_something:
        tx.later("wake")
    return len(due) + len(gone)


class _Ringing:
    """The alarms of one transaction, one after another: what one does, the next one sees."""

    def __init__(self, store: Store, tx: Transaction, now: datetime, held: set[str]) -> None:
        self._store = store
        self._tx = tx
        self._now = now
        self.held = held  # runs in which nothing may start: paused ones, and those that wait for their place
        self.has_moved_something = False

    def ring(self, run_id: str, step: int, kind: Kind, due_at: Any, seconds: float) -> None:
        """Do what the alarm is for, then set it to another time, or delete it."""
        rows = self._tx.all("alarm_subject", run_id=run_id, step=step)
        again: datetime | None = None
        if rows and (step == RUN or rows[0][5] is not None):
            subject = Subject(*rows[0])
            match kind:
                case Kind.DEADLINE:
                    again = self._deadline(run_id, subject, seconds)
                case Kind.LATE_START | Kind.LATE_END:
                    again = self._late(run_id, step, kind, subject, self._moment(due_at), seconds)
                case Kind.SCHEDULE_TO_START:
                    again = self._schedule_to_start(run_id, step, subject, seconds)
                case Kind.WAIT:
                    again = self._wait(run_id, step, subject)
        if again is None:
            self._tx.later("drop_alarm", run_id=run_id, step=step, kind=kind)
        else:
            self._tx.later("move_alarm", run_id=run_id, step=step, kind=kind, due_at=again)

    def _deadline(self, run_id: str, subject: Subject, seconds: float) -> datetime:
        if RunStatus(subject.run_status).is_final:
            return AT_REST
        text = f"it had not ended {seconds:g} s after its start"
        failure = FailureInfo("(run)", DEADLINE_EXCEEDED, text)
        if not end_early(self._tx, run_id, RunStatus.FAILED, self._now, error=_encode(failure).decode()):
            return AT_REST  # it ends already
        if subject.run_status == RunStatus.PAUSED:
            unpause(self._tx, run_id, self._now)
        self.held.discard(run_id)  # neither a pause nor the wait for a place keeps finalizers waiting
        Settler(self._store, self._tx, self._now).settle([], ending=[run_id])
        record_event(self._tx, self._now, "run.deadline", run_id=run_id, seconds=seconds)
        self.has_moved_something = True
        return AT_REST

    def _late(self, run_id: str, step: int, kind: Kind, subject: Subject, due_at: datetime, seconds: float) -> datetime:
        """Tell it once. What counts is when it should have happened, not when somebody looked."""
        if step == RUN:
            started, finished = subject.run_started_at, subject.run_finished_at
        else:
            started, finished = subject.started_at, subject.finished_at
        happened = self._store.datetime(finished if kind is Kind.LATE_END else (started or finished))
        if happened is not None and happened <= due_at:
            return AT_REST
        name = f"{'run' if step == RUN else 'step'}.{kind}"
        if not self._tx.all("has_event", run_id=run_id, kind=name, step=step):
            about = None if step == RUN else step
            told = due_at.isoformat()
            record_event(self._tx, self._now, name, run_id=run_id, step=about, due_at=told, seconds=seconds)
        return AT_REST

    def _schedule_to_start(self, run_id: str, step: int, subject: Subject, seconds: float) -> datetime:
        window = timedelta(seconds=seconds)
        status = StepStatus(subject.status or "")
        if status.is_final:
            return AT_REST
        if status is not StepStatus.READY or subject.gate in (Gate.PAUSED, Gate.ADMISSION, Gate.EVENT):
            return self._now + window
        claimable_at = max(self._moment(moment) for moment in self._claimable_since(run_id, subject))
        if subject.gate == Gate.TIMER or claimable_at + window > self._now:
            return claimable_at + window
        error = ErrorInfo(
            SCHEDULE_TO_START_TIMEOUT,
            f"no worker took it within {seconds:g} s of its being ready on queue {subject.queue!r}",
        )
        if not self._end(run_id, step, subject, StepStatus.FAILED, error=error):
            return self._now + window  # somebody has just claimed it
        told: dict[str, Any] = {"queue": subject.queue, "seconds": seconds}
        record_event(self._tx, self._now, "step.schedule_to_start", run_id=run_id, step=step, **told)
        return AT_REST

    def _claimable_since(self, run_id: str, subject: Subject) -> list[Any]:
        """Moments of which the latest counts: a pause, or a wait for the run's place, was nobody's delay."""
        resumed = self._tx.all("last_event", run_id=run_id, kind="run.resumed")
        moments = [subject.ready_at, subject.admitted_at, resumed[0][0] if resumed else None]
        return [moment for moment in moments if moment is not None]

    def _wait(self, run_id: str, step: int, subject: Subject) -> datetime | None:
        if subject.status != StepStatus.READY or subject.gate != Gate.EVENT:
            return None
        [row] = wait_rows(self._tx, run_id, [step])
        try:
            event = event_of(self._tx, run_id, row)
        except SerializationError as problem:
            self._end(run_id, step, subject, StepStatus.FAILED, error=ErrorInfo("SerializationError", str(problem)))
            return None
        if event.timeout is None:
            return None
        due = self._moment(subject.ready_at) + timedelta(seconds=event.timeout)
        if due > self._now:  # it waits anew
            return due
        if event.default is not None:
            self._end(run_id, step, subject, StepStatus.SUCCEEDED, result=event.default)
        else:
            error = ErrorInfo(WAIT_TIMEOUT, f"{event.name!r} was not sent within {event.timeout:g} s")
            self._end(run_id, step, subject, StepStatus.FAILED, error=error)
        return None

    def _end(
        self, run_id: str, step: int, subject: Subject, status: StepStatus, *, result: str | None = None,
        error: ErrorInfo | None = None,
    ) -> bool:  # fmt: skip
        """End a step that is ready, with all that follows; False when it is not ready any more."""
        text = None if error is None else _encode(error).decode()
        settler = Settler(self._store, self._tx, self._now)
        finish = Finish(run_id, step, subject.attempt, StepStatus.READY, status, result, text)
        if not settler.settle([finish]):
            return False
        self.has_moved_something = True
        if error is not None and subject.fails_the_run and fail_fast(self._tx, run_id, subject.name, error, self._now):
            settler.settle([], ending=[run_id])
        return True

    def _moment(self, value: Any) -> datetime:
        moment = self._store.datetime(value)
        assert moment is not None  # asked only of what is there
        return moment
