"""Carries a batch of finished steps through to its end, within one transaction.

A finish releases children. Some of them need no worker: joins are passed through, steps whose join rule can no longer
hold are skipped, runs and scopes that wait for nothing more end. Each of those finishes again, so this goes round until
quiet.

A *scope* is what a set of steps belongs to: the run, or a step whose task returned a plan. Both end the same way: the
outcome of its steps is settled, then its hooks (on_success, on_failure, finally) run, then it is final.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

import msgspec

from segue.engine.ending import fail_fast
from segue.engine.happenings import note_finishes, note_run_end
from segue.engine.lane_closing import close_lane
from segue.engine.rows import due_at
from segue.engine.waits import Failing, begin_waits
from segue.model import (
    ENGINE_TASKS,
    RUN,
    ErrorInfo,
    FailureInfo,
    Hook,
    JoinVerdict,
    Ref,
    RunStatus,
    StepStatus,
    judge_join,
)  # fmt: skip
from segue.plan.codec import decode_expr, steps_in
from segue.plan.lanes import is_open
from segue.store.protocol import Finish, Finished, Follow, FollowKind, Store, Transaction

_encode = msgspec.json.Encoder().encode
_decode_error = msgspec.json.Decoder(ErrorInfo).decode


class Settler:
    """The acts of one transaction that finish steps."""

    def __init__(self, store: Store, tx: Transaction, now: datetime) -> None:
        self._store = store
        self._tx = tx
        self._now = now
        self.started = 0  # steps that became claimable
        self.ended: list[str] = []  # runs that became final
        self._waits: list[tuple[str, int]] = []  # steps that may begin to wait
        self._failing: list[Failing] = []

    def settle(self, batch: Sequence[Finish], *, first: Finished | None = None, ending: Sequence[str] = ()) -> int:
        """Finish `batch` and all that follows; returns how many of the batch were not refused.

        `first` is what came of it when it was already sent.
        `ending` are runs with an intent (failed fast, being cancelled): they end when nothing of theirs is busy,
        whatever their counters say.
        """
        if first is None:
            batch = [*batch, *self._begin_waits()] if self._waits else batch
            first = self._finish(batch) if batch else Finished(0, 0, [])
        pending = self._follow(first)
        while pending:
            pending = self._follow(self._finish(pending))
        for run_id in (*ending, *self._fail_fast()) if ending or self._failing else ():
            if self._tx.all("count_busy", run_id=run_id)[0][0] == 0:
                self.settle(self._end_run(run_id))
        return first.recorded

    def pass_joins(self, run_id: str, joins: Sequence[int]) -> None:
        """Pass joins that wait for nothing, right after their rows were inserted."""
        self.settle(self.pass_open(run_id, joins))

    def pass_open(self, run_id: str, joins: Sequence[int]) -> list[Finish]:
        """What is to be finished when joins that wait for nothing are passed."""
        return [finish for step in joins for finish in self._pass_through(Follow(run_id, step, 0, FollowKind.JOIN))]

    def end_empty_run(self, run_id: str) -> None:
        """End a run that has nothing to wait for."""
        self.settle(self._end_run(run_id))

    def end_scope(self, run_id: str, step: int, attempt: int) -> list[Finish]:
        """End a step whose plan has nothing to wait for; returns what is to be finished."""
        return self._pass_through(Follow(run_id, step, attempt, FollowKind.JOIN))

    def note_started(self, steps: int) -> None:
        """Count steps that became claimable by being inserted."""
        self.started += steps

    def _finish(self, batch: Sequence[Finish]) -> Finished:
        finished = self._tx.finish(batch, self._now).result()
        note_finishes(self._tx, batch, finished.recorded, self._now)
        return finished

    def _follow(self, finished: Finished) -> list[Finish]:
        self.started += finished.started
        again: list[Finish] = []
        for follow in finished.follow:
            match FollowKind(follow.kind):
                case FollowKind.ENDED:
                    self._note_end(follow.run_id)
                    note_run_end(self._tx, follow.run_id, RunStatus.SUCCEEDED)
                case FollowKind.QUIET:
                    again += self._end_run(follow.run_id)
                case FollowKind.SKIP:
                    again.append(_from_blocked(follow.run_id, follow.step, follow.attempt, StepStatus.SKIPPED))
                case FollowKind.JOIN:
                    again += self._pass_through(follow)
        return again + self._begin_waits() if self._waits else again

    def _begin_waits(self) -> list[Finish]:
        """Let those begin to wait that were passed; returns what need not wait at all."""
        waits, self._waits = self._waits, []
        begun = begin_waits(self._store, self._tx, waits, self._now)
        self._failing += begun.failing
        return begun.finishes

    def _fail_fast(self) -> list[str]:
        """End the runs that do so at the first failure and in which a wait failed; returns their ids."""
        failing, self._failing = self._failing, []
        return [run_id for run_id, name, error in failing if fail_fast(self._tx, run_id, name, error, self._now)]

    # Joins and scopes ------------------------------------------------------------------------------------------

    def _pass_through(self, follow: Follow) -> list[Finish]:
        run_id, step = follow.run_id, follow.step
        attempt, result_expr, has_hooks, outcome, task, error, _, lane = self._tx.all(
            "join_state", run_id=run_id, step=step
        )[0]
        if task is None:
            return [_from_blocked(run_id, step, attempt, StepStatus.SUCCEEDED)]
        if task in ENGINE_TASKS:
            self._waits.append((run_id, step))
            return []
        if is_open(lane):
            return self._close_lane(run_id, step, lane)
        if outcome is None:
            outcome, error = self.outcome_of(run_id, step)
            if has_hooks:
                waiting, finishes = self._start_hooks(run_id, step, outcome)
                if waiting:
                    self._tx.all(
                        "set_scope_outcome", run_id=run_id, step=step, outcome=outcome, error=error, waiting_on=waiting
                    )
                    return finishes
        else:
            failed = self._tx.all("failed_hook", run_id=run_id, scope=step)
            if failed and outcome != RunStatus.FAILED:
                outcome, error = RunStatus.FAILED.value, _failure(failed[0])
        if outcome == RunStatus.SUCCEEDED:
            self._shorten(run_id, step, result_expr)
            return [_from_blocked(run_id, step, attempt, StepStatus.SUCCEEDED)]
        return [_from_blocked(run_id, step, attempt, StepStatus.FAILED, _step_error(error))]

    def _close_lane(self, run_id: str, step: int, lane: str) -> list[Finish]:
        begun = close_lane(self._store, self._tx, run_id, step, lane, self._now)
        if begun is None:
            self.started += 1
            return []
        self._failing += begun.failing
        return begun.finishes

    def _shorten(self, run_id: str, step: int, result_expr: str | None) -> None:
        """Let a step whose result is another scope's refer to where that one's is: no chain of references grows.

        What refers to no step stays: a reopening must see from the steps beneath that a reference was shortened.
        """
        expr = decode_expr(result_expr) if result_expr else None
        if isinstance(expr, Ref) and not expr.path:
            beneath = self._tx.all("join_state", run_id=run_id, step=expr.step)
            if not beneath or beneath[0][1] is None or beneath[0][6]:
                return
            if next(steps_in(decode_expr(beneath[0][1])), None) is not None:
                self._tx.all("set_result_expr", run_id=run_id, step=step, result_expr=beneath[0][1])

    def outcome_of(self, run_id: str, scope: int) -> tuple[str, str | None]:
        """How the steps of a scope ended, hooks aside, and the JSON of the failure that decided."""
        failed = self._tx.all("unhandled_failure", run_id=run_id, scope=scope)
        if failed:
            return RunStatus.FAILED.value, _failure(failed[0])
        return RunStatus.SUCCEEDED.value, None

    # Runs ------------------------------------------------------------------------------------------------------

    def _end_run(self, run_id: str) -> list[Finish]:
        tx = self._tx
        status, intent, outcome, waiting_on, has_hooks, error = tx.all("run_state", run_id=run_id)[0]
        if RunStatus(status).is_final or (outcome is not None and waiting_on > 0):
            return []
        if outcome is None:
            if intent is not None:
                outcome = intent
            else:
                outcome, error = self.outcome_of(run_id, RUN)
            if has_hooks:
                waiting, finishes = self._start_hooks(run_id, RUN, outcome)
                if waiting:
                    tx.all("set_run_outcome", run_id=run_id, outcome=outcome, error=error, waiting_on=waiting)
                    return finishes
        else:
            failed = tx.all("failed_hook", run_id=run_id, scope=RUN)
            if failed and outcome != RunStatus.FAILED:
                outcome, error = RunStatus.FAILED.value, _failure(failed[0])
        tx.all("end_run", run_id=run_id, status=outcome, now=self._now, error=error)
        self._note_end(run_id)
        note_run_end(tx, run_id, outcome, error)
        return []

    def _note_end(self, run_id: str) -> None:
        self.ended.append(run_id)
        if self._tx.ended_runs is not None:
            self._tx.ended_runs.append(run_id)

    def _start_hooks(self, run_id: str, scope: int, outcome: str) -> tuple[int, list[Finish]]:
        """Start the hooks that `outcome` calls for. Returns how many ends the scope waits for, and what to finish."""
        waiting, finishes = 0, []
        for step, hook, attempt, status, children in self._tx.all("hooks_of_scope", run_id=run_id, scope=scope):
            if status != StepStatus.BLOCKED:
                continue
            if is_called(hook, outcome):
                waiting += scope in self._store.integers(children)
                finishes += self._start_hook(run_id, step, attempt)
            else:  # with all that depends on it, which is a hook of the same kind: nobody need be told
                self._tx.all("skip_hook", run_id=run_id, step=step, now=self._now)
                if self._tx.journal is not None:
                    self._tx.journal.note("step.skipped", run_id, step, attempt)
        return waiting, finishes

    def _start_hook(self, run_id: str, step: int, attempt: int) -> list[Finish]:
        delay, not_before, is_join, waiting_on, rule, skipped = self._tx.all("hook_state", run_id=run_id, step=step)[0]
        due = due_at(self._now, delay, self._store.datetime(not_before))
        left = waiting_on - 1
        # Parents may have ended before it was told: those that somebody skipped.
        verdict = judge_join(rule, left, 0, skipped, 0) if left or skipped else JoinVerdict.START
        starts = verdict is JoinVerdict.START and not is_join
        self._tx.all(
            "tell_hook", run_id=run_id, step=step,
            status=StepStatus.READY if starts else StepStatus.BLOCKED,
            ready_at=due if starts else not_before, gate="timer" if starts and due > self._now else None,
        )  # fmt: skip
        self.started += starts
        if verdict is JoinVerdict.SKIP:
            return [_from_blocked(run_id, step, attempt, StepStatus.SKIPPED)]
        is_passed = verdict is JoinVerdict.START and is_join
        return self._pass_through(Follow(run_id, step, attempt, FollowKind.JOIN)) if is_passed else []


def is_called(hook: str, outcome: str) -> bool:
    """Whether a hook runs after this outcome."""
    match Hook(hook):
        case Hook.ON_SUCCESS:
            return outcome == RunStatus.SUCCEEDED
        case Hook.ON_FAILURE:
            return outcome == RunStatus.FAILED
        case Hook.FINALLY:
            return True


def _from_blocked(run_id: str, step: int, attempt: int, status: StepStatus, error: str | None = None) -> Finish:
    return Finish(run_id, step, attempt, StepStatus.BLOCKED, status, None, error)


def _failure(row: tuple[int, str, str | None]) -> str:
    _, name, error = row
    info = _decode_error(error) if error else ErrorInfo("Failed", "it failed without an error")
    return _encode(FailureInfo(name, info.type, info.message)).decode()


def _step_error(failure: str | None) -> str | None:
    """A scope's failure as the error of the step that returned its plan."""
    if failure is None:
        return None
    info = msgspec.json.decode(failure, type=FailureInfo)
    return _encode(ErrorInfo(info.type, f"in {info.step}: {info.message}")).decode()
