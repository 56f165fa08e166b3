"""What the end of a message means for its step. Pure.

    how the message ended                                        its step
    -----------------------------------------------------------  ---------------------------------------------------
    the actor returned, whatever came after that                 succeeded
    skipped by another middleware (SkipMessage)                  skipped
    skipped and failed (AgeLimit)                                failed
    the actor raised `Shutdown`                                  released: sent again, and no try is spent
    the actor raised `Cancelled`                                 cancelled
    the actor raised Segue's `Skip` or `Abort`                   skipped, failed
    dramatiq-abort interrupted the actor                         failed, whatever Retries would do
    a retry was to be sent                                       tried again after the delay of that retry
    rejected: retries are spent, `throws`, `max_retries=0`       failed
    raised, acknowledged, and nothing was to be sent             tried again after a while, as Retries would
    the same, on a broker without Retries                        failed
    rejected before it began: its actor is not known here        sent again later; failed when that was of no use

Whether a failure is final is never guessed from options: Retries either sends the message again, or rejects it.
"""

from __future__ import annotations

from typing import NamedTuple

from segue.attempt.outcomes import describe
from segue.errors import Abort, DefinitionError, Retry, Skip, seconds_after
from segue.given import attribute, class_name, is_a
from segue.model import ErrorInfo, Verdict

UNKNOWN_AGAIN_SECONDS = (5.0, 10.0, 20.0, 40.0, 80.0)
"""How long to wait until a message is sent again whose actor a process did not know: new code may be on its way."""

MOST_UNEXPLAINED = 20
"""How often a step is tried again whose failures the broker acknowledged without a retry."""

_FIRST_SECONDS, _LONGEST_SECONDS = 15.0, 3600.0
_SHUTDOWNS = ("dramatiq.middleware.shutdown.Shutdown",)
_ABORTS = ("dramatiq_abort.abort_manager.Abort",)
_CANCELLATIONS = ("segue.authoring.context.Cancelled", "segue.executors.dramatiq.attempt.CancelledStep")


class End(NamedTuple):
    """How a message ended, as its hooks saw it."""

    is_rejected: bool = False
    has_begun: bool = True
    returned: bool = False
    skipped: bool = False
    error: BaseException | None = None
    retry_seconds: float | None = None  # a retry was to be sent, after this time
    has_retries: bool = True  # the broker has the middleware for that
    failures: int = 0  # tries that failed before this one
    unknown: int = 0  # how often a process had it that does not know the actor


class Meaning(NamedTuple):
    """What that means. With `again_seconds`, the attempt failed and is followed by another one."""

    verdict: Verdict
    error: ErrorInfo | None = None
    again_seconds: float | None = None
    is_unknown: bool = False


def meaning_of(end: End) -> Meaning:
    """What the end of a message means for its step."""
    if not end.has_begun:
        return _of_unknown(end)
    if end.returned:
        return Meaning(Verdict.SUCCEEDED)
    error = _described(end)
    if end.skipped and not end.is_rejected:
        return Meaning(Verdict.SKIPPED, error)
    if end.error is not None:
        decided = _by_error(end.error, error)
        if decided is not None:
            return decided
    if end.is_rejected:
        return Meaning(Verdict.FAILED, error)
    if end.retry_seconds is not None:
        return Meaning(Verdict.FAILED, error, _asked_for(end.error, end.retry_seconds))
    if end.has_retries and end.failures < MOST_UNEXPLAINED:
        return Meaning(Verdict.FAILED, error, min(_FIRST_SECONDS * 2.0**end.failures, _LONGEST_SECONDS))
    return Meaning(Verdict.FAILED, error)


def _by_error(error: BaseException, described: ErrorInfo) -> Meaning | None:
    names = {class_name(kind) for kind in type(error).__mro__}
    if names.intersection(_SHUTDOWNS):
        return Meaning(Verdict.RELEASED)
    if names.intersection(_CANCELLATIONS):
        return Meaning(Verdict.CANCELLED, described)
    if is_a(error, Skip):
        return Meaning(Verdict.SKIPPED, described)
    if is_a(error, Abort) or names.intersection(_ABORTS):
        return Meaning(Verdict.FAILED, described)
    return None


def _asked_for(error: BaseException | None, seconds: float) -> float:
    """The time after which it is tried again: that of Segue's `Retry` if the actor raised it."""
    if error is None or not is_a(error, Retry):
        return seconds
    try:
        after = seconds_after(attribute(error, "after"))
    except DefinitionError:
        return seconds
    return seconds if after is None else after


def _of_unknown(end: End) -> Meaning:
    error = _described(end)
    if end.unknown < len(UNKNOWN_AGAIN_SECONDS):
        return Meaning(Verdict.FAILED, error, UNKNOWN_AGAIN_SECONDS[end.unknown], is_unknown=True)
    return Meaning(Verdict.FAILED, error, is_unknown=True)


def _described(end: End) -> ErrorInfo:
    if end.error is not None and class_name(type(end.error)).rpartition(".")[2] != "SkipMessage":
        return describe(end.error)
    if not end.has_begun:
        return ErrorInfo("ActorNotFound", "a worker that does not know this actor got its message")
    if end.skipped:
        said = str(end.error) if end.error is not None else ""
        return ErrorInfo("SkipMessage", said or "a middleware skipped the message")
    return ErrorInfo("MessageFailed", "a middleware failed the message without an exception")
