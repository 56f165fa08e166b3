"""Records outcomes of attempts, with all their consequences.

Plain successes, nearly all of them, go through one set-based `finish`. The others are handled one by one
(`end_attempt`).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType
from typing import NamedTuple

from segue.engine.act import Act
from segue.engine.attempts import Growth, LockedRuns, end_attempt, record_attempts
from segue.engine.detour import take_detour
from segue.engine.expand import LargePlan, expand
from segue.engine.foresight import Foreseen, foresee
from segue.engine.locking import LockedRun, begun_runs, hold_paused, unusual_runs
from segue.engine.notes import note_finishes
from segue.engine.payload_uses import use_results
from segue.engine.propagate import Propagation
from segue.engine.transitions import REFUSED, Ended
from segue.engine.unfinished import Item
from segue.model import Attempt, Outcome, StepStatus, Verdict
from segue.store.protocol import Finish, Later, LaterFinished

NO_PLANS: Mapping[Attempt, LargePlan] = MappingProxyType({})


class Recorded(NamedTuple):
    """The effects of outcomes."""

    refused: int = 0  # outcomes that came too late
    started: int = 0  # steps that became claimable
    started_late: int = 0  # ... after the first round, and therefore not seen by a claim sent right after it
    results: Mapping[tuple[str, int], str] = MappingProxyType({})  # the recorded results, for the claim that follows
    locked: frozenset[str] = frozenset()  # the runs whose lock this transaction holds
    begun: frozenset[str] = frozenset()  # those among them that are known to have begun
    ended_limited: Sequence[str] = ()  # the runs that ended and gave back a place of their limit
    is_settled: bool = True  # everything had been read before `meanwhile` was called


def sorted_out(outcomes: Sequence[Outcome]) -> tuple[list[Outcome], list[Outcome]]:
    """The plain successes among outcomes, and the others, without duplicates.

    A duplicate in one report would be examined before the first is written.
    """
    plain: list[Outcome] = []
    others: dict[Attempt, Outcome] = {}
    for outcome in outcomes:
        if outcome.verdict == Verdict.SUCCEEDED and outcome.detour is None:
            plain.append(outcome)
        else:
            others.setdefault((outcome.run_id, outcome.step, outcome.attempt), outcome)
    return plain, list(others.values())


def record(
    act: Act, outcomes: Sequence[Outcome], *, by: str, plans: Mapping[Attempt, LargePlan] = NO_PLANS,
    meanwhile: Callable[[], None] | None = None, from_status: StepStatus = StepStatus.RUNNING,
) -> Recorded:  # fmt: skip
    """Record outcomes. `meanwhile` is called while plain successes are on their way, or otherwise at the end.

    Invariant: a turn that holds steps (come due, claimed) no longer waits for a run, so two turns never wait for each
    other. The consequences of plain successes touch no ready step, with two rare exceptions, which may wait: a wait
    whose failure ends its run, and a notification. If two turns meet there, PostgreSQL ends one of them, and its worker
    repeats it.
    """
    plain, others = sorted_out(outcomes)
    recording = Recording(act, by, plain, others, plans, from_status)
    recorded = recording.propagate() if others else None
    if meanwhile is not None:
        meanwhile()
    if recorded is None:
        recorded = recording.propagate()
    repeated = len(outcomes) - len(plain) - len(others)
    return recorded._replace(refused=recorded.refused + repeated, is_settled=bool(others))


class Recording:
    """Plain successes that were sent: their runs, and those of `others`, are being locked, without waiting yet.

    `plans` are the large ones among the results of `others`. `from_status` is the status that the successes have now.
    """

    def __init__(
        self, act: Act, by: str, plain: Sequence[Outcome], others: Sequence[Outcome],
        plans: Mapping[Attempt, LargePlan], from_status: StepStatus,
    ) -> None:  # fmt: skip
        self._act = act
        self._from_status = from_status.value
        self._by = by
        self._plain = plain
        ids, tx = sorted({outcome.run_id for outcome in (*plain, *others)}), act.tx
        self._locked: Later = tx.later("lock_run", id=ids[0]) if len(ids) == 1 else tx.later("lock_runs", ids=ids)
        self._batch: list[Finish] = []
        self._sent: LaterFinished | None = None
        use_results(tx, (*plain, *others), act.now)
        if self._plain:
            self._batch = [
                Finish(o.run_id, o.step, o.attempt, self._from_status, "succeeded", o.result, None, o.seconds)
                for o in self._plain
            ]  # fmt: skip
            self._sent = tx.finish(self._batch, act.now)
        self._others = others
        self._states = self._ask_for_states() if others and tx.dialect != "sqlite" else {}  # no exchanges to save there
        self._plans = plans
        self._foreseen: dict[Attempt, Foreseen] = {}

    def _ask_for_states(self) -> dict[Attempt, Later]:
        """Ask for the steps of the other outcomes, so that the answers come with the locks of their runs.

        Invariant: only if no other outcome is about the run. So between the question and its use, this transaction
        changes nothing in the run, and no other can.
        """
        count = Counter(outcome.run_id for outcome in (*self._plain, *self._others))
        return {
            (o.run_id, o.step, o.attempt): self._act.tx.later("step_state", run_id=o.run_id, step=o.step)
            for o in self._others
            if count[o.run_id] == 1
        }

    def propagate(self) -> Recorded:
        """Handle the effects of the successes, and the other outcomes."""
        others = self._others
        returned = [outcome for outcome in others if outcome.verdict == Verdict.EXPANDED]
        if returned:
            self._foreseen = foresee(self._act.tx, returned, self._states.keys() - self._plans.keys())
        rows = self._locked.rows()
        unusual = unusual_runs(rows)
        propagation = Propagation(self._act)
        refused, first = 0, 0
        unheard: list[Outcome] = []
        results: dict[tuple[str, int], str] = {}
        if self._sent is not None:
            finished = self._sent.result()
            if self._act.journal is not None:
                note_finishes(self._act, self._batch, finished.recorded)
            if finished.recorded == len(self._plain):
                results = {(o.run_id, o.step): o.result or "null" for o in self._plain}
            else:
                unheard = [outcome for outcome in self._plain if self._is_unheard(outcome)]
                refused += len(self._plain) - finished.recorded - len(unheard)
            propagation.run((), first=finished)
            first = finished.started
            with_output = [outcome for outcome in self._plain if outcome.output and outcome not in unheard]
            if with_output:
                record_attempts(self._act, self._by, with_output)
        if unusual or others or unheard:
            runs = LockedRuns(LockedRun(*row) for row in rows)
            if unheard:  # before the others: what succeeded counts, though one of these fails the run
                refused += self._end(propagation, runs, unheard)
            refused += self._end(propagation, runs, others)
            hold_paused(self._act.tx, unusual)
        limited = {run.id for run in unusual if run.limit_name is not None}
        ended_limited = [run_id for run_id in self._act.ended_runs if run_id in limited] if limited else ()
        locked = frozenset([run_id for run_id, *_ in rows])
        started, begun = propagation.started, begun_runs(rows)
        return Recorded(refused, started, started - first, results, locked, begun, ended_limited)

    def _end(self, propagation: Propagation, runs: LockedRuns, outcomes: Sequence[Outcome]) -> int:
        """End attempts, and carry on what that sets off; returns how many were refused."""
        refused = 0
        items: list[Item] = []
        for outcome in outcomes:  # one after another: a failure that ends the run cancels what a plan before it added
            attempt = (outcome.run_id, outcome.step, outcome.attempt)
            state = self._states.get(attempt)
            end = end_attempt(self._act, runs, outcome, _event(outcome), by=self._by, state=state)
            if outcome.detour is not None and isinstance(end, (Growth, Finish)):
                take_detour(self._act, outcome.run_id, outcome.detour)
            if isinstance(end, Growth):
                foreseen = self._foreseen.get(attempt)
                items += expand(self._act, propagation, end, plans=self._plans, foreseen=foreseen)
            elif isinstance(end, Finish):
                items.append(end)
            else:
                refused += end is REFUSED
        propagation.note_started(runs.take_requeued())
        propagation.run(items, ending=sorted(runs.ending))
        return refused

    def _is_unheard(self, outcome: Outcome) -> bool:
        """Whether the attempt is live in the other way: sent, if it was taken to be running, or running."""
        rows = self._act.tx.all("step_state", run_id=outcome.run_id, step=outcome.step)
        other = StepStatus.SENT if self._from_status == StepStatus.RUNNING else StepStatus.RUNNING
        return bool(rows) and tuple(rows[0][:2]) == (other, outcome.attempt)


def _event(outcome: Outcome) -> Ended:
    return Ended(outcome.attempt, Verdict(outcome.verdict), outcome.retryable, outcome.retry_after)
