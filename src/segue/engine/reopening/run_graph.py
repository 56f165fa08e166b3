"""A whole run in memory: its steps, their edges, and the scope of each step.

It serves the verbs, which may change any part of a run; turns never load one. The caller holds the run's lock.

A *scope* contains steps: it is the run (RUN), or the step whose task returned a plan with these steps. Steps inside a
scope have larger numbers than the scope. An edge is the number of the child; `-2 - step` is an edge to a child that
started without waiting for this step (`forget_late_parents`).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import msgspec

from segue.engine.act import Act
from segue.engine.reopening.ahead import LARGE_RUN, BufferedWrites, LargeRun
from segue.engine.transitions import LIVE
from segue.engine.unfinished import refuse_unfinished
from segue.errors import RunNotFoundError, StepNotFoundError, StoreConflictError
from segue.given import shown
from segue.model import ENGINE_TASKS, FINAL_STEP_STATUSES, RUN, RunStatus, StepStatus
from segue.plan.lanes import is_open
from segue.store.protocol import Row, Transaction

NAMED_AT_MOST = 5
MOST_NUMBER = 2**31
MOST_DIGITS = 20  # of a number of a step, as people write it


class StepRow(msgspec.Struct, gc=False):
    """A step. A reopening changes it in place."""

    step: int
    scope: int
    name: str
    task: str | None
    is_join: bool
    status: str
    attempt: int
    rule: str
    planned_rule: str | None
    waiting_on: int
    failed_above: int
    skipped_above: int
    children: list[int]
    hook: str | None
    outcome: str | None
    lane: str | None
    planned_lane: str | None
    ready_at: Any
    started_at: Any
    passed_on_to: int | None

    @property
    def is_final(self) -> bool:
        """Whether it has ended."""
        return self.status in FINAL_STEP_STATUSES

    @property
    def is_scope(self) -> bool:
        """Whether its task returned a plan, for which it waits or waited."""
        return self.is_join and not self.is_passed

    @property
    def is_passed(self) -> bool:
        """Whether the engine itself handles it, without a worker, once its parents allow it."""
        return self.task is None or self.task in ENGINE_TASKS or is_open(self.lane)

    def edges(self) -> Iterator[int]:
        """The numbers of its children inside its scope, including those that did not wait for it."""
        for child in self.children:
            if child != self.scope:
                yield child if child >= 0 else -2 - child


class RunRow(msgspec.Struct):
    """The run itself."""

    status: str
    intent: str | None
    outcome: str | None
    error: str | None
    started_at: Any

    @property
    def is_final(self) -> bool:
        """Whether it has ended."""
        return RunStatus(self.status).is_final


class RunGraph:
    """The steps of a run by number, in ascending order."""

    def __init__(self, run: RunRow, steps: Sequence[StepRow]) -> None:
        self.run = run
        self.steps = {step.step: step for step in steps}
        self._members: dict[int, list[StepRow]] = {}
        for step in steps:
            self._members.setdefault(step.scope, []).append(step)

    def step(self, number: int) -> StepRow:
        """The step that `find_step` found. Raises StoreConflictError if it was discarded since."""
        found = self.steps.get(number)
        if found is None:
            raise StoreConflictError(f"Step {number} was discarded in the meantime: repeat the command.")
        return found

    def members(self, scope: int) -> Sequence[StepRow]:
        """The steps of a scope, without the steps of plans inside it."""
        return self._members.get(scope, ())

    def enclosing(self, step: StepRow) -> Iterator[StepRow]:
        """The enclosing scopes of a step, from the inside out, without the run."""
        while step.scope != RUN:
            step = self.steps[step.scope]
            yield step

    def called_by(self, step: StepRow) -> Iterator[StepRow]:
        """The steps that took its place, in order: each task returned only a call of the next."""
        while step.passed_on_to is not None:
            step = self.steps[step.passed_on_to]
            yield step

    def inside(self, scope: int) -> Iterator[StepRow]:
        """All steps of a scope, including the steps of plans inside it."""
        waiting = [scope]
        while waiting:
            for step in self.members(waiting.pop()):
                yield step
                if step.step in self._members:
                    waiting.append(step.step)

    def outcome(self, scope: int) -> str | None:
        """The outcome of a scope's steps, if it is known."""
        return self.run.outcome if scope == RUN else self.steps[scope].outcome

    def is_pending(self, scope: int) -> bool:
        """Whether the outcome of a scope's steps is not known yet, so that its hooks wait for it."""
        is_final = self.run.is_final if scope == RUN else self.steps[scope].is_final
        return not is_final and self.outcome(scope) is None


