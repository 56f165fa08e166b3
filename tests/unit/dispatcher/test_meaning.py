"""How an attempt ended, from what its process wrote and what the platform says."""

from __future__ import annotations

import pytest

from segue.dispatcher.meaning import outcome_of
from segue.dispatcher.protocol import Cause, Collected, Phase, Push, Sighting
from segue.model import ErrorInfo, Outcome, Verdict

PUSH = Push("0193a1b2-c3d4-7e5f-8a6b-7c8d9e0f1a2b", ("run", 3, 2))


def ended(cause: Cause | None, code: int | None = None) -> Sighting:
    return Sighting(PUSH.id, Phase.ENDED, "AS THE PLATFORM SAYS", cause=cause, exit_code=code)


def judged(sighting: Sighting, written: Outcome | None = None, *, was_cancelled: bool = False) -> Outcome:
    outcome = outcome_of(PUSH, sighting, Collected(written, "tail"), was_cancelled=was_cancelled)
    assert (outcome.run_id, outcome.step, outcome.attempt) == PUSH.attempt
    return outcome


def wrote(verdict: Verdict, kind: str = "ValueError") -> Outcome:
    error = None if verdict is Verdict.SUCCEEDED else ErrorInfo(kind, "as the task says")
    return Outcome("another", 9, 9, verdict, result="1" if error is None else None, error=error)


@pytest.mark.parametrize("cause", Cause)
def test_what_was_written_counts_whatever_the_platform_says(cause: Cause) -> None:
    assert judged(ended(cause), wrote(Verdict.SUCCEEDED)).result == "1"
    failed = judged(ended(cause), wrote(Verdict.FAILED))
    assert failed.error == ErrorInfo("ValueError", "as the task says")


def test_only_the_platform_knows_that_memory_ran_out() -> None:
    outcome = judged(ended(Cause.OUT_OF_MEMORY), wrote(Verdict.FAILED, "ProcessDiedError"))
    assert outcome.error is not None
    assert (outcome.verdict, outcome.error.type, outcome.retryable) == (Verdict.FAILED, "OutOfMemoryError", True)


@pytest.mark.parametrize("verdict", [Verdict.FAILED, Verdict.LOST])
def test_a_failure_answers_a_cancel(verdict: Verdict) -> None:
    assert judged(ended(Cause.EXIT, 1), wrote(verdict), was_cancelled=True).verdict == Verdict.CANCELLED
    assert judged(ended(Cause.CANCELLED), was_cancelled=True).verdict == Verdict.CANCELLED
    assert judged(ended(Cause.EXIT, 0), wrote(Verdict.SUCCEEDED), was_cancelled=True).verdict == Verdict.SUCCEEDED


@pytest.mark.parametrize(
    "sighting, verdict, retryable, says",
    [
        (ended(Cause.EXIT, 3), Verdict.FAILED, True, "exit code 3"),
        (ended(Cause.EXIT, 0), Verdict.FAILED, True, "exit code 0"),
        (ended(None), Verdict.FAILED, True, "it ended before"),
        (ended(Cause.SIGNAL, -9), Verdict.FAILED, True, "signal 9"),
        (ended(Cause.TIMEOUT), Verdict.FAILED, True, "time was over"),
        (ended(Cause.CONFIG), Verdict.FAILED, False, "cannot run it"),
        (ended(Cause.LOST), Verdict.LOST, True, "machine failed"),
        (ended(Cause.CANCELLED), Verdict.LOST, True, "not by Segue"),
        (Sighting(PUSH.id, Phase.GONE, "AS THE PLATFORM SAYS"), Verdict.LOST, True, "does not know it"),
    ],
)
def test_without_an_outcome_the_platform_decides(
    sighting: Sighting, verdict: Verdict, retryable: bool, says: str
) -> None:
    outcome = judged(sighting)
    assert outcome.error is not None
    assert (outcome.verdict, outcome.retryable, outcome.output) == (verdict, retryable, "tail")
    assert says in outcome.error.message
    assert "AS THE PLATFORM SAYS" in outcome.error.message
