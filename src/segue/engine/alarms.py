"""Alarms: times at which a run or a step must be checked. The leader handles those that are due.

    deadline            of a run: it is ended as failed
    late_start          of a run or step: it should have begun, which is reported once
    late_end            of a run or step: it should have ended, which is reported once
    schedule_to_start   of a step: it should have begun by now, and fails if it could have begun all the time
    wait                of a step that waits for a message: it fails, or succeeds with its default

Promises: an alarm's row is only a hint, written together with the steps, and only if a time was set. Its meaning is
decided under the run's lock from the run's own rows, so it may fire late, twice, and in two processes at the same time.
An alarm that fires early is rescheduled. A spent alarm is parked, not deleted, so that a retry of the run or step can
schedule it again; the alarm of a wait is deleted, because each wait has a new one.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from typing import Any, NamedTuple, assert_never

import msgspec

from segue.engine.act import Act
from segue.engine.acts import Acts
from segue.engine.attempts import LockedRuns, end_attempt
from segue.engine.audit import record_event
from segue.engine.ending import end_early
from segue.engine.late_pushes import SCHEDULE_TO_START_TIMEOUT, Late, end_late
from segue.engine.locking import LockedRun, hold_steps, lock_free_runs
from segue.engine.pausing import unpause
from segue.engine.propagate import Propagation
from segue.engine.scope import ALL_RUNS, Scope
from segue.engine.stored import moment_of, storable
from segue.engine.transitions import Expired
from segue.engine.waits import WAIT_ALARM, event_of, wait_rows
from segue.errors import SerializationError
from segue.model import ENGINE_TASKS, RUN, ErrorInfo, FailureInfo, Gate, Outcome, RunStatus, StepStatus, Verdict
from segue.plan.graph import Plan, RunTerms
from segue.store.protocol import Finish, Row, Transaction

ALARMS_AT_ONCE = 200
AT_REST = datetime(9999, 1, 1, tzinfo=UTC)
"""The time of a spent alarm."""
DEADLINE_EXCEEDED = "DeadlineExceeded"
WAIT_TIMEOUT = "WaitTimeout"
_NO_TERMS = RunTerms()
_encode = msgspec.json.Encoder().encode


class Kind(StrEnum):
    """The kinds of alarms."""

    DEADLINE = "deadline"
    LATE_START = "late_start"
    LATE_END = "late_end"
    SCHEDULE_TO_START = "schedule_to_start"
    WAIT = WAIT_ALARM


class Subject(NamedTuple):
    """The run of an alarm, and the step if it is about one, as the statement `alarm_subject` returns them."""

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
    event: str | None  # the message for which it waits


# Setting --------------------------------------------------------------------------------------------------------------


def alarms_of(act: Act, plan: Plan, *, run_id: str, base: int | None = None) -> list[Row]:
    """The rows to insert for the plan of a run; `base` is the first number of a plan that a task returned."""
    found = [*_of_run(plan), *_of_steps(plan, 0)] if base is None else [*_of_steps(plan, base)]
    begins = plan.terms.run_at if found and plan.terms is not None else None
    since = act.now if begins is None else max(act.now, begins)
    return [
        (run_id, step, kind.value, act.tx.time(since + timedelta(seconds=seconds)), seconds)
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


def ring_alarms(act: Act, scope: Scope = ALL_RUNS) -> int:
    """Handle a batch of the alarms that are due. Returns how many. Safe for two processes at the same time.

    Alarms of runs that another transaction holds are left for the next time.
    """
    locked: dict[str, LockedRun] = {}
    aside, gone = list(scope.aside), 0
    while True:
        # Read again each time: another process may have handled them before their runs were locked.
        due = act.tx.all("due_alarms", now=act.now, limit=ALARMS_AT_ONCE, only=scope.only, aside=aside)
        new = {run_id for run_id, *_ in due} - locked.keys()
        if not new:
            break
        free, held = lock_free_runs(act.tx, new)
        locked |= {run.id: run for run in free}
        aside += sorted(held)
        for run_id, step, kind, _, _ in due:
            if run_id in new and run_id not in held and run_id not in locked:
                act.tx.later("drop_alarm", run_id=run_id, step=step, kind=kind)
                gone += 1
    ringing = _Ringing(act, {run.id for run in locked.values() if run.is_held})
    for run_id, step, kind, due_at, seconds in due:
        ringing.ring(run_id, step, Kind(kind), due_at, seconds or 0.0)
    hold_steps(act.tx, ringing.held)
    if ringing.has_moved_something:
        act.tx.later("wake")
    return len(due) + gone


def ringing_runs(tx: Transaction, now: datetime, scope: Scope) -> list[str]:
    """The runs whose alarms are due."""
    rows = tx.all("due_alarms", now=now, limit=ALARMS_AT_ONCE, only=scope.only, aside=list(scope.aside))
    return sorted({run_id for run_id, *_ in rows})


def give_up_ringing(engine: Acts, run_id: str, error: Exception) -> None:
    """The last resort for a run whose alarms cannot be handled: a passed deadline is enforced, others are parked."""
    with engine.reading() as tx:
        now = engine.store.now()
        rows = tx.all("due_alarms", now=now, limit=ALARMS_AT_ONCE, only=run_id, aside=[])
    if any(kind == Kind.DEADLINE for _, _, kind, *_ in rows):
        text = f"it had not ended at its deadline, and cannot end in order, because its rows are damaged: {error}"
        engine.break_run(run_id, RUN, ErrorInfo(DEADLINE_EXCEEDED, storable(text)))
    engine.act(lambda act: act.tx.all("rest_alarms", run_id=run_id, due_at=AT_REST, now=act.now))


class _Ringing:
    """Handles the alarms of one transaction one after another: each sees the effects of those before it."""

    def __init__(self, act: Act, held: set[str]) -> None:
        self._act = act
        self.held = held  # runs in which nothing may start: paused ones, and those that wait for their place
        self.has_moved_something = False

    def ring(self, run_id: str, step: int, kind: Kind, due_at: Any, seconds: float) -> None:
        """Do what the alarm is for, then reschedule it, or delete it."""
        rows = self._act.tx.all("alarm_subject", run_id=run_id, step=step)
        subject = Subject(*rows[0]) if rows else None
        again: datetime | None = None
        if subject is not None and (step == RUN or subject.status is not None):
            match kind:
                case Kind.DEADLINE:
                    again = self._deadline(run_id, subject, seconds)
                case Kind.LATE_START | Kind.LATE_END:
                    again = self._late(run_id, step, kind, subject, self._moment(due_at), seconds)
                case Kind.SCHEDULE_TO_START:
                    again = self._schedule_to_start(run_id, step, subject, seconds)
                case Kind.WAIT:
                    again = self._wait(run_id, step, subject)
                case _:
                    assert_never(kind)
        if again is None:
            self._act.tx.later("drop_alarm", run_id=run_id, step=step, kind=kind)
        else:
            self._act.tx.later("move_alarm", run_id=run_id, step=step, kind=kind, due_at=again)

    def _deadline(self, run_id: str, subject: Subject, seconds: float) -> datetime:
        if RunStatus(subject.run_status).is_final:
            return AT_REST
        text = f"it had not ended {seconds:g} s after its start"
        failure = FailureInfo("(run)", DEADLINE_EXCEEDED, text)
        if not end_early(self._act, run_id, RunStatus.FAILED, error=_encode(failure).decode()):
            return AT_REST  # it ends already
        if subject.run_status == RunStatus.PAUSED:
            unpause(self._act, run_id)
        self.held.discard(run_id)  # neither a pause nor the wait for a place delays finalizers
        Propagation(self._act).run([], ending=[run_id])
        record_event(self._act, "run.deadline", run_id=run_id, seconds=seconds)
        self.has_moved_something = True
        return AT_REST

    def _late(self, run_id: str, step: int, kind: Kind, subject: Subject, due_at: datetime, seconds: float) -> datetime:
        """Report it once. The time at which it should have happened counts, not the time of this check."""
        if step == RUN:
            started, finished = subject.run_started_at, subject.run_finished_at
        else:
            started, finished = subject.started_at, subject.finished_at
        happened = moment_of(self._act.tx, finished if kind is Kind.LATE_END else (started or finished))
        if happened is not None and happened <= due_at:
            return AT_REST
        name = f"{'run' if step == RUN else 'step'}.{kind}"
        if not self._act.tx.all("has_event", run_id=run_id, kind=name, step=step):
            about = None if step == RUN else step
            told = due_at.isoformat()
            record_event(self._act, name, run_id=run_id, step=about, due_at=told, seconds=seconds)
        return AT_REST

    def _schedule_to_start(self, run_id: str, step: int, subject: Subject, seconds: float) -> datetime:
        window = timedelta(seconds=seconds)
        status = StepStatus(subject.status or "")
        if status.is_final:
            return AT_REST
        is_sent = status is StepStatus.SENT
        is_waiting = subject.gate == Gate.TIMER and subject.event is not None  # inside its task
        is_held = is_waiting or subject.gate in (Gate.PAUSED, Gate.ADMISSION, Gate.EVENT)
        if (
            is_held
            or (is_sent and subject.run_status == RunStatus.PAUSED)
            or not (is_sent or status is StepStatus.READY)
        ):
            return self._act.now + window
        claimable_at = max(
            (self._moment(moment) for moment in self._claimable_since(run_id, subject)), default=self._act.now
        )
        if subject.gate == Gate.TIMER or claimable_at + window > self._act.now:
            return claimable_at + window
        late = end_late(self._act, (run_id, step, subject.attempt)) if is_sent else Late.AS_IT_WAS
        did_not = "its executor did not begin it" if is_sent else "no worker took it"
        error = ErrorInfo(
            SCHEDULE_TO_START_TIMEOUT,
            f"{did_not} within {seconds:g} s of its being ready on queue {subject.queue!r}",
        )
        has_failed = late is not Late.IS_ENDED and self._end(run_id, step, subject, StepStatus.FAILED, error=error)
        if has_failed or late is Late.IS_ENDED:
            told: dict[str, Any] = {"queue": subject.queue, "seconds": seconds}
            record_event(self._act, "step.schedule_to_start", run_id=run_id, step=step, **told)
        return AT_REST if has_failed else self._act.now + window  # it has just begun, or may have

    def _claimable_since(self, run_id: str, subject: Subject) -> list[Any]:
        """Times of which the latest counts: a pause, or a wait for the run's place, is not a delay of the queue."""
        resumed = self._act.tx.all("last_event", run_id=run_id, kind="run.resumed")
        moments = [subject.ready_at, subject.admitted_at, resumed[0][0] if resumed else None]
        return [moment for moment in moments if moment is not None]

    def _wait(self, run_id: str, step: int, subject: Subject) -> datetime | None:
        if subject.status != StepStatus.READY or subject.gate != Gate.EVENT:
            return None
        [row] = wait_rows(self._act.tx, run_id, [step])
        try:
            event = event_of(self._act.tx, run_id, row)
        except SerializationError as problem:
            self._end(run_id, step, subject, StepStatus.FAILED, error=ErrorInfo("SerializationError", str(problem)))
            return None
        if event.timeout is None:
            return None
        due = self._moment(subject.ready_at) + timedelta(seconds=event.timeout)
        if due > self._act.now:  # it waits again
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
        """End a step that has not begun, with all consequences; False if it has begun meanwhile."""
        self._act.tx.later("lock_step", run_id=run_id, step=step)  # no claim can take it now
        runs = LockedRuns()
        if subject.is_fail_fast:
            runs.failing_fast.add(run_id)
        outcome = Outcome(run_id, step, subject.attempt, Verdict(status), result, error)
        end = end_attempt(self._act, runs, outcome, Expired(failed=status is StepStatus.FAILED))
        if not isinstance(end, Finish):
            return False
        Propagation(self._act).run([end], ending=sorted(runs.ending))
        self.has_moved_something = True
        return True

    def _moment(self, value: Any) -> datetime:
        return moment_of(self._act.tx, value) or self._act.now  # the value exists, but it may be damaged
