"""What the end of a message means for its step: the table of classify.py, row by row."""

from __future__ import annotations

import pytest
from dramatiq.middleware import Shutdown, SkipMessage, TimeLimitExceeded

from segue.errors import Abort, Retry, Skip
from segue.executors.dramatiq.attempt import CancelledStep
from segue.executors.dramatiq.classify import MOST_UNEXPLAINED, UNKNOWN_AGAIN_SECONDS, End, meaning_of
from segue.model import Verdict

ROWS: dict[str, tuple[End, Verdict, float | None]] = {
    "returned": (End(returned=True), Verdict.SUCCEEDED, None),
    "returned, then interrupted in a hook": (
        End(returned=True, error=TimeLimitExceeded(), retry_seconds=15.0), Verdict.SUCCEEDED, None
    ),
    "returned, then rejected": (End(returned=True, is_rejected=True), Verdict.SUCCEEDED, None),
    "skipped": (End(skipped=True, error=SkipMessage("not today")), Verdict.SKIPPED, None),
    "too old": (End(is_rejected=True, skipped=True, error=SkipMessage("age")), Verdict.FAILED, None),
    "retried": (End(error=ValueError("x"), retry_seconds=0.1), Verdict.FAILED, 0.1),
    "retried by Segue's Retry": (End(error=Retry("x", after=7), retry_seconds=15.0), Verdict.FAILED, 7.0),
    "retried by Segue's Retry without a time": (End(error=Retry("x"), retry_seconds=15.0), Verdict.FAILED, 15.0),
    "rejected": (End(is_rejected=True, error=ValueError("x")), Verdict.FAILED, None),
    "rejected without an exception": (End(is_rejected=True), Verdict.FAILED, None),
    "no retry was published": (End(error=ValueError("x")), Verdict.FAILED, 15.0),
    "no retry was published, later": (End(error=ValueError("x"), failures=3), Verdict.FAILED, 120.0),
    "no retry was published, too often": (End(error=ValueError("x"), failures=MOST_UNEXPLAINED), Verdict.FAILED, None),
    "a broker without Retries": (End(error=ValueError("x"), has_retries=False), Verdict.FAILED, None),
    "shut down": (End(error=Shutdown(), retry_seconds=15.0), Verdict.RELEASED, None),
    "shut down as the last try": (End(is_rejected=True, error=Shutdown()), Verdict.RELEASED, None),
    "asked to end": (End(error=CancelledStep(), retry_seconds=15.0), Verdict.CANCELLED, None),
    "Segue's Skip": (End(error=Skip("x"), retry_seconds=15.0), Verdict.SKIPPED, None),
    "Segue's Abort": (End(error=Abort("x"), retry_seconds=15.0), Verdict.FAILED, None),
    "time limit": (End(error=TimeLimitExceeded(), retry_seconds=1.0), Verdict.FAILED, 1.0),
    "unknown actor": (End(is_rejected=True, has_begun=False), Verdict.FAILED, UNKNOWN_AGAIN_SECONDS[0]),
    "unknown actor, too often": (
        End(is_rejected=True, has_begun=False, unknown=len(UNKNOWN_AGAIN_SECONDS)), Verdict.FAILED, None
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", ROWS)
def test_the_end_of_a_message(name: str) -> None:
    end, verdict, again = ROWS[name]
    meaning = meaning_of(end)
    assert (meaning.verdict, meaning.again_seconds) == (verdict, again)


def test_the_abort_of_dramatiq_abort_is_final() -> None:
    kind = type("Abort", (BaseException,), {"__module__": "dramatiq_abort.abort_manager"})
    meaning = meaning_of(End(error=kind(), retry_seconds=15.0))
    assert (meaning.verdict, meaning.again_seconds) == (Verdict.FAILED, None)


def test_errors_say_what_happened() -> None:
    for name, words in (("too old", "age"), ("unknown actor", "does not know"), ("rejected", "x")):
        error = meaning_of(ROWS[name][0]).error
        assert error is not None
        assert words in error.message