def load_graph(act: Act, run_id: str, *, is_copied: bool = False) -> RunGraph:
    """Load the run. Its ready steps are locked first, so that no claim takes one until this transaction ends.

    Raises LargeRun if the changes must be computed ahead of the lock; never with `is_copied`.
    """
    refuse_unfinished(act.tx, run_id)
    is_ahead = is_copied or act.loads_large_runs or isinstance(act.tx, BufferedWrites)
    if not is_ahead and is_large(act.tx, run_id):
        raise LargeRun(run_id)
    return read_graph(act.tx, run_id)


def read_graph(tx: Transaction, run_id: str) -> RunGraph:
    """Load the run without checking its size or its unfinished work."""
    tx.later("lock_ready_steps", run_id=run_id)
    run = tx.later("graph_run", run_id=run_id)
    steps = [_step(tx, row) for row in tx.all("graph_steps", run_id=run_id)]
    rows = run.rows()
    if not rows:
        raise RunNotFoundError(f"No run has the id {run_id}.")
    return RunGraph(RunRow(*rows[0]), steps)


def is_large(tx: Transaction, run_id: str) -> bool:
    """Whether reading and writing the run takes longer than it may be locked."""
    return bool(tx.all("is_large", run_id=run_id, steps=LARGE_RUN))


def find_step(tx: Transaction, run_id: str, step: str | int) -> int:
    """The number of the step with this name, or with this number (7, "7", "#7").

    Raises StepNotFoundError if there is none, or if several steps have the name.
    """
    found = [step] if isinstance(step, int) else _called(tx, run_id, step)
    digits = step.removeprefix("#") if isinstance(step, str) else ""
    if not found and digits.isdecimal() and len(digits) <= MOST_DIGITS:
        found = [int(digits)]
    if len(found) > 1:
        numbers = ", ".join(map(str, found[:NAMED_AT_MOST])) + (" ..." if len(found) > NAMED_AT_MOST else "")
        raise StepNotFoundError(
            f"Several steps of run {run_id} are named {step!r}: give the number of one of them ({numbers})."
        )
    if not found or not 0 <= found[0] < MOST_NUMBER or not tx.all("step_name", run_id=run_id, step=found[0]):
        raise StepNotFoundError(f"Run {run_id} has no step {shown(step)}. `segue show {run_id} --all` lists them.")
    return found[0]


def _called(tx: Transaction, run_id: str, name: str) -> list[int]:
    return [row[0] for row in tx.all("steps_named", run_id=run_id, name=name, limit=NAMED_AT_MOST + 1)]


def named(steps: Sequence[StepRow]) -> str:
    """The names of the first few steps, for a message."""
    more = f" and {len(steps) - NAMED_AT_MOST:,} more" if len(steps) > NAMED_AT_MOST else ""
    return ", ".join(step.name for step in steps[:NAMED_AT_MOST]) + more


def is_begun(status: str) -> bool:
    """Whether an attempt is running in this status, or may be."""
    return status in LIVE


def why_begun(status: str) -> str:
    """Why a step with such a status cannot be changed, as a part of a sentence."""
    if status == StepStatus.SENT:
        return "it was sent to its executor, which may begin it at any time"
    return "it runs now"


def _step(tx: Transaction, row: Row) -> StepRow:
    step = StepRow(*row)
    step.children = tx.integers(step.children)
    step.is_join = bool(step.is_join)
    return step
