"""How an attempt ended: from what its process wrote, or, if it could not, from what the platform says. Pure."""

from __future__ import annotations

from typing import assert_never

import msgspec

from segue.dispatcher.protocol import Cause, Collected, Phase, Push, Sighting
from segue.model import WORKER_LOST, ErrorInfo, Outcome, Verdict

PROCESS_DIED = "ProcessDiedError"


def outcome_of(push: Push, sighting: Sighting, collected: Collected, *, was_cancelled: bool) -> Outcome:
    """The outcome to record. What the process itself wrote counts before anything that the platform says.

    `was_cancelled`: Segue asked the platform to end it. Then a failure, or a loss, is the answer to that.
    """
    run_id, step, attempt = push.attempt
    written = collected.outcome
    if written is not None:
        found = msgspec.structs.replace(written, run_id=run_id, step=step, attempt=attempt)
        is_answer = was_cancelled and found.verdict in (Verdict.FAILED, Verdict.LOST, Verdict.RELEASED)
        was_killed = found.error is not None and found.error.type == PROCESS_DIED
        knows_less = was_killed and sighting.cause is Cause.OUT_OF_MEMORY
        if not is_answer and not knows_less:
            return found
    if was_cancelled:
        return Outcome(run_id, step, attempt, Verdict.CANCELLED, retryable=False, output=collected.output)
    verdict, error, retryable = _judged(sighting)
    return Outcome(run_id, step, attempt, verdict, error=error, retryable=retryable, output=collected.output)


def _judged(sighting: Sighting) -> tuple[Verdict, ErrorInfo, bool]:
    said = f" ({sighting.reason})" if sighting.reason else ""
    code = sighting.exit_code
    if sighting.phase is Phase.GONE:
        return _lost(f"its platform does not know it any more, and it left no result{said}")
    match sighting.cause:
        case Cause.LOST:
            return _lost(f"its machine failed, or it was preempted{said}")
        case Cause.CANCELLED:
            return _lost(f"it was ended at its platform, and not by Segue{said}")
        case Cause.OUT_OF_MEMORY:
            return _failed("OutOfMemoryError", f"it used more memory than its platform gave it{said}; give it more")
        case Cause.TIMEOUT:
            return _failed("TimeoutError", f"its platform ended it, because its time was over{said}")
        case Cause.SIGNAL:
            return _failed(PROCESS_DIED, f"its process was ended by signal {-(code or 0)}{said}")
        case Cause.CONFIG:
            return _failed("PushRefusedError", f"its platform cannot run it{said}", retryable=False)
        case Cause.EXIT | None:
            how = "it ended" if code is None else f"it ended with exit code {code}"
            return _failed(PROCESS_DIED, f"{how} before its task returned, and left no result{said}")
        case unknown:
            assert_never(unknown)


def _lost(message: str) -> tuple[Verdict, ErrorInfo, bool]:
    return Verdict.LOST, ErrorInfo(WORKER_LOST, message), True


def _failed(kind: str, message: str, *, retryable: bool = True) -> tuple[Verdict, ErrorInfo, bool]:
    return Verdict.FAILED, ErrorInfo(kind, message), retryable


def refused(push: Push, why: str) -> Outcome:
    """The outcome of a push that the platform will never take."""
    error = ErrorInfo("PushRefusedError", f"its executor refused it: {why}")
    return Outcome(*push.attempt, Verdict.FAILED, error=error, retryable=False)
