"""Writes a reopening: steps, counters, edges, the run itself. Then it propagates what needs no worker."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import timedelta

from segue.engine.act import Act
from segue.engine.checkpoints import forget_checkpoints
from segue.engine.limiting.admission import admit_after
from segue.engine.locking import hold_steps
from segue.engine.propagate import Propagation
from segue.engine.reopening.ahead import BufferedWrites, LargeRun
from segue.engine.reopening.alike import ResetRow, Resets
from segue.engine.reopening.live import Dependencies, steps_waited_for
from segue.engine.reopening.recount import Recounted, recount
from segue.engine.reopening.reopen import Reopening
from segue.engine.reopening.run_graph import StepRow
from segue.engine.unfinished import Item, refuse_unfinished
from segue.engine.waits import WAIT_ALARM
from segue.model import RUN, Gate, JoinVerdict, Ref, RunStatus, StepStatus
from segue.plan.codec import decode_expr, encode_expr, steps_in
from segue.store.protocol import Finish, Follow, FollowKind, Row


def write_reopening(
    act: Act, run_id: str, reopening: Reopening, *,
    finishes: Sequence[Finish] = (), source: str | None = None, limit: tuple[str, str] | None = None,
) -> str:  # fmt: skip
    """Write a reopening, and end the steps in `finishes` by hand; returns the status of the run afterwards.

    With `source` the run is a new copy of that one, and gets its `limit` once its steps are written.
    """
    if isinstance(act.tx, BufferedWrites) and source is None and not reopening.graph.run.is_final:
        act.tx.live = LiveReopening(act, run_id, reopening, finishes)
        return str(reopening.graph.run.status)  # it is read again after everything is written
    rewriting = _Rewriting(act, run_id, reopening, source, limit)
    rewriting.compute()
    return rewriting.write(finishes)


class LiveReopening:
    """The changes to a large run that has not ended, computed without its lock."""

    def __init__(self, act: Act, run_id: str, reopening: Reopening, finishes: Sequence[Finish]) -> None:
        waited_for = steps_waited_for(reopening)
        self._run_id = run_id
        self._reopening = reopening
        self._finishes = finishes
        self._rewriting = _Rewriting(act, run_id, reopening, None, None)
        self._rewriting.compute()
        self._dependencies = Dependencies(reopening, self._rewriting.recounted, waited_for)
        resets = self._rewriting.group(alone=self._dependencies.ready_and_unsettled())
        self._dependencies.leave_unlocked(resets.counted)

    def catch_up(self, act: Act) -> bool:
        """Include what has happened since; False if it must be computed again. The caller holds the run's lock."""
        refuse_unfinished(act.tx, self._run_id)
        judged = self._dependencies.bring_up_to_date(act.tx, self._run_id)
        if judged is None:
            return False
        self._rewriting.continue_in(act, judged)
        return True

    def write(self, act: Act) -> None:
        """Write the changes, after `catch_up` in the same transaction."""
        self._rewriting.write(self._finishes)


