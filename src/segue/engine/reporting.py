"""Reports of outcomes of attempts: recording, releasing children, admitting runs and waking workers in one transaction.

Turns report, and so do transactional tasks. `Engine.report` is for processes that claim nothing and have no lease: the
number of the attempt decides whether a report counts, not the process that sends it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

from segue.engine.act import Act
from segue.engine.expand import LargePlan
from segue.engine.limiting.admission import NONE, Admitted, admit_after
from segue.engine.record import NO_PLANS, Recorded, Recording, sorted_out
from segue.model import Attempt, Outcome, StepStatus


class Reported(NamedTuple):
    """The effects of a report."""

    recorded: Recorded
    admitted: Admitted  # runs that may begin since others have ended
    has_started_late: bool = False  # some became claimable after the claim was sent
    is_settled: bool = True  # everything had been heard of when the claim was sent


_NOTHING = Reported(Recorded(), NONE)


def report(
    act: Act, outcomes: Sequence[Outcome], *, by: str, plans: Mapping[Attempt, LargePlan] = NO_PLANS,
    meanwhile: Callable[[], None] | None = None, admits: bool = True, wakes: bool = True, from_sent: bool = False,
) -> Reported:  # fmt: skip
    """Record outcomes with all consequences: children start, runs end, runs that waited for a place are admitted.

    `by` is the name of the process that had the attempts. `plans` are the large ones among the results. `meanwhile` is
    called while plain successes are on their way, or otherwise at the end. Unless `wakes`, the caller wakes the
    workers. With `from_sent`, most attempts are not known to have begun: executors report short ones at their end only.
    """
    if not outcomes:
        if meanwhile is not None:
            meanwhile()
        return _NOTHING
    plain, others = sorted_out(outcomes)
    from_status = StepStatus.SENT if from_sent else StepStatus.RUNNING
    recording = Recording(act, by, plain, others, plans, from_status)
    # Invariant: a turn that holds steps (come due, claimed) no longer waits for a run, so two turns never wait for each
    # other. The consequences of plain successes touch no ready step, with two rare exceptions, which may wait: a wait
    # whose failure ends its run, and a notification. If two turns meet there, PostgreSQL ends one of them, and its
    # worker repeats it.
    recorded = recording.propagate(others) if others else None
    if meanwhile is not None:
        meanwhile()
    if recorded is None:
        recorded = recording.propagate(())
    repeated = len(outcomes) - len(plain) - len(others)
    if repeated:
        recorded = recorded._replace(refused=recorded.refused + repeated)
    admitted = admit_after(act, recorded.ended_limited) if admits else NONE
    if wakes and recorded.started:
        act.tx.later("wake")
    return Reported(recorded, admitted, not others and recorded.started_late > 0, bool(others))
