"""The state machine on one page: the effect of an event on one step. Pure.

    status     event            becomes
    ---------  ---------------  ------------------------------------------------------------------------
    blocked    ParentsDone      ready, skipped, or still blocked (its join rule decides)
    blocked    PlanDone         succeeded or failed (a step that waits for the plan its task returned)
    ready      Claimed          running, attempt + 1
    ready      Sent             sent, attempt + 1
    ready      Received         succeeded (it waited for a message)
    ready      Expired          failed, or succeeded (it was not begun in time, or its message did not come); sent: too
    sent       Begun            running; in a paused run ready, to be sent again when the run is resumed
    sent       Recalled         ready (its executor has not begun it and never will)
    sent       Resent           sent, with the same attempt or the next
    live       Ended            succeeded · skipped · cancelled · blocked (returned a plan; one that passes its place
                                on to a call has succeeded, see engine/expand.py) ·
                                ready (failed with tries left, lost, handed back, or suspended) · failed
    live       Lost             ready, or failed when it lost too many workers
    live       Retrying         ready, failures + 1; or sent, attempt + 1, where the executor's broker holds the delay
    live       Extending        the same: it adds steps to its own run (engine/extend.py)
    blocked    Extended         blocked, waiting for more: steps were added whose results it gathers
    not final  Cancelled        cancelled immediately; a running one is asked to end first, and so is a sent one that is
                                not fenced
    any        Reset            ready or blocked, with all its tries; not while an attempt is under way
    any        SetByHand        skipped or succeeded, set by a person; not while an attempt is under way, and not if it
                                                           succeeded already

*Live* is running or sent: a sent step may have begun, and the report of that may have been lost. *Fenced* is a step
whose executor asks before it begins (`Begun`), so that a late begin can be refused. In a run that is being ended, every
step that would start again, continue elsewhere or grow is cancelled instead.

Everything else is refused: a final step changes only if a person sets it, and reports of an older attempt change
nothing.

The engine executes this page where it handles steps one by one: `end_attempt` (engine/attempts.py) for every way in
which an attempt ends and for what expires, engine/executing.py for reports of executors. Where SQL changes many rows at
once (claims, releases and plain successes in `finish`, cancels, resets) or processes the consequences of a release,
this page is the specification: tests/property/test_decisions_are_written.py checks the engine against it with every
event and status.
"""

from __future__ import annotations

from datetime import datetime
from typing import assert_never

import msgspec

from segue.engine.backoff import delay_seconds
from segue.model import JoinVerdict, Policy, StepStatus, Verdict, judge_join

DEFAULT_POLICY = Policy()

LIVE = frozenset({StepStatus.SENT, StepStatus.RUNNING})
"""The statuses in which an attempt is, or may be, under way."""


class Facts(msgspec.Struct, frozen=True):
    """The facts on which a decision may depend: the current row."""

    status: StepStatus
    attempt: int = 0
    failures: int = 0
    losses: int = 0
    policy: Policy = DEFAULT_POLICY
    rule: str = "all_succeeded"
    waiting_on: int = 0
    failed_above: int = 0
    skipped_above: int = 0
    seed: str = ""  # its identity, for the jitter
    is_fenced: bool = True  # of a sent step: its executor asks before it begins
    is_asked_to_end: bool = False
    run_is_ending: bool = False  # it is being cancelled, or fails fast
    run_is_paused: bool = False


class ParentsDone(msgspec.Struct, frozen=True):
    """Parents became final just now: how many with each status."""

    succeeded: int = 0
    failed: int = 0
    skipped: int = 0


class PlanDone(msgspec.Struct, frozen=True):
    """The plan that the task returned has ended."""

    failed: bool


class Claimed(msgspec.Struct, frozen=True):
    """A worker takes it."""


class Sent(msgspec.Struct, frozen=True):
    """It is handed to an executor."""


class Begun(msgspec.Struct, frozen=True):
    """An executor begins an attempt that was sent to it."""

    attempt: int


class Recalled(msgspec.Struct, frozen=True):
    """An attempt that was sent will not begin: its message was withdrawn, or is gone."""

    attempt: int


class Resent(msgspec.Struct, frozen=True):
    """An attempt that was sent is sent again. With `is_next` it is the next one, so that the first is refused."""

    attempt: int
    is_next: bool = False


class Retrying(msgspec.Struct, frozen=True):
    """An attempt failed, and its executor's own retry follows, as often as the executor decides.

    It follows after a time; or the executor's broker holds it already, and it should have begun by `held_until`.
    """

    attempt: int
    after_seconds: float = 0.0
    held_until: datetime | None = None


class Received(msgspec.Struct, frozen=True):
    """The message for which it waits has come."""


