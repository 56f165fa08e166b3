"""Computes the edges and counters of a run after a reopening, from the statuses. Pure.

edges      a child that has started, and is not reset, must not be counted down again: its edge becomes `-2 - step`.
           A child that is reset waits for all its parents: such edges are restored
awaited    something waits for every step that is not final: a child that cannot start before it ends, or its scope.
           If all its children have started already, its scope waits for it
counters   for a step: how many of its parents are not final, failed or were cancelled, or were skipped; for a scope
           and for the run: how many of its last steps are not final
"""

from __future__ import annotations

from typing import assert_never

import msgspec

from segue.engine.reopening.reopen import Reopening
from segue.engine.reopening.run_graph import RunGraph, StepRow, is_begun
from segue.engine.rows import EARLY_RULES
from segue.model import RUN, JoinVerdict, StepStatus, judge_join


class Counters(msgspec.Struct, gc=False):
    """The parents of one step, or the last steps of one scope, by status."""

    waiting_on: int = 0
    failed: int = 0
    skipped: int = 0
    succeeded: int = 0

    def count(self, parent: StepRow) -> None:
        """Add a parent."""
        self.count_status(parent.status)

    def count_status(self, status: str) -> None:
        """Add a parent of this status."""
        match StepStatus(status):
            case StepStatus.SUCCEEDED:
                self.succeeded += 1
            case StepStatus.SKIPPED:
                self.skipped += 1
            case StepStatus.FAILED | StepStatus.CANCELLED:
                self.failed += 1
            case StepStatus.BLOCKED | StepStatus.READY | StepStatus.SENT | StepStatus.RUNNING:
                self.waiting_on += 1
            case unknown:
                assert_never(unknown)


class Recounted(msgspec.Struct):
    """The result. `graph` has the new statuses, counters and edges."""

    graph: RunGraph
    edges: list[StepRow]  # steps whose children have changed
    counts: list[StepRow]  # steps that stay blocked, but whose counters have changed
    verdicts: dict[int, JoinVerdict]  # of the steps that were reset
    waiting_on: int  # of the run
    found: dict[int, Counters]
    edges_before: dict[int, list[int]]  # of the steps in `edges`
    counts_before: dict[int, tuple[int, int, int]]  # of the steps in `counts`
    unchanged: set[int]  # reset steps whose rows are blocked already and need not be written


def recount(reopening: Reopening) -> Recounted:
    """Compute it, and change the graph accordingly."""
    graph, gone, changed = reopening.graph, reopening.discarded, reopening.changed
    steps = [step for step in graph.steps.values() if step.step not in gone]
    before = {step.step: step.children for step in steps}
    relinked = {step.step for step in steps if _relink(step, reopening, is_open=step.step in changed)}
    relinked |= {step.step for step in steps if _ensure_awaited(step, reopening)}
    found = _count(steps, reopening)
    counts: list[StepRow] = []
    counts_before: dict[int, tuple[int, int, int]] = {}
    verdicts: dict[int, JoinVerdict] = {}
    unchanged: set[int] = set()
    for step in steps:
        if step.status != StepStatus.BLOCKED or step.step in reopening.held:
            continue
        counters = found.get(step.step) or Counters()
        if step.hook is not None and _is_pending(step.scope, reopening):
            counters.waiting_on += 1
        if step.step in reopening.reset:
            verdicts[step.step] = judge(step, counters)
        if step.is_scope:
            counters.failed, counters.skipped = step.failed_above, step.skipped_above
        new = (counters.waiting_on, counters.failed, counters.skipped)
        old = (step.waiting_on, step.failed_above, step.skipped_above)
        if new == old:
            if step.step in reopening.untouched:
                unchanged.add(step.step)
        elif step.step not in changed:
            counts.append(step)
            counts_before[step.step] = old
        step.waiting_on, step.failed_above, step.skipped_above = new
    edges = [graph.steps[number] for number in sorted(relinked)]
    edges_before = {number: before[number] for number in relinked}
    waiting_on = found.get(RUN, Counters()).waiting_on
    return Recounted(graph, edges, counts, verdicts, waiting_on, found, edges_before, counts_before, unchanged)


def _relink(step: StepRow, reopening: Reopening, *, is_open: bool) -> bool:
    """Correct the edges of a step; returns whether any was changed. `is_open`: the step is no longer final."""
    steps = reopening.graph.steps
    new = []
    for child in step.children:
        is_inner = child >= 0 and child != step.scope
        waits_again = child < -1 and -2 - child in reopening.reset
        goes_before = is_inner and is_open and _has_started(steps[child], reopening)
        new.append(-2 - child if waits_again or goes_before else child)
    is_changed = new != step.children
    step.children = new
    return is_changed


def _ensure_awaited(step: StepRow, reopening: Reopening) -> bool:
    """Ensure that a child or the scope waits for a step that is not final; returns whether the scope was added."""
    if step.is_final or step.scope in step.children or step.step in reopening.held:
        return False
    steps = reopening.graph.steps
    if any(child >= 0 and _waits(steps[child], reopening) for child in step.children):
        return False
    step.children.append(step.scope)
    return True


def _has_started(child: StepRow, reopening: Reopening) -> bool:
    if child.is_final or child.step in reopening.reset or child.step in reopening.held:
        return False
    return is_begun(child.status) or child.status == StepStatus.READY or child.is_scope


def _waits(child: StepRow, reopening: Reopening) -> bool:
    """Whether a child cannot start before all its parents have ended."""
    return (
        child.status == StepStatus.BLOCKED
        and not child.is_scope
        and child.rule not in EARLY_RULES
        and child.step not in reopening.held
    )


def _count(steps: list[StepRow], reopening: Reopening) -> dict[int, Counters]:
    """The counters of every blocked step, of every scope, and of the run."""
    graph = reopening.graph
    found: dict[int, Counters] = {}
    for parent in steps:
        for child in parent.children:
            if child == parent.scope:
                # A scope first waits for its steps, and for its hooks once the outcome is known.
                if (parent.hook is None) == _is_pending(child, reopening):
                    found.setdefault(child, Counters()).count(parent)
            elif child >= 0:
                below = graph.steps[child]
                if below.status == StepStatus.BLOCKED and not below.is_scope:
                    found.setdefault(child, Counters()).count(parent)
    return found


def _is_pending(scope: int, reopening: Reopening) -> bool:
    """Whether the outcome of a scope's steps is not known yet."""
    if scope in reopening.outcome_unknown or scope in reopening.reopened:
        return scope in reopening.outcome_unknown
    return reopening.graph.outcome(scope) is None


def judge(step: StepRow, counters: Counters) -> JoinVerdict:
    """Whether a step that was reset waits, starts or is skipped."""
    if not (counters.waiting_on or counters.failed or counters.skipped or counters.succeeded):
        return JoinVerdict.START  # it has no parents
    return judge_join(step.rule, counters.waiting_on, counters.failed, counters.skipped, counters.succeeded)
