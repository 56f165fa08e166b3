"""Processes a batch of finished steps with all consequences, within one transaction.

A finish releases children. Some of them need no worker: joins are passed through, steps whose join rule can no longer
be satisfied are skipped, runs and scopes that wait for nothing more end. Each of those is a finish, too, so this
repeats until nothing is left, or until the transaction has done enough: then the rest is recorded as unfinished
(`unfinished`).

A *scope* is the owner of a set of steps: the run, or a step whose task returned a plan. Both end the same way: the
outcome of its steps is settled, then its hooks (on_success, on_failure, finally) run, then it is final.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import NamedTuple, assert_never

import msgspec

from segue.engine.act import Act
from segue.engine.ending import fail_fast
from segue.engine.lane_closing import close_lane
from segue.engine.notes import note_finishes, note_run_end
from segue.engine.rows import due_at
from segue.engine.stored import error_of, failure_of, moment_of
from segue.engine.unfinished import AT_ONCE, FOLLOW_COST, LEAST, PART, PART_SECONDS, ROUND_COST, Item, Write, leave
from segue.engine.waits import Failing, begin_waits
from segue.errors import SerializationError
from segue.model import (
    ENGINE_TASKS,
    RUN,
    ErrorInfo,
    Expr,
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
from segue.store.protocol import RELEASED_AT_ONCE, Finish, Finished, Follow, FollowKind, Later

LONGEST_PATH = 4000
"""The maximum number of characters that an error spends on the plans through which it came."""

_encode = msgspec.json.Encoder().encode


class _State(NamedTuple):
    """A step that no worker executes, as the statement `join_state` returns it."""

    attempt: int
    result_expr: str | None
    has_hooks: bool
    outcome: str | None  # of its scope, once that is decided
    task: str | None  # None for a join
    error: str | None
    has_result: bool
    lane: str | None
    status: str

    @property
    def is_scope(self) -> bool:
        """Whether its task returned a plan, which is what it waits for."""
        return self.task is not None and self.task not in ENGINE_TASKS and not is_open(self.lane)


_UNASKED = _State(0, None, False, None, None, None, False, None, "")
_FEWEST_TOGETHER = 2  # of joins and scopes, for it to be worth while to ask about them at once


class Propagation:
    """The acts of one transaction that finish steps."""

    def __init__(self, act: Act) -> None:
        self._act = act
        self.started = 0  # steps that became claimable
        self._queue: list[Item] = []  # the remaining work
        self._left = PART  # how much work this transaction may still do
        self._until = time.monotonic() + PART_SECONDS  # ... and for how long
        self._waits: list[tuple[str, int]] = []  # steps that may begin to wait
        self._failing: list[Failing] = []
        self._states: dict[tuple[str, int], _State | None] = {}  # of joins and scopes of this round, as asked ahead
        self._failures: dict[tuple[str, int], Later] = {}  # the failures of its scopes, likewise

    @property
    def has_time(self) -> bool:
        """Whether this transaction may do more work."""
        return self._left > 0 and (self._left > PART - LEAST or time.monotonic() < self._until)

    def run(self, batch: Sequence[Item], *, first: Finished | None = None, ending: Sequence[str] = ()) -> int:
        """Finish `batch` with all consequences. Returns how many of its first round were not refused.

        `first` is the answer to the batch if it was already sent. The batch may also contain consequences of earlier
        ends. `ending` are runs with an intent (failed fast, being cancelled): they end when none of their steps is
        busy, regardless of their counters.
        """
        if first is not None:
            recorded = first.recorded
            self._hear(first)
        else:
            self._queue += batch
            recorded = self._go_round() if batch else 0
        while (self._queue and self.has_time) or self._waits:
            self._go_round()
        if self._queue:
            leave(self._act, self._queue)
            self._queue = []
        for run_id in (*ending, *self._fail_fast()) if ending or self._failing else ():
            if not self._act.tx.all("is_busy", run_id=run_id):
                self.run(self._end_run(run_id))
        return recorded

    def pass_joins(self, run_id: str, joins: Sequence[int]) -> None:
        """Pass joins that wait for nothing, right after their rows were inserted."""
        self.run(self.pass_open(run_id, joins))

    def pass_open(self, run_id: str, joins: Sequence[int]) -> list[Item]:
        """The items that pass joins which wait for nothing."""
        return [Follow(run_id, step, 0, FollowKind.JOIN) for step in joins]

    def end_empty_run(self, run_id: str) -> None:
        """End a run that has nothing to wait for."""
        self.run(self._end_run(run_id))

    def end_scope(self, run_id: str, step: int, attempt: int) -> list[Item]:
        """The items that end a step whose plan has nothing to wait for."""
        return [Follow(run_id, step, attempt, FollowKind.JOIN)]

    def note_started(self, steps: int) -> None:
        """Count steps that became claimable when they were inserted."""
        self.started += steps

    def _go_round(self) -> int:
        """Do the next item of the queue. Returns how many ends were recorded."""
        items, self._queue = self._queue[:AT_ONCE], self._queue[AT_ONCE:]
        finishes: list[Finish] = []
        self._look_ahead(items)
        for item in items:
            if isinstance(item, Finish):
                finishes.append(item)
            elif isinstance(item, Write):
                self._write(item)
            else:
                finishes += self._follow(item)
        if self._waits:
            finishes += self._begin_waits()
        self._left -= ROUND_COST + len(items)
        if not finishes:
            return 0
        finished = self._act.tx.finish(finishes, self._act.now).result()
        note_finishes(self._act, finishes, finished.recorded)
        self._hear(finished)
        return finished.recorded

    def _look_ahead(self, items: Sequence[Item]) -> None:
        """Ask about all joins and scopes of a round at once. What ends in a round is only written behind it."""
        joins = [item for item in items if isinstance(item, Follow) and item.kind == FollowKind.JOIN]
        if len(joins) < _FEWEST_TOGETHER:
            return
        tx = self._act.tx
        asked = [(join, tx.later("join_state", run_id=join.run_id, step=join.step)) for join in joins]
        for join, later in asked:
            state = next((_State(*row) for row in later.rows()), None)
            self._states[join.run_id, join.step] = state
            if state is not None and state.is_scope and state.outcome is None:
                self._failures[join.run_id, join.step] = tx.later(
                    "unhandled_failure", run_id=join.run_id, scope=join.step
                )

    def _write(self, write: Write) -> None:
        if write.rows is None:
            self._act.tx.all(write.statement, **write.parameters)
        else:
            self._act.tx.each(write.statement, [tuple(row) for row in write.rows])
            self._left -= len(write.rows)

    def _hear(self, finished: Finished, *, released: int = 0) -> None:
        self.started += finished.started
        for follow in finished.follow:
            if follow.kind == FollowKind.ENDED:
                note_run_end(self._act, follow.run_id, RunStatus.SUCCEEDED)
            elif follow.kind == FollowKind.TELL:
                self._queue.append(follow._replace(attempt=follow.attempt + released))
            else:
                self._queue.append(follow)

    def _follow(self, follow: Follow) -> list[Finish]:
        match FollowKind(follow.kind):
            case FollowKind.ENDED:
                return []
            case FollowKind.DRAINED:
                return self._end_run(follow.run_id)
            case FollowKind.SKIP:
                return [_from_blocked(follow.run_id, follow.step, follow.attempt, StepStatus.SKIPPED)]
            case FollowKind.JOIN:
                self._left -= FOLLOW_COST
                return self._pass_through(follow)
            case FollowKind.TELL:
                self._left -= RELEASED_AT_ONCE
                finished = self._act.tx.release_more(follow.run_id, follow.step, follow.attempt, self._act.now).result()
                self._hear(finished, released=follow.attempt)
                return []
            case unknown:
                assert_never(unknown)

    def _begin_waits(self) -> list[Finish]:
        """Let the steps that were passed begin to wait. Returns those that need not wait at all."""
        waits, self._waits = self._waits, []
        begun = begin_waits(self._act, waits)
        self._failing += begun.failing
        return begun.finishes

    def _fail_fast(self) -> list[str]:
        """End the runs that fail fast and in which a wait failed. Returns their ids."""
        failing, self._failing = self._failing, []
        return [run_id for run_id, name, error in failing if fail_fast(self._act, run_id, name, error)]

    # Joins and scopes ------------------------------------------------------------------------------------------

    def _pass_through(self, follow: Follow) -> list[Finish]:
        """A step that waits for nothing more, and that no worker executes: its kind decides what follows."""
        run_id, step = follow.run_id, follow.step
        state = self._states.pop((run_id, step), _UNASKED)
        if state is _UNASKED:
            state = self._state_of(run_id, step)
        if state is None or state.status != StepStatus.BLOCKED:
            return []  # its run was ended before its turn came
        if state.task is None:
            return [_from_blocked(run_id, step, state.attempt, StepStatus.SUCCEEDED)]  # a join
        if state.task in ENGINE_TASKS:
            self._waits.append((run_id, step))
            return []
        if is_open(state.lane):
            return self._close_lane(run_id, step, state.lane)
        return self._end_scope(run_id, step, state)

    def _state_of(self, run_id: str, step: int) -> _State | None:
        rows = self._act.tx.all("join_state", run_id=run_id, step=step)
        return _State(*rows[0]) if rows else None

    def _end_scope(self, run_id: str, step: int, state: _State) -> list[Finish]:
        """The steps of a scope have ended, or its hooks: start the hooks, or end the step that returned the plan."""
        outcome, error = state.outcome, state.error
        if outcome is None:
            outcome, error = self.outcome_of(run_id, step)
            if state.has_hooks:
                waiting, finishes = self._start_hooks(run_id, step, outcome)
                if waiting:
                    self._act.tx.all(
                        "set_scope_outcome", run_id=run_id, step=step, outcome=outcome, error=error, waiting_on=waiting
                    )
                    return finishes
        else:
            outcome, error = self._after_hooks(run_id, step, outcome, error)
        if outcome == RunStatus.SUCCEEDED:
            self._shorten(run_id, step, state.result_expr)
            return [_from_blocked(run_id, step, state.attempt, StepStatus.SUCCEEDED)]
        return [_from_blocked(run_id, step, state.attempt, StepStatus.FAILED, _step_error(error))]

    def _after_hooks(self, run_id: str, scope: int, outcome: str, error: str | None) -> tuple[str, str | None]:
        """The outcome of a scope after its hooks: a hook that failed makes it a failure."""
        failed = self._act.tx.all("failed_hook", run_id=run_id, scope=scope)
        if failed and outcome != RunStatus.FAILED:
            return RunStatus.FAILED.value, _failure(failed[0])
        return outcome, error

    def _close_lane(self, run_id: str, step: int, lane: str) -> list[Finish]:
        begun = close_lane(self._act, run_id, step, lane)
        if begun is None:
            self.started += 1
            return []
        self._failing += begun.failing
        return begun.finishes

    def _shorten(self, run_id: str, step: int, result_expr: str | None) -> None:
        """Make a step whose result is that of another scope refer to the other's own reference, so that no chain grows.

        A reference to no step stays: a reopening must see from the steps below that a reference was shortened.
        """
        expr = _expr_or_none(result_expr)
        if isinstance(expr, Ref) and not expr.path:
            beneath = self._state_of(run_id, expr.step)
            if beneath is None or beneath.result_expr is None or beneath.has_result:
                return
            below = _expr_or_none(beneath.result_expr)
            if below is not None and next(steps_in(below), None) is not None:
                self._act.tx.all("set_result_expr", run_id=run_id, step=step, result_expr=beneath.result_expr)

    def outcome_of(self, run_id: str, scope: int) -> tuple[str, str | None]:
        """How the steps of a scope ended, hooks aside, and the JSON of the failure that decided."""
        asked = self._failures.pop((run_id, scope), None)
        failed = (asked or self._act.tx.later("unhandled_failure", run_id=run_id, scope=scope)).rows()
        if failed:
            return RunStatus.FAILED.value, _failure(failed[0])
        return RunStatus.SUCCEEDED.value, None

    # Runs ------------------------------------------------------------------------------------------------------

    def _end_run(self, run_id: str) -> list[Finish]:
        tx = self._act.tx
        status, intent, outcome, waiting_on, has_hooks, error = tx.all("run_state", run_id=run_id)[0]
        if RunStatus(status).is_final or (outcome is not None and waiting_on > 0):
            return []
        if outcome is None:
            if intent is not None:
                outcome = intent
            elif waiting_on > 0:
                return []  # it continues: a person reset a part of it before its turn came
            else:
                outcome, error = self.outcome_of(run_id, RUN)
            if has_hooks:
                waiting, finishes = self._start_hooks(run_id, RUN, outcome)
                if waiting:
                    tx.all("set_run_outcome", run_id=run_id, outcome=outcome, error=error, waiting_on=waiting)
                    return finishes
        else:
            outcome, error = self._after_hooks(run_id, RUN, outcome, error)
        tx.all("end_run", run_id=run_id, status=outcome, now=self._act.now, error=error)
        note_run_end(self._act, run_id, outcome, error)
        return []

    def _start_hooks(self, run_id: str, scope: int, outcome: str) -> tuple[int, list[Finish]]:
        """Start the hooks that `outcome` calls for. Returns how many ends the scope waits for, and what to finish."""
        waiting, finishes = 0, []
        for step, hook, attempt, status, children in self._act.tx.all("hooks_of_scope", run_id=run_id, scope=scope):
            if status != StepStatus.BLOCKED:
                continue
            if is_called(hook, outcome):
                waiting += scope in self._act.tx.integers(children)
                finishes += self._start_hook(run_id, step, attempt)
            else:  # with all that depends on it, which are hooks of the same kind: no event is needed
                self._act.tx.all("skip_hook", run_id=run_id, step=step, now=self._act.now)
                if self._act.journal is not None:
                    self._act.journal.note("step.skipped", run_id, step, attempt)
        return waiting, finishes

    def _start_hook(self, run_id: str, step: int, attempt: int) -> list[Finish]:
        delay, not_before, is_join, waiting_on, rule, skipped = self._act.tx.all(
            "hook_state", run_id=run_id, step=step
        )[0]
        due = due_at(self._act.now, delay, moment_of(self._act.tx, not_before))
        left = waiting_on - 1
        # Parents may have ended before it was called: those that a person skipped.
        verdict = judge_join(rule, left, 0, skipped, 0) if left or skipped else JoinVerdict.START
        starts = verdict is JoinVerdict.START and not is_join
        self._act.tx.all(
            "count_down_hook", run_id=run_id, step=step,
            status=StepStatus.READY if starts else StepStatus.BLOCKED,
            ready_at=due if starts else not_before, gate="timer" if starts and due > self._act.now else None,
        )  # fmt: skip
        self.started += starts
        if verdict is JoinVerdict.SKIP:
            return [_from_blocked(run_id, step, attempt, StepStatus.SKIPPED)]
        is_passed = verdict is JoinVerdict.START and is_join
        return self._pass_through(Follow(run_id, step, attempt, FollowKind.JOIN)) if is_passed else []


def _expr_or_none(text: str | None) -> Expr | None:
    """An unreadable text counts as no reference: a read of that result raises the error."""
    try:
        return decode_expr(text) if text else None
    except SerializationError:
        return None


def is_called(hook: str, outcome: str) -> bool:
    """Whether a hook runs after this outcome."""
    match Hook(hook):
        case Hook.ON_SUCCESS:
            return outcome == RunStatus.SUCCEEDED
        case Hook.ON_FAILURE:
            return outcome == RunStatus.FAILED
        case Hook.FINALLY:
            return True
        case unknown:
            assert_never(unknown)


def _from_blocked(run_id: str, step: int, attempt: int, status: StepStatus, error: str | None = None) -> Finish:
    return Finish(run_id, step, attempt, StepStatus.BLOCKED, status, None, error)


def _failure(row: tuple[int, str, str | None]) -> str:
    _, name, error = row
    info = error_of(error) or ErrorInfo("Failed", "it failed without an error")
    return _encode(FailureInfo(name, info.type, info.message)).decode()


def _step_error(failure: str | None) -> str | None:
    """A scope's failure as the error of the step that returned its plan."""
    info = failure_of(failure)
    if info is None:
        return None
    message = info.message
    if len(message) > LONGEST_PATH and message.startswith("in "):  # nested plans: each would add to the inner message
        message = f"... {message[-LONGEST_PATH:]}"
    return _encode(ErrorInfo(info.type, f"in {info.step}: {message}")).decode()
