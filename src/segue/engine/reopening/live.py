"""Reopens a large run that has not ended: the dependencies of changes that were computed without the run's lock.

Loading a run of 100,000 steps, and computing which of them run again, takes longer than a run may be locked. So that
is done without the lock. Then the run is locked, its dependencies are compared, and everything is written in one
transaction. The other steps of the run continue in the meantime, and their results are kept:

    must not change   the run itself; the steps that are reset or discarded, and those below them; all other steps
                      whose edges or counters change; the scopes of all of these
    may end           other parents of steps that are reset: these steps are judged again
    may count         counters of the run, and of steps that are not reset: they are changed by the difference

Ready steps are locked before they are compared, or counted when they are written (`alike`).

Invariant: the result is the same as if the run had been locked all the time, and the other steps had continued
afterwards.
"""

from __future__ import annotations

from segue.engine.reopening.alike import send_for_steps
from segue.engine.reopening.recount import Counters, Recounted, judge
from segue.engine.reopening.reopen import Reopening
from segue.model import FINAL_STEP_STATUSES, RUN, StepStatus
from segue.store.protocol import Transaction


class Dependencies:
    """The steps on which a reopening depends, and their state when it was computed."""

    def __init__(self, reopening: Reopening, recounted: Recounted, waited_for: int) -> None:
        run = reopening.graph.run
        self._reopening = reopening
        self._recounted = recounted
        self._steps = sorted(_dependencies(reopening, recounted))
        self._stamp = self._stamp_before()
        self._run = (run.status, run.intent, run.outcome, run.error)
        self._added = recounted.waiting_on - waited_for  # steps that the run waits for in addition
        self._parents = self._open_parents()
        self._to_lock: list[int] = self._steps

    def ready_and_unsettled(self) -> set[int]:
        """Steps that were ready, are reset, and may be judged again."""
        reset, steps = self._reopening.reset, self._reopening.graph.steps
        below = {child for number in self._parents for child in steps[number].children if child in reset}
        return {step for step in below if self._was_ready(step)}

    def leave_unlocked(self, steps: set[int]) -> None:
        """Do not lock these steps: if one of them is claimed, the write notices."""
        self._to_lock = [step for step in self._steps if step not in steps and self._was_ready(step)]

    def bring_up_to_date(self, tx: Transaction, run_id: str) -> set[int] | None:
        """Include what has happened since; returns the steps that were judged again, or None if a dependency changed.

        The caller holds the run's lock until everything is written.
        """
        if self._to_lock:
            tx.later("lock_ready_among", run_id=run_id, steps=self._to_lock)
        stamps = send_for_steps(tx, "stamp_of_span", "stamp_of_steps", run_id, self._steps)
        run = tx.all("graph_run", run_id=run_id)
        stamp = tuple(map(sum, zip(*(later.rows()[0] for later, _ in stamps), strict=True)))
        if not run or tuple(run[0][: len(self._run)]) != self._run or stamp != self._stamp:
            return None
        edges = self._recounted.edges_before
        if edges:
            rows = tx.all("edges_among", run_id=run_id, steps=sorted(edges))
            if any(tx.integers(children) != edges[step] for step, children in rows):
                return None
        self._update_counters(tx, run_id)
        return self._judge_again(tx, run_id)

    def _was_ready(self, step: int) -> bool:
        return self._reopening.status_before(self._reopening.graph.steps[step]) == StepStatus.READY

    def _stamp_before(self) -> tuple[int, ...]:
        """The stamp of all these steps as the database computes it."""
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
        """The steps that are not reset, have not ended, and have a child that is reset."""
        reset, changed, gone = self._reopening.reset, self._reopening.changed, self._reopening.discarded
        return [
            step.step
            for step in self._reopening.graph.steps.values()
            if not step.is_final and step.step not in changed and step.step not in gone
            and not reset.isdisjoint(step.children)
        ]  # fmt: skip

    def _update_counters(self, tx: Transaction, run_id: str) -> None:
        """Add the difference to the current counters of steps that are not reset, and of the run."""
        recounted = self._recounted
        if RUN not in self._reopening.outcome_unknown:  # otherwise the run waits only for steps that run again
            _, _, _, waiting_on, *_ = tx.all("run_state", run_id=run_id)[0]
            recounted.waiting_on = int(waiting_on) + self._added
        before = recounted.counts_before
        rows = tx.all("counters_among", run_id=run_id, steps=sorted(before)) if before else []
        for number, waiting_on, failed, skipped in rows:
            step, old = self._reopening.graph.steps[number], before[number]
            step.waiting_on += waiting_on - old[0]
            step.failed_above += failed - old[1]
            step.skipped_above += skipped - old[2]

    def _judge_again(self, tx: Transaction, run_id: str) -> set[int]:
        """Judge the steps again whose parents have ended since."""
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
    """The number of steps for which the run waited, before it is recounted."""
    graph = reopening.graph
    is_pending = graph.run.outcome is None
    return sum(
        RUN in step.children
        and (step.hook is None) == is_pending
        and reopening.status_before(step) not in FINAL_STEP_STATUSES
        for step in graph.members(RUN)
    )


def _dependencies(reopening: Reopening, recounted: Recounted) -> set[int]:
    steps, changed = reopening.graph.steps, reopening.changed
    found = changed | reopening.discarded
    found |= {child for number in changed for child in steps[number].edges()}
    found |= recounted.edges_before.keys() | recounted.counts_before.keys()
    scopes = {steps[number].scope for number in found} - {RUN}
    while scopes:
        found |= scopes
        scopes = {steps[number].scope for number in scopes} - {RUN} - found
    return found
