"""Writes a reopening down: rows, counters, edges, the run itself; then carries on what needs no worker."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta

from segue.engine.admission import admit_after
from segue.engine.pausing import hold_steps
from segue.engine.reopening.recount import Recounted, recount
from segue.engine.reopening.reopen import Reopening
from segue.engine.reopening.run_graph import StepRow
from segue.engine.settle import Settler
from segue.engine.waits import WAIT_ALARM
from segue.model import RUN, Gate, JoinVerdict, Ref, RunStatus, StepStatus
from segue.plan.codec import decode_expr, encode_expr, steps_in
from segue.store.protocol import Finish, Row, Store, Transaction


def write_reopening(
    store: Store, tx: Transaction, run_id: str, reopening: Reopening, now: datetime, *,
    finishes: Sequence[Finish] = (), source: str | None = None,
) -> str:  # fmt: skip
    """Write it down, and finish what is to be finished by hand; returns the status of the run afterwards.

    With `source` the run is a new one that was copied from that.
    """
    return _Rewriting(store, tx, run_id, reopening, now, source).write(finishes)


class _Rewriting:
    def __init__(
        self, store: Store, tx: Transaction, run_id: str, reopening: Reopening, now: datetime, source: str | None
    ) -> None:
        self._store = store
        self._tx = tx
        self._run_id = run_id
        self._reopening = reopening
        self._graph = reopening.graph
        self._now = now
        self._source = source
        self._settler = Settler(store, tx, now)

    def write(self, finishes: Sequence[Finish]) -> str:
        tx, run_id = self._tx, self._run_id
        recounted = recount(self._reopening)
        self._discard()
        resets = [self._reset_row(step, recounted.verdicts) for step in self._steps(self._changed_but_scopes())]
        tx.each("reset_steps", resets)
        tx.each("reopen_scopes", self._scope_rows())
        tx.each("recount_steps", [self._counts_row(step) for step in recounted.counts])
        array = self._store.array
        tx.each("change_edges", [(run_id, step.step, array(step.children)) for step in recounted.edges])
        self._set_alarms()
        self._reopen_run(recounted.waiting_on)
        self._settler.settle([*finishes, *self._open(recounted)])
        if not recounted.waiting_on:
            self._settler.end_empty_run(run_id)
        if self._graph.run.status == RunStatus.PAUSED:
            hold_steps(tx, [run_id])
        tx.later("hold_unadmitted", run_id=run_id)
        admit_after(self._store, tx, self._now, [run_id])
        tx.later("wake")
        return str(tx.all("run_status", run_id=run_id)[0][0])

    def _steps(self, numbers: set[int]) -> list[StepRow]:
        return [self._graph.steps[number] for number in sorted(numbers - self._reopening.discarded)]

    def _changed_but_scopes(self) -> set[int]:
        return self._reopening.reset | self._reopening.held

    def _discard(self) -> None:
        """Delete what is thrown away; of what is reset, only how far it had come."""
        gone = sorted(self._reopening.discarded)
        if gone:
            for statement in ("discard_steps", "discard_labels", "discard_alarms"):
                self._tx.later(statement, run_id=self._run_id, steps=gone)
        forgotten = sorted(self._reopening.discarded | self._changed_but_scopes())
        if forgotten:
            self._tx.later("discard_progress", run_id=self._run_id, steps=forgotten)

    def _reset_row(self, step: StepRow, verdicts: dict[int, JoinVerdict]) -> Row:
        status, gate = StepStatus.BLOCKED, None
        # What has never begun may have been planned for later.
        ready_at = self._store.datetime(step.ready_at) if step.started_at is None else None
        if verdicts.get(step.step) is JoinVerdict.START and not step.is_passed:
            status = StepStatus.READY
            ready_at = max(self._now, ready_at or self._now)
            gate = Gate.TIMER if ready_at > self._now else Gate.LIMIT if step.lane is not None else None
        is_emptied = step.step not in self._reopening.held and step.task is not None
        return (
            self._run_id, step.step, is_emptied, step.is_passed or step.is_scope, step.rule,
            status.value, gate and gate.value, ready_at and self._store.time(ready_at), step.attempt,
            step.waiting_on, step.failed_above, step.skipped_above, step.lane,
        )  # fmt: skip

    def _scope_rows(self) -> list[Row]:
        scopes = self._steps(self._reopening.reopened)
        if not scopes:
            return []
        numbers = [step.step for step in scopes]
        exprs: dict[int, str | None] = dict(self._tx.all("result_exprs", run_id=self._run_id, steps=numbers))
        return [self._scope_row(step, exprs[step.step]) for step in scopes]

    def _scope_row(self, step: StepRow, result_expr: str | None) -> Row:
        outcome: str | None = None
        error: str | None = None
        if step.step not in self._reopening.anew:
            outcome, error = self._settler.outcome_of(self._run_id, step.step)
        return (self._run_id, step.step, step.waiting_on, outcome, error, self._own_expr(step, result_expr))

    def _own_expr(self, scope: StepRow, result_expr: str | None) -> str | None:
        """Where a scope's result is, as its plan said it: `Settler` may have shortened that to one further inside."""
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

    def _set_alarms(self) -> None:
        """What is still to be looked at counts from now: of what was reset, and of the run when it had ended."""
        reset = self._changed_but_scopes() - self._reopening.discarded
        if self._graph.run.is_final or self._source is not None:
            reset.add(RUN)
        alarms: list[Row] = []
        for step, kind, seconds in self._tx.all("alarms_of_run", run_id=self._source or self._run_id):
            if step not in reset:
                continue
            if kind == WAIT_ALARM:  # it is set when the wait begins
                self._tx.later("drop_alarm", run_id=self._run_id, step=step, kind=kind)
            else:
                due = self._store.time(self._now + timedelta(seconds=seconds or 0.0))
                alarms.append((self._run_id, step, kind, due, seconds))
        self._tx.each("put_alarms", alarms)

    def _reopen_run(self, waiting_on: int) -> None:
        run = self._graph.run
        status, intent, outcome, error = run.status, run.intent, run.outcome, run.error
        if run.is_final:
            status = RunStatus.PENDING if run.started_at is None else RunStatus.RUNNING
        if RUN in self._reopening.anew:
            intent = outcome = error = None
        elif run.is_final and intent is None:
            outcome, error = self._settler.outcome_of(self._run_id, RUN)
        elif run.is_final:  # what a hook made of it is taken back
            outcome, error = intent, error if intent == RunStatus.FAILED else None
        self._tx.later(
            "reopen_run", run_id=self._run_id, status=status, intent=intent, outcome=outcome, error=error,
            waiting_on=waiting_on, discarded=len(self._reopening.discarded),
        )  # fmt: skip
        self._tx.later("reopen_tick", run_id=self._run_id)

    def _open(self, recounted: Recounted) -> list[Finish]:
        """What can go on at once without a worker: joins and waits, steps that are skipped, scopes that are done."""
        run_id, steps = self._run_id, self._graph.steps
        finishes: list[Finish] = []
        joins: list[int] = []
        for number, verdict in recounted.verdicts.items():
            if verdict is JoinVerdict.SKIP:
                finishes.append(Finish(run_id, number, steps[number].attempt, StepStatus.BLOCKED, StepStatus.SKIPPED))
            elif verdict is JoinVerdict.START and steps[number].is_passed:
                joins.append(number)
        finishes += self._settler.pass_open(run_id, joins)
        for step in self._steps(self._reopening.reopened):
            if not step.waiting_on:
                finishes += self._settler.end_scope(run_id, step.step, step.attempt)
        return finishes