class Expired(msgspec.Struct, frozen=True):
    """Its time to begin, or to receive its message, is over; it may have a default for that."""

    failed: bool


class Ended(msgspec.Struct, frozen=True):
    """An attempt reports its end."""

    attempt: int
    verdict: Verdict
    retryable: bool = True
    retry_after: float | None = None


class Lost(msgspec.Struct, frozen=True):
    """The worker of an attempt is gone. If the attempt is known not to be to blame, it does not count as a loss."""

    attempt: int
    is_counted: bool = True


class Extending(msgspec.Struct, frozen=True):
    """A running attempt adds steps to its own run."""

    attempt: int


class Extended(msgspec.Struct, frozen=True):
    """Steps were added, for which it waits as well."""


class Cancelled(msgspec.Struct, frozen=True):
    """The run is to end."""


class Reset(msgspec.Struct, frozen=True):
    """A person resets it, or something above it, to be done again."""


class SetByHand(msgspec.Struct, frozen=True):
    """A person sets its end: skipped or succeeded."""

    status: StepStatus


AttemptEvent = Begun | Recalled | Resent | Retrying | Extending | Ended | Lost
"""Events of one attempt; they are refused if another attempt is the current one."""

FromOutside = Claimed | Sent | Received | Expired | Cancelled | Reset | SetByHand
"""Events that are not of one attempt, and not consequences of what happened to other steps."""

Event = ParentsDone | PlanDone | Extended | AttemptEvent | FromOutside


class Change(msgspec.Struct, frozen=True):
    """The new row. `after_seconds`: not claimable before; `cause`: why an attempt did not end in order."""

    status: StepStatus
    attempt: int
    failures: int
    losses: int
    after_seconds: float = 0.0
    cause: str = ""  # failed, lost, released, suspended, recalled
    asked_to_end: bool = False


class Refused:
    """The event comes too late, or from an older attempt. Nothing changes."""


REFUSED = Refused()


def decide(step: Facts, event: Event) -> Change | Refused:
    """The effect of `event` on `step`."""
    if isinstance(event, Reset | SetByHand):
        return _by_hand(step, event)
    if step.status.is_final:
        return REFUSED
    match event:
        case ParentsDone():
            return _parents_done(step, event)
        case PlanDone(failed=failed):
            if step.status is not StepStatus.BLOCKED:
                return REFUSED
            return _become(step, StepStatus.FAILED if failed else StepStatus.SUCCEEDED)
        case Extended():
            return _become(step, StepStatus.BLOCKED) if step.status is StepStatus.BLOCKED else REFUSED
        case Claimed() | Sent():
            if step.status is not StepStatus.READY:
                return REFUSED
            status = StepStatus.SENT if isinstance(event, Sent) else StepStatus.RUNNING
            return Change(status, step.attempt + 1, step.failures, step.losses)
        case Received():
            return _become(step, StepStatus.SUCCEEDED) if step.status is StepStatus.READY else REFUSED
        case Expired(failed=failed):
            if step.status is not StepStatus.READY and not _can_be_refused(step):
                return REFUSED
            return _become(step, StepStatus.FAILED if failed else StepStatus.SUCCEEDED)
        case Cancelled():
            if step.status in LIVE and not _can_be_refused(step):
                return _asked(step, step.status)
            return _become(step, StepStatus.CANCELLED)
        case Begun() | Recalled() | Resent():
            if step.status is not StepStatus.SENT or event.attempt != step.attempt:
                return REFUSED
            return _of_sent(step, event)
        case Ended() | Lost() | Retrying() | Extending():
            if step.status not in LIVE or event.attempt != step.attempt:
                return REFUSED
            return _of_live(step, event)
        case _:
            assert_never(event)


def _can_be_refused(step: Facts) -> bool:
    """Whether it was sent to an executor that must still ask before it begins."""
    return step.status is StepStatus.SENT and step.is_fenced


def _of_sent(step: Facts, event: Begun | Recalled | Resent) -> Change | Refused:
    match event:
        case Begun():
            if step.run_is_paused and step.is_fenced:
                return _again(step, "recalled")
            return _asked(step, StepStatus.RUNNING) if step.is_asked_to_end else _become(step, StepStatus.RUNNING)
        case Recalled():
            return _become(step, StepStatus.CANCELLED) if step.run_is_ending else _again(step, "recalled")
        case Resent(is_next=is_next):
            if step.run_is_ending or step.run_is_paused:
                return REFUSED  # none of its steps starts any more, or now
            return Change(StepStatus.SENT, step.attempt + is_next, step.failures, step.losses)
        case _:
            assert_never(event)


