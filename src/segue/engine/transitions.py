"""The state machine on one page: what an event means for one step. Pure; the engine writes down what it says.

    status     event            becomes
    ---------  ---------------  ------------------------------------------------------------------------
    blocked    ParentsDone      ready, skipped, or still blocked (its join rule decides)
    blocked    PlanDone         succeeded or failed (a step that waits for the plan its task returned)
    ready      Claimed          running, attempt + 1
    ready      Received         succeeded (it waited for a message)
    ready      Expired          failed, or succeeded (nobody claimed it in time, or its message did not come)
    running    Ended            succeeded · skipped · cancelled · blocked (returned a plan) ·
                                ready (failed with tries left, or handed back) · failed
    running    Lost             ready, or failed when it lost too many workers
    not final  Cancelled        cancelled at once; a running one is asked to end first
    any        Reset            ready or blocked, with all its tries; not while an attempt is under way
    any        Said             skipped or succeeded, because a person says so; not while an attempt is under way, and
                                not where it succeeded already

Everything else is refused: what is final changes only when a person says so, and what an older attempt says changes
nothing.
Two moves touch many rows and are SQL (claim, and release within `finish`); a property test holds them to this page.
"""

from __future__ import annotations

import msgspec

from segue.engine.backoff import delay_seconds
from segue.model import JoinVerdict, Policy, StepStatus, Verdict, judge_join

DEFAULT_POLICY = Policy()


class Facts(msgspec.Struct, frozen=True):
    """What a decision may depend on: the row as it stands."""

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


class ParentsDone(msgspec.Struct, frozen=True):
    """Parents became final just now, so many with each status."""

    succeeded: int = 0
    failed: int = 0
    skipped: int = 0


class PlanDone(msgspec.Struct, frozen=True):
    """The plan that the task returned is done."""

    failed: bool


class Claimed(msgspec.Struct, frozen=True):
    """A worker takes it."""


class Received(msgspec.Struct, frozen=True):
    """The message that it waits for came."""


class Expired(msgspec.Struct, frozen=True):
    """Its time to be claimed, or to receive its message, is over; it may have a default for that."""

    failed: bool


class Ended(msgspec.Struct, frozen=True):
    """An attempt reports."""

    attempt: int
    verdict: Verdict
    retryable: bool = True
    retry_after: float | None = None


class Lost(msgspec.Struct, frozen=True):
    """The worker of an attempt is gone."""

    attempt: int


class Cancelled(msgspec.Struct, frozen=True):
    """The run is to end."""


class Reset(msgspec.Struct, frozen=True):
    """A person has it, or something above it, done again."""


class Said(msgspec.Struct, frozen=True):
    """A person says how it ended: skipped or succeeded."""

    status: StepStatus


Event = ParentsDone | PlanDone | Claimed | Received | Expired | Ended | Lost | Cancelled | Reset | Said


class Change(msgspec.Struct, frozen=True):
    """The row as it becomes. `after_seconds`: not claimable before; `cause`: what the attempt's record says."""

    status: StepStatus
    attempt: int
    failures: int
    losses: int
    after_seconds: float = 0.0
    cause: str = ""
    asked_to_end: bool = False


class Refused:
    """The event comes too late, or from an older attempt. Nothing changes."""


REFUSED = Refused()


def decide(step: Facts, event: Event) -> Change | Refused:
    """What `event` means for `step`."""
    if isinstance(event, Reset | Said):
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
        case Claimed():
            if step.status is not StepStatus.READY:
                return REFUSED
            return Change(StepStatus.RUNNING, step.attempt + 1, step.failures, step.losses)
        case Received():
            return _become(step, StepStatus.SUCCEEDED) if step.status is StepStatus.READY else REFUSED
        case Expired(failed=failed):
            if step.status is not StepStatus.READY:
                return REFUSED
            return _become(step, StepStatus.FAILED if failed else StepStatus.SUCCEEDED)
        case Ended():
            if step.status is not StepStatus.RUNNING or event.attempt != step.attempt:
                return REFUSED
            return _ended(step, event)
        case Lost(attempt=attempt):
            if step.status is not StepStatus.RUNNING or attempt != step.attempt:
                return REFUSED
            losses = step.losses + 1
            status = StepStatus.FAILED if losses > step.policy.lost_retries else StepStatus.READY
            return Change(status, step.attempt, step.failures, losses, cause="lost")
        case Cancelled():
            if step.status is StepStatus.RUNNING:
                return Change(step.status, step.attempt, step.failures, step.losses, asked_to_end=True)
            return _become(step, StepStatus.CANCELLED)


def _by_hand(step: Facts, event: Reset | Said) -> Change | Refused:
    if step.status in (StepStatus.RUNNING, StepStatus.SENT):
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


def _ended(step: Facts, event: Ended) -> Change | Refused:
    match event.verdict:
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
            return Change(StepStatus.READY, step.attempt, step.failures, step.losses, cause="released")
        case Verdict.FAILED:
            failures = step.failures + 1
            if not event.retryable or failures > step.policy.retries:
                return Change(StepStatus.FAILED, step.attempt, failures, step.losses, cause="failed")
            after = event.retry_after
            if after is None:
                after = delay_seconds(step.policy, failures, seed=step.seed)
            return Change(StepStatus.READY, step.attempt, failures, step.losses, max(after, 0.0), cause="failed")


def _become(step: Facts, status: StepStatus) -> Change:
    return Change(status, step.attempt, step.failures, step.losses)
