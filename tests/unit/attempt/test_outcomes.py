"""What is reported of an attempt, also by a process that has no pool and does not know the task."""

from __future__ import annotations

import pytest

from segue import Retry, Skip, sleep, task
from segue.attempt import outcomes
from segue.model import Job, Outcome, Verdict

JOB = Job("run", 0, 1, "a", "app.a", "[[],{}]", None, {}, 1.0)


def answer(verdict: Verdict) -> Outcome:
    return Outcome("run", 0, 1, verdict, output="words", seconds=2.0)


@pytest.mark.parametrize("end", [outcomes.cancelled, outcomes.released, outcomes.timed_out])
def test_what_is_recorded_stays_recorded(end: object) -> None:
    assert callable(end)
    assert outcomes.overridden(answer(Verdict.RECORDED), end(JOB)).verdict == Verdict.RECORDED


def test_a_failure_is_an_effect_of_the_ending() -> None:
    ended = outcomes.overridden(answer(Verdict.FAILED), outcomes.timed_out(JOB))
    assert ended.error is not None
    assert (ended.error.type, ended.output, ended.seconds) == ("TimeoutError", "words", 2.0)


ATTEMPT = ("run", 3, 2)


@task(retry_on=ConnectionError)
def fetch(path: str) -> int:
    return len(path)


def test_a_value_is_an_outcome_without_a_pool_or_a_task() -> None:
    outcome = outcomes.returned(ATTEMPT, {"rows": 3}, task_name="elsewhere.count")
    assert (outcome.run_id, outcome.step, outcome.attempt) == ATTEMPT
    assert (outcome.verdict, outcome.result) == (Verdict.SUCCEEDED, '{"rows":3}')


def test_a_plan_expands() -> None:
    outcome = outcomes.returned(ATTEMPT, sleep.s(1.0), task_name="elsewhere.plan")
    assert outcome.verdict == Verdict.EXPANDED


def test_what_cannot_be_kept_is_a_failure() -> None:
    large = outcomes.returned(ATTEMPT, "x" * 100, task_name="elsewhere.read", limit_bytes=50)
    assert large.error is not None
    assert (large.verdict, large.retryable, large.error.type) == (Verdict.FAILED, False, "ResultTooLargeError")
    odd = outcomes.returned(ATTEMPT, object(), task_name="elsewhere.read")
    assert (odd.verdict, odd.result) == (Verdict.FAILED, None)


def test_an_exception_is_an_outcome_by_its_kind() -> None:
    skipped = outcomes.raised(ATTEMPT, Skip("nothing new"))
    assert (skipped.verdict, skipped.retryable) == (Verdict.SKIPPED, False)
    later = outcomes.raised(ATTEMPT, Retry("busy", after=5))
    assert (later.verdict, later.retryable, later.retry_after) == (Verdict.FAILED, True, 5.0)
    assert outcomes.raised(ATTEMPT, ValueError("no")).retryable


def test_a_task_that_is_known_says_what_is_tried_again() -> None:
    assert outcomes.raised(ATTEMPT, ConnectionError("gone"), task=fetch).retryable
    assert not outcomes.raised(ATTEMPT, ValueError("no"), task=fetch).retryable