def _of_live(step: Facts, event: Ended | Lost | Retrying | Extending) -> Change | Refused:
    match event:
        case Extending():
            return REFUSED if step.run_is_ending else _become(step, step.status)
        case Ended():
            return _ended(step, event)
        case Lost(is_counted=is_counted):
            if step.run_is_ending:
                return _become(step, StepStatus.CANCELLED)
            return _lost(step) if is_counted else _again(step, "lost")
        case Retrying():
            if step.run_is_ending:
                return _become(step, StepStatus.CANCELLED)
            if step.is_asked_to_end:
                return _again(step, "released")
            failures = step.failures + 1
            if event.held_until is not None:
                return Change(StepStatus.SENT, step.attempt + 1, failures, step.losses, cause="failed")
            after = max(event.after_seconds, 0.0)
            return Change(StepStatus.READY, step.attempt, failures, step.losses, after, cause="failed")
        case _:
            assert_never(event)


def _by_hand(step: Facts, event: Reset | SetByHand) -> Change | Refused:
    if step.status in LIVE:
        return REFUSED
    if isinstance(event, Reset):
        return Change(StepStatus.BLOCKED if step.waiting_on else StepStatus.READY, step.attempt, 0, 0)
    if step.status in (StepStatus.SUCCEEDED, event.status):
        return REFUSED
    return Change(event.status, step.attempt, 0, 0)


def _parents_done(step: Facts, event: ParentsDone) -> Change | Refused:
    if step.status is not StepStatus.BLOCKED:
        return REFUSED
    verdict = judge_join(
        step.rule,
        step.waiting_on - event.succeeded - event.failed - event.skipped,
        step.failed_above + event.failed,
        step.skipped_above + event.skipped,
        event.succeeded,
    )
    match verdict:
        case JoinVerdict.START:
            return _become(step, StepStatus.READY)
        case JoinVerdict.SKIP:
            return _become(step, StepStatus.SKIPPED)
        case JoinVerdict.WAIT:
            return _become(step, StepStatus.BLOCKED)
        case _:
            assert_never(verdict)


def _ended(step: Facts, event: Ended) -> Change | Refused:
    verdict = event.verdict
    if step.run_is_ending and verdict in _STARTS_MORE:
        verdict = Verdict.CANCELLED
    elif not step.run_is_ending and step.is_asked_to_end and verdict in _MAY_BE_ITS_ANSWER:
        # Its run was paused, and it was asked to end. It is unknown whether it failed because of that: it starts again
        # with the run, and this does not count as a try.
        verdict = Verdict.RELEASED
    match verdict:
        case Verdict.SUCCEEDED:
            return _become(step, StepStatus.SUCCEEDED)
        case Verdict.SKIPPED:
            return _become(step, StepStatus.SKIPPED)
        case Verdict.CANCELLED:
            return _become(step, StepStatus.CANCELLED)
        case Verdict.EXPANDED:
            return _become(step, StepStatus.BLOCKED)
        case Verdict.RECORDED:
            return REFUSED  # nothing is left to be written
        case Verdict.RELEASED:
            return _again(step, "released")
        case Verdict.SUSPENDED:  # it has come this far, so it is not what its workers died of
            return Change(StepStatus.READY, step.attempt, step.failures, losses=0, cause="suspended")
        case Verdict.LOST:
            return _lost(step)
        case Verdict.FAILED:
            return _failed(step, event)
        case _:
            assert_never(verdict)


_STARTS_MORE = frozenset({Verdict.RELEASED, Verdict.SUSPENDED, Verdict.EXPANDED, Verdict.FAILED, Verdict.LOST})
_MAY_BE_ITS_ANSWER = frozenset({Verdict.CANCELLED, Verdict.FAILED, Verdict.LOST})


def _failed(step: Facts, event: Ended) -> Change:
    failures = step.failures + 1
    if not event.retryable or failures > step.policy.retries:
        return Change(StepStatus.FAILED, step.attempt, failures, step.losses, cause="failed")
    after = event.retry_after
    if after is None:
        after = delay_seconds(step.policy, failures, seed=step.seed)
    return Change(StepStatus.READY, step.attempt, failures, step.losses, max(after, 0.0), cause="failed")


def _lost(step: Facts) -> Change:
    losses = step.losses + 1
    status = StepStatus.FAILED if losses > step.policy.lost_retries else StepStatus.READY
    return Change(status, step.attempt, step.failures, losses, cause="lost")


def _again(step: Facts, cause: str) -> Change:
    """It did not count as a try: it may start immediately, with the same number of tries left."""
    return Change(StepStatus.READY, step.attempt, step.failures, step.losses, cause=cause)


def _asked(step: Facts, status: StepStatus) -> Change:
    return Change(status, step.attempt, step.failures, step.losses, asked_to_end=True)


def _become(step: Facts, status: StepStatus) -> Change:
    return Change(status, step.attempt, step.failures, step.losses)
