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
from segue.engine.record import NO_PLANS, Recorded, record
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
    recorded = record(
        act, outcomes, by=by, plans=plans, meanwhile=meanwhile,
        from_status=StepStatus.SENT if from_sent else StepStatus.RUNNING,
    )  # fmt: skip
    admitted = admit_after(act, recorded.ended_limited) if admits else NONE
    if wakes and recorded.started:
        act.tx.later("wake")
    is_settled = recorded.is_settled
    return Reported(recorded, admitted, not is_settled and recorded.started_late > 0, is_settled)
