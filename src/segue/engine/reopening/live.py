"""Reopening a large run that goes on: what a reopening that was worked out without the run's lock depends on.

To load a run of 100,000 steps, and to work out what begins anew in it, takes longer than a run may be locked. So that
is done without the lock; then the run is locked, what matters is compared, and all is written in one transaction. The
rest of the run goes on meanwhile, and what came of it is kept:

    must be as it was   the run itself; the steps that begin anew or are thrown away, and those below them; whatever
                        else gets other edges or counters; the scopes of all of these
    may have ended      other parents of steps that begin anew: these steps are judged again
    counts on           counters of the run, and of steps that stay: they are changed by the difference

Steps that are ready are locked before they are compared, or they are counted when they are written (`alike`).

Invariant: what is written is what would have been written had the run been locked all the time, and had the rest gone
on behind that.
"""

from __future__ import annotations

from segue.engine.reopening.alike import said_of
from segue.engine.reopening.recount import Counters, Recounted, judge
from segue.engine.reopening.reopen import Reopening
from segue.model import FINAL_STEP_STATUSES, RUN, StepStatus
from segue.store.protocol import Transaction


class Concerned:
    """The steps that matter to a reopening, and how they stood when it was worked out."""

    def __init__(self, reopening: Reopening, recounted: Recounted, waited_for: int) -> None:
        run = reopening.graph.run
        self._reopening = reopening
        self._recounted = recounted
        self._steps = sorted(_concerned(reopening, recounted))
        self._stamp = self._stamp_before()
        self._run = (run.status, run.intent, run.outcome, run.error)
        self._more = recounted.waiting_on - waited_for  # steps that the run waits for
        self._parents = self._open_parents()
        self._to_lock: list[int] = self._steps

    def ready_and_unsettled(self) -> set[int]:
        """Steps that were ready, begin anew, and may be judged again."""
        reset, steps = self._reopening.reset, self._reopening.graph.steps
        below = {child for number in self._parents for child in steps[number].children if child in reset}
        return {step for step in below if self._was_ready(step)}

    def leave_unlocked(self, steps: set[int]) -> None:
        """Do not lock these, as a claim of one of them is noticed when they are written."""
        self._to_lock = [step for step in self._steps if step not in steps and self._was_ready(step)]

    def bring_up_to_date(self, tx: Transaction, run_id: str) -> set[int] | None:
        """Take in what went on meanwhile; returns the steps that were judged again, None when it changed too much.

        The caller has the run's lock, and keeps it until all is written.
        """
        if self._to_lock:
            tx.later("lock_ready_among", run_id=run_id, steps=self._to_lock)
        stamps = said_of(tx, "stamp_of_span", "stamp_of_steps", run_id, self._steps)
        run = tx.all("graph_run", run_id=run_id)
        stamp = tuple(map(sum, zip(*(later.rows()[0] for later, _ in stamps), strict=True)))
        if not run or tuple(run[0][: len(self._run)]) != self._run or stamp != self._stamp:
            return None
        edges = self._recounted.edges_before
        if edges:
            rows = tx.all("edges_among", run_id=run_id, steps=sorted(edges))
            if any(tx.integers(children) != edges[step] for step, children in rows):
                return None
        self._count_on(tx, run_id)
        return self._hear(tx, run_id)

    def _was_ready(self, step: int) -> bool:
        return self._reopening.status_before(self._reopening.graph.steps[step]) == StepStatus.READY

    def _stamp_before(self) -> tuple[int, ...]:
        """As the database says it, of all steps."""
        steps = [self._reopening.graph.steps[number] for number in self._steps]
        before = [self._reopening.status_before(step) for step in steps]
        return (
            len(steps),
            sum(step.attempt for step in steps),
            before.count(StepStatus.BLOCKED),
            before.count(StepStatus.READY),
            sum(status in FINAL_STEP_STATUSES for status in before),
            sum(step.outcome is not None for step in steps),
        )

    def _open_parents(self) -> list[int]:
        """The steps that go on, and that one that begins anew waits for."""
        reset, changed, gone = self._reopening.reset, self._reopening.changed, self._reopening.discarded
        return [
            step.step
            for step in self._reopening.graph.steps.values()
            if not step.is_final and step.step not in changed and step.step not in gone
            and not reset.isdisjoint(step.children)
        ]  # fmt: skip

    def _count_on(self, tx: Transaction, run_id: str) -> None:
        """Let the counters of what stays say what they say now, and the difference."""
        recounted = self._recounted
        if RUN not in self._reopening.outcome_unknown:  # else it waits for nothing but what begins anew
            recounted.waiting_on = int(tx.all("run_state", run_id=run_id)[0][3]) + self._more
        before = recounted.counts_before
        rows = tx.all("counters_among", run_id=run_id, steps=sorted(before)) if before else []
        for number, waiting_on, failed, skipped in rows:
            step, old = self._reopening.graph.steps[number], before[number]
            step.waiting_on += waiting_on - old[0]
            step.failed_above += failed - old[1]
            step.skipped_above += skipped - old[2]

    def _hear(self, tx: Transaction, run_id: str) -> set[int]:
        """Judge again what waited for parents that have ended."""
        reset, steps, found = self._reopening.reset, self._reopening.graph.steps, self._recounted.found
        judged: set[int] = set()
        ended = tx.all("ended_among", run_id=run_id, steps=self._parents) if self._parents else []
        for number, status in ended:
            for child in steps[number].children:
                if child not in reset:
                    continue
                counters = found.setdefault(child, Counters())
                counters.waiting_on -= 1
                counters.count_status(status)
                judged.add(child)
        for number in judged:
            step, counters = steps[number], found[number]
            self._recounted.verdicts[number] = judge(step, counters)
            step.waiting_on, step.failed_above, step.skipped_above = (
                counters.waiting_on, counters.failed, counters.skipped
            )  # fmt: skip
        return judged


def steps_waited_for(reopening: Reopening) -> int:
    """How many steps the run waited for, before it is recounted."""
    graph = reopening.graph
    is_pending = graph.run.outcome is None
    return sum(
        RUN in step.children
        and (step.hook is None) == is_pending
        and reopening.status_before(step) not in FINAL_STEP_STATUSES
        for step in graph.members(RUN)
    )


def _concerned(reopening: Reopening, recounted: Recounted) -> set[int]:
    steps, changed = reopening.graph.steps, reopening.changed
    found = changed | reopening.discarded
    found |= {child for number in changed for child in steps[number].edges()}
    found |= recounted.edges_before.keys() | recounted.counts_before.keys()
    scopes = {steps[number].scope for number in found} - {RUN}
    while scopes:
        found |= scopes
        scopes = {steps[number].scope for number in scopes} - {RUN} - found
    return found
