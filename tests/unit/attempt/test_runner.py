"""One attempt in this process: how values and exceptions of every kind become outcomes."""

from __future__ import annotations

from typing import Any

import pytest

from segue.attempt.runner import run_job
from segue.authoring import task
from segue.authoring.context import Cancelled, current, progress
from segue.given import MESSAGE_LIMIT_BYTES, TRACEBACK_LIMIT_BYTES
from segue.model import Job, Outcome, Progress, Verdict


class WordyError(Exception):
    """Has a name that must be told apart from others of the same name."""


@task
def raise_long() -> None:
    raise WordyError("ä" * 100_000)


@task
def raise_surrogate() -> None:
    raise ValueError("bad file name \udcff")


@task
def raise_nul() -> None:
    raise ValueError("cut off at \0")


@task
def recurse() -> None:
    recurse()


@task
def hold_itself() -> Any:
    knot: list[Any] = []
    knot.append(knot)
    return knot


@task
def cancel_itself() -> None:
    raise Cancelled


@task
def interrupt() -> None:
    raise KeyboardInterrupt


@task
def fan_out() -> Any:
    return who_am_i.s()


@task
def who_am_i() -> list[Any]:
    context = current()
    return [context.run_id, context.step, context.attempt, context.failures, context.timeout]


@task
def report_twice() -> None:
    progress(1, 2, "first")
    progress(2, 2, "\udcff")


@task
async def wait_for_cancel() -> None:
    progress(1)


def run(function: Any, **options: Any) -> Outcome:
    return run_job(Job("run", 4, 2, "name", function.name, "[[],{}]", None, {}, 9.0, 1), **options)


def test_the_error_is_bounded_and_named_in_full() -> None:
    error = run(raise_long).error
    assert error is not None
    assert error.type == f"{__name__}.WordyError"
    assert len(error.message.encode()) <= MESSAGE_LIMIT_BYTES
    assert len(error.traceback.encode()) <= TRACEBACK_LIMIT_BYTES
    assert "raise_long" in error.traceback


def test_text_that_is_not_unicode_is_kept_readable() -> None:
    error = run(raise_surrogate).error
    assert error is not None
    assert error.message == "bad file name \\udcff"


def test_text_that_a_database_cannot_hold_is_kept_readable() -> None:
    error = run(raise_nul).error
    assert error is not None
    assert error.message == "cut off at \\x00"
    assert "\0" not in error.traceback


@pytest.mark.parametrize("function", [recurse, hold_itself])
def test_endless_things_fail(function: Any) -> None:
    assert run(function).verdict == Verdict.FAILED


def test_the_task_sees_its_attempt() -> None:
    assert run(who_am_i).result == '["run",4,2,1,9.0]'


def test_the_last_progress_is_told_although_it_came_too_soon() -> None:
    told: list[Progress] = []
    run(report_twice, report=told.append)
    assert [(item.done, item.message) for item in told] == [(1, "first"), (2, "\\udcff")]


def test_being_cancelled_gets_through_when_it_was_asked_for() -> None:
    with pytest.raises(Cancelled):
        run(cancel_itself, is_cancelled=lambda: True)
    error = run(cancel_itself).error
    assert error is not None
    assert error.type == "segue.authoring.context.Cancelled"
    for function in (report_twice, wait_for_cancel):
        with pytest.raises(Cancelled):
            run(function, is_cancelled=lambda: True)


def test_an_interrupt_is_a_failure_unless_it_may_pass() -> None:
    assert run(interrupt).verdict == Verdict.FAILED
    with pytest.raises(KeyboardInterrupt):
        run(interrupt, let_through=(KeyboardInterrupt,))


def test_the_limit_of_a_result_is_said() -> None:
    outcome = run(who_am_i, result_limit_bytes=5)
    assert (outcome.verdict, outcome.retryable) == (Verdict.FAILED, False)
    assert outcome.error is not None
    assert "more than the limit of 5" in outcome.error.message


def test_a_plan_that_is_too_large_is_refused_with_the_remedy() -> None:
    outcome = run(fan_out, result_limit_bytes=50)
    assert outcome.error is not None
    assert outcome.error.type == "ResultTooLargeError"
    assert "The plan that" in outcome.error.message
    assert "batch=100" in outcome.error.message
