"""What counts when an attempt answers while it is being ended."""

from __future__ import annotations

import pytest

from segue.model import Job, Outcome, Verdict
from segue.worker.pool import endings

JOB = Job("run", 0, 1, "a", "app.a", "[[],{}]", None, {}, 1.0)


def answer(verdict: Verdict) -> Outcome:
    return Outcome("run", 0, 1, verdict, output="words", seconds=2.0)


@pytest.mark.parametrize("end", [endings.cancelled, endings.released, endings.timed_out])
def test_what_is_recorded_stays_recorded(end: object) -> None:
    assert callable(end)
    assert endings.overridden(answer(Verdict.RECORDED), end(JOB)).verdict == Verdict.RECORDED


def test_a_failure_is_an_effect_of_the_ending() -> None:
    ended = endings.overridden(answer(Verdict.FAILED), endings.timed_out(JOB))
    assert ended.error is not None
    assert (ended.error.type, ended.output, ended.seconds) == ("TimeoutError", "words", 2.0)
