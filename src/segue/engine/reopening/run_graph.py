"""A whole run in memory: its steps, what waits for what, and which plan each step is of.

For what people do to a run, which may touch any part of it; turns never load one. The caller holds the run's lock.

A *scope* is what steps belong to: the run (RUN), or the step whose task returned the plan that they are of. Numbers of
inner steps are always larger than that of their scope. An edge is a step's number; `-2 - step` stands for an edge whose
child started without waiting for it (`forget_late_parents`).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import msgspec

from segue.errors import RunNotFoundError, StepNotFoundError
from segue.model import ENGINE_TASKS, FINAL_STEP_STATUSES, RUN, RunStatus, StepStatus
from segue.plan.lanes import is_open
from segue.store.protocol import Row, Store, Transaction

NAMED_AT_MOST = 5
MOST_NUMBER = 2**31


class StepRow(msgspec.Struct):
    """A step as it stands, and as it becomes: a reopening writes into it."""

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

    @property
    def is_final(self) -> bool:
        """True when it has ended."""
        return self.status in FINAL_STEP_STATUSES

    @property
    def is_scope(self) -> bool:
        """True when its task returned a plan, which it waits for or waited for."""
        return self.is_join and not self.is_passed

    @property
    def is_passed(self) -> bool:
        """True when the engine deals with it itself once its parents allow it."""
        return self.task is None or self.task in ENGINE_TASKS or is_open(self.lane)

    def edges(self) -> Iterator[int]:
        """The numbers of its children inside its scope, of those that did not wait for it too."""
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
        """True when it has ended."""
        return RunStatus(self.status).is_final


class RunGraph:
    """The steps of a run by their numbers, ascending."""

    def __init__(self, run: RunRow, steps: Sequence[StepRow]) -> None:
        self.run = run
        self.steps = {step.step: step for step in steps}
        self._members: dict[int, list[StepRow]] = {}
        for step in steps:
            self._members.setdefault(step.scope, []).append(step)

    def members(self, scope: int) -> Sequence[StepRow]:
        """The steps of a scope, without those of plans that they returned."""
        return self._members.get(scope, ())

    def enclosing(self, step: StepRow) -> Iterator[StepRow]:
        """The scopes that a step is in, from the inside out, without the run."""
        while step.scope != RUN:
            step = self.steps[step.scope]
            yield step

    def inside(self, scope: int) -> Iterator[StepRow]:
        """All steps of a scope, and of the plans that they returned."""
        waiting = [scope]
        while waiting:
            for step in self.members(waiting.pop()):
                yield step
                if step.step in self._members:
                    waiting.append(step.step)

    def outcome(self, scope: int) -> str | None:
        """The outcome of a scope's steps, once it is settled."""
        return self.run.outcome if scope == RUN else self.steps[scope].outcome

    def is_pending(self, scope: int) -> bool:
        """True while the outcome of a scope's steps is still to be found, and its hooks wait for it."""
        is_final = self.run.is_final if scope == RUN else self.steps[scope].is_final
        return not is_final and self.outcome(scope) is None


def load_graph(store: Store, tx: Transaction, run_id: str) -> RunGraph:
    """The run as it stands. Ready steps are locked first, so that no claim takes one until this transaction ends."""
    tx.later("lock_ready_steps", run_id=run_id)
    run = tx.later("graph_run", run_id=run_id)
    steps = [_step(store, row) for row in tx.all("graph_steps", run_id=run_id)]
    rows = run.rows()
    if not rows:
        raise RunNotFoundError(f"No run has the id {run_id}.")
    return RunGraph(RunRow(*rows[0]), steps)


def find_step(tx: Transaction, run_id: str, step: str | int) -> int:
    """The number of the step of this name, or of this number (7, "7", "#7").

    Raises StepNotFoundError when there is none, or when several have the name.
    """
    found = [step] if isinstance(step, int) else _called(tx, run_id, step)
    if not found and isinstance(step, str) and step.removeprefix("#").isdecimal():
        found = [int(step.removeprefix("#"))]
    if len(found) > 1:
        numbers = ", ".join(map(str, found[:NAMED_AT_MOST])) + (" ..." if len(found) > NAMED_AT_MOST else "")
        raise StepNotFoundError(
            f"Several steps of run {run_id} are called {step!r}: give the number of one ({numbers})."
        )
    if not found or not 0 <= found[0] < MOST_NUMBER or not tx.all("step_name", run_id=run_id, step=found[0]):
        raise StepNotFoundError(f"Run {run_id} has no step {step!r}. `segue show {run_id} --all` lists them.")
    return found[0]


def _called(tx: Transaction, run_id: str, name: str) -> list[int]:
    return [row[0] for row in tx.all("steps_named", run_id=run_id, name=name, limit=NAMED_AT_MOST + 1)]


def named(steps: Sequence[StepRow]) -> str:
    """Steps as a message names them: the first few."""
    more = f" and {len(steps) - NAMED_AT_MOST:,} more" if len(steps) > NAMED_AT_MOST else ""
    return ", ".join(step.name for step in steps[:NAMED_AT_MOST]) + more


def is_begun(status: str) -> bool:
    """True of a status in which an attempt is under way."""
    return status in (StepStatus.RUNNING, StepStatus.SENT)


def _step(store: Store, row: Row) -> StepRow:
    step = StepRow(*row)
    step.children = store.integers(step.children)
    step.is_join = bool(step.is_join)
    return step
