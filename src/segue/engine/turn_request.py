"""The input and the result of a turn, as workers know them (`turn` takes it)."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from segue.engine.at_hand import PayloadsNeeded
from segue.engine.limiting.places import LimitKey
from segue.engine.watching import Printed
from segue.model import Attempt, Job, Outcome, Progress


class TurnRequest(msgspec.Struct):
    """The worker's input for a turn."""

    outcomes: Sequence[Outcome] = ()
    recorded: Sequence[Outcome] = ()  # of attempts that recorded their outcomes themselves
    progress: Sequence[Progress] = ()
    printed: Sequence[Printed] = ()  # by attempts that are watched
    want: int = 0  # how many steps it could take
    heartbeat: str | None = None  # its status, if the lease is to be renewed now
    sleeping: bool = False  # with the heartbeat: notify me
    timers: bool = False  # check for timers that have come due, and when the next one will
    cancels: bool = False  # ask which of its steps are to end, and which are watched
    comes_back: bool = False  # another turn follows within some ms: it may say what this one leaves unsaid
    alone: bool = False  # outcomes that were in the way: leave those of runs that others hold, and admit nothing
    apart: bool = False  # commit the claim before its rows are read: one of them may have been in the way


class TurnResult(msgspec.Struct):
    """The worker's result of a turn."""

    jobs: list[Job] = []
    outcomes: list[Outcome] = []  # of claimed steps that need not run: for the next turn
    left: list[Outcome] = []  # with `alone`: outcomes of runs that another transaction holds
    refused: int = 0  # outcomes that came too late
    ended: list[str] = []  # runs that became final
    cancels: list[tuple[str, int, int]] = []  # (run, step, attempt) to be ended
    watched: list[Attempt] = []  # with `cancels`: whose output is to be written
    knows_timers: bool = False  # it has checked for the next timer: if asked, and if it may have set one itself
    timer_seconds: float | None = None  # until the next timer comes due, if it has checked and there is one
    age_seconds: float = 0.0  # how long ago its times were right: a commit takes some time
    lease_lost: bool = False  # declared lost: nothing was done, and its running steps belong to others
    again: bool = False  # there may be more to claim right now
    unsaid: bool = False  # runs have begun, which the next turn says: it should follow soon
    unfinished: list[str] = []  # runs of which something is left to do in other transactions
    missed: set[LimitKey] = set()  # limits of ended runs that another transaction had locked: to be asked again
    needed: PayloadsNeeded | None = None  # to report some of the outcomes: see engine/at_hand.py
    look_seconds: float | None = None  # until limits may let something start without news of it


def together(first: TurnResult, then: TurnResult) -> TurnResult:
    """What came of two turns, the second of which looked after what the first had left."""
    timed = then if then.knows_timers else first
    return TurnResult(
        jobs=first.jobs + then.jobs, outcomes=first.outcomes + then.outcomes, left=first.left + then.left,
        refused=first.refused + then.refused, ended=first.ended + then.ended, cancels=first.cancels + then.cancels,
        watched=first.watched + then.watched,
        knows_timers=timed.knows_timers, timer_seconds=timed.timer_seconds,
        age_seconds=timed.age_seconds, again=first.again or then.again, unfinished=first.unfinished + then.unfinished,
        missed=first.missed | then.missed, unsaid=first.unsaid or then.unsaid, look_seconds=then.look_seconds,
        needed=first.needed or then.needed,
    )  # fmt: skip


def recorded_by(request: TurnRequest, result: TurnResult) -> Sequence[Outcome]:
    """The outcomes that a turn recorded: those of its request, without those that come back."""
    if result.lease_lost:
        return []
    ended = [*request.outcomes, *request.recorded] if request.recorded else request.outcomes
    if not (result.outcomes or result.left):
        return ended
    back = {(outcome.run_id, outcome.step, outcome.attempt) for outcome in (*result.outcomes, *result.left)}
    return [outcome for outcome in ended if (outcome.run_id, outcome.step, outcome.attempt) not in back]