class _Rewriting:
    def __init__(
        self, act: Act, run_id: str, reopening: Reopening, source: str | None, limit: tuple[str, str] | None
    ) -> None:
        self._act = act
        self._run_id = run_id
        self._reopening = reopening
        self._graph = reopening.graph
        self._source = source
        self._limit = limit
        self._propagation = Propagation(act)
        self.recounted: Recounted
        self._rows: list[ResetRow]
        self._resets: Resets | None = None
        self._passing: set[int]  # steps that need no worker: they are skipped, or passed

    def compute(self) -> None:
        """Do what can be done before anything is written."""
        self.recounted = recount(self._reopening)
        steps = self._steps(self._changed_but_scopes())
        rows = [self._reset_row(step, self.recounted.verdicts) for step in steps]
        unchanged = self.recounted.unchanged if self._source is None else set()  # a copy has what its original had
        self._rows = [row for row in rows if row.step not in unchanged or row.status != StepStatus.BLOCKED]
        self._forgotten = sorted(
            step for step in self._reopening.discarded | self._changed_but_scopes() if self._graph.steps[step].attempt
        )
        self._passing = set(filter(self._is_passing, self.recounted.verdicts))

    def group(self, *, alone: set[int]) -> Resets:
        """Group the reset steps by the statement that writes them; steps in `alone` may still be judged again."""
        before, steps = self._reopening.status_before, self._graph.steps
        was_ready = lambda step: before(steps[step]) == StepStatus.READY  # noqa: E731
        self._resets = Resets(self._rows, was_ready, alone=alone)
        return self._resets

    def continue_in(self, act: Act, judged: set[int]) -> None:
        """Continue in another transaction, after these steps were judged again."""
        self._act = act
        self._propagation = Propagation(act)
        if self._resets is not None:
            self._resets.replace([self._reset_row(step, self.recounted.verdicts) for step in self._steps(judged)])
        self._passing = (self._passing - judged) | set(filter(self._is_passing, judged))

    def write(self, finishes: Sequence[Finish]) -> str:
        tx, run_id, recounted = self._act.tx, self._run_id, self.recounted
        self._discard()
        if isinstance(tx, BufferedWrites):
            tx.each("reset_steps", [_unarmed(row) for row in self._rows])
        else:
            self._reset()
        tx.each("reopen_scopes", self._scope_rows())
        for step in self._steps(self._reopening.recalled):  # its scope gets its result from it again
            tx.later("set_result_expr", run_id=run_id, step=step.scope, result_expr=encode_expr(Ref(step.step)))
        tx.each("recount_steps", [self._counts_row(step) for step in recounted.counts])
        array = self._act.tx.array
        tx.each("change_edges", [(run_id, step.step, array(step.children)) for step in recounted.edges])
        alarms = self._alarms()
        if self._source is None:  # before the run becomes live, as its old alarms may be due
            tx.each("put_alarms", alarms)
        self._reopen_run(recounted.waiting_on)
        if self._source is not None:  # afterwards, as an alarm that is due soon may end the new run
            tx.each("put_alarms", alarms)
        items = [*finishes, *self._without_worker()]
        if isinstance(tx, BufferedWrites):
            tx.each("arm_steps", [_arming(row) for row in self._rows if row.status == StepStatus.READY])
            tx.propagate([*items, Follow(run_id, RUN, 0, FollowKind.DRAINED)])
            return str(self._graph.run.status)  # it is read again after everything is written
        self._propagation.run(items)
        if not recounted.waiting_on:
            self._propagation.end_empty_run(run_id)
        if self._graph.run.status == RunStatus.PAUSED:
            hold_steps(tx, [run_id])
        tx.later("hold_unadmitted", run_id=run_id)
        admit_after(self._act, [run_id])
        tx.later("wake")
        return str(tx.all("run_status", run_id=run_id)[0][0])

    def _reset(self) -> None:
        if self._source is not None:  # attempt numbers are reset as well
            self._act.tx.each("reset_steps", self._rows)
            return
        resets = self._resets or self.group(alone=set())
        if not resets.write(self._act.tx, self._run_id):
            raise LargeRun(self._run_id)

    def _steps(self, numbers: set[int]) -> list[StepRow]:
        return [self._graph.steps[number] for number in sorted(numbers - self._reopening.discarded)]

    def _changed_but_scopes(self) -> set[int]:
        return self._reopening.reset | self._reopening.held

    def _is_reset(self, step: int) -> bool:
        found = self._reopening
        return (step in found.reset or step in found.held) and step not in found.discarded

    def _discard(self) -> None:
        """Delete discarded steps, the progress of reset ones, and the checkpoints of those that run from scratch."""
        gone = sorted(self._reopening.discarded)
        if gone:
            for statement in ("discard_steps", "discard_labels", "discard_alarms", "discard_checkpoints"):
                self._act.tx.later(statement, run_id=self._run_id, steps=gone)
        if self._forgotten:
            self._act.tx.later("discard_progress", run_id=self._run_id, steps=self._forgotten)
        forget_checkpoints(self._act, self._run_id, self._from_scratch())

    def _from_scratch(self) -> Iterator[int]:
        """Steps whose tasks begin from nothing. The others go on from what their tasks recorded."""
        found = self._reopening
        for number in found.reset - found.discarded:
            if found.is_fresh or found.status_before(self._graph.steps[number]) == StepStatus.SUCCEEDED:
                yield number

    def _reset_row(self, step: StepRow, verdicts: dict[int, JoinVerdict]) -> ResetRow:
        status, gate = StepStatus.BLOCKED, None
        # A step that has never begun may have been planned for later.
        ready_at = self._act.tx.datetime(step.ready_at) if step.started_at is None else None
        if verdicts.get(step.step) is JoinVerdict.START and not step.is_passed:
            status = StepStatus.READY
            ready_at = max(self._act.now, ready_at or self._act.now)
            gate = Gate.TIMER if ready_at > self._act.now else Gate.LIMIT if step.lane is not None else None
        is_emptied = step.step not in self._reopening.held and step.task is not None
        return ResetRow(
            self._run_id, step.step, is_emptied, step.is_passed or step.is_scope, step.rule,
            status.value, gate and gate.value, ready_at and self._act.tx.time(ready_at), step.attempt,
            step.waiting_on, step.failed_above, step.skipped_above, step.lane,
        )  # fmt: skip

    def _scope_rows(self) -> list[Row]:
        scopes = self._steps(self._reopening.reopened)
        if not scopes:
            return []
        numbers = [step.step for step in scopes]
        exprs: dict[int, str | None] = dict(self._act.tx.all("result_exprs", run_id=self._run_id, steps=numbers))
        return [self._scope_row(step, exprs[step.step]) for step in scopes]

    def _scope_row(self, step: StepRow, result_expr: str | None) -> Row:
        outcome: str | None = None
        error: str | None = None
        if step.step not in self._reopening.outcome_unknown:
            outcome, error = self._propagation.outcome_of(self._run_id, step.step)
        return (self._run_id, step.step, step.waiting_on, outcome, error, self._own_expr(step, result_expr))

    def _own_expr(self, scope: StepRow, result_expr: str | None) -> str | None:
        """The reference to a scope's result, as in its plan; `Propagation` may have shortened it."""
        needed = next(steps_in(decode_expr(result_expr)), None) if result_expr is not None else None
        if needed is None or needed == RUN:
            return result_expr
        found = self._graph.steps[needed]
        if found.scope == scope.step:
            return result_expr
        while found.scope != scope.step:
            found = self._graph.steps[found.scope]
        return encode_expr(Ref(found.step))

    def _counts_row(self, step: StepRow) -> Row:
        return (self._run_id, step.step, step.waiting_on, step.failed_above, step.skipped_above)

    def _alarms(self) -> list[Row]:
        """The alarms of the reset steps, and of the run if it had ended, counted from now."""
        of_run = self._graph.run.is_final or self._source is not None
        alarms: list[Row] = []
        for step, kind, seconds in self._act.tx.all("alarms_of_run", run_id=self._source or self._run_id):
            if not (of_run if step == RUN else self._is_reset(step)):
                continue
            if kind == WAIT_ALARM:  # set when the wait begins
                self._act.tx.later("drop_alarm", run_id=self._run_id, step=step, kind=kind)
            else:
                due = self._act.tx.time(self._act.now + timedelta(seconds=seconds or 0.0))
                alarms.append((self._run_id, step, kind, due, seconds))
        return alarms

    def _reopen_run(self, waiting_on: int) -> None:
        run = self._graph.run
        status, intent, outcome, error = run.status, run.intent, run.outcome, run.error
        if run.is_final:
            status = RunStatus.PENDING if run.started_at is None else RunStatus.RUNNING
        if RUN in self._reopening.outcome_unknown:
            intent = outcome = error = None
        elif run.is_final and intent is None:
            outcome, error = self._propagation.outcome_of(self._run_id, RUN)
        elif run.is_final:  # undo the effect of a hook on the outcome
            outcome, error = intent, error if intent == RunStatus.FAILED else None
        self._act.tx.later(
            "reopen_run", run_id=self._run_id, status=status, intent=intent, outcome=outcome, error=error,
            waiting_on=waiting_on, discarded=len(self._reopening.discarded),
        )  # fmt: skip
        self._act.tx.later("reopen_tick", run_id=self._run_id)
        if self._limit is not None:
            self._act.tx.later("set_run_limit", run_id=self._run_id, name=self._limit[0], key=self._limit[1])

    def _is_passing(self, step: int) -> bool:
        verdict = self.recounted.verdicts[step]
        return verdict is JoinVerdict.SKIP or (verdict is JoinVerdict.START and self._graph.steps[step].is_passed)

    def _without_worker(self) -> list[Item]:
        """What continues without a worker: joins and waits, steps that are skipped, scopes whose steps have ended."""
        run_id, steps = self._run_id, self._graph.steps
        finishes: list[Item] = []
        joins: list[int] = []
        for number in sorted(self._passing):
            if self.recounted.verdicts[number] is JoinVerdict.SKIP:
                finishes.append(Finish(run_id, number, steps[number].attempt, StepStatus.BLOCKED, StepStatus.SKIPPED))
            else:
                joins.append(number)
        finishes += self._propagation.pass_open(run_id, joins)
        for step in self._steps(self._reopening.reopened):
            if not step.waiting_on:
                finishes += self._propagation.end_scope(run_id, step.step, step.attempt)
        return finishes


def _unarmed(row: ResetRow) -> ResetRow:
    """The row of a step that may not start yet, because its run is still final."""
    return row._replace(status=StepStatus.BLOCKED.value, gate=None, ready_at=None)


def _arming(row: ResetRow) -> Row:
    return (row.run_id, row.step, row.gate, row.ready_at)
