"""How attempts end: retries, limits of time and age, skips, shutdowns, what middleware does to a message."""

from __future__ import annotations

from pathlib import Path

import pytest

from segue.errors import RunFailedError
from segue.executors.dramatiq import Chain
from tests.executors.dramatiq.conftest import Project, wait_until


def test_retries_of_dramatiq_are_attempts_of_the_step(inner: Project, tmp_path: Path) -> None:
    run = inner.ended(inner.message("flaky", str(tmp_path / "tries"), 3))
    assert run.result() == 3
    [found] = run.steps()
    assert (found.attempt, found.failures) == (3, 2)
    assert (tmp_path / "tries").read_text().split() == ["1", "2", "3"]


def test_a_failure_is_final_when_retries_are_spent(inner: Project, tmp_path: Path) -> None:
    run = inner.ended(Chain(inner.message("fail_thrice", str(tmp_path / "tries")), inner.message("add", 1)))
    assert run.status == "failed"
    assert (tmp_path / "tries").read_text().split() == ["tried"] * 3


@pytest.mark.parametrize("actor", ["thrown", "fail"])
def test_a_failure_that_is_expected_is_final_at_once(inner: Project, actor: str) -> None:
    run = inner.ended(inner.message(actor))
    assert (run.status, run.steps()[0].attempt) == ("failed", 1)


def test_a_time_limit_fails_the_step(inner: Project, tmp_path: Path) -> None:
    run = inner.ended(inner.message("too_long", str(tmp_path / "never")))
    with pytest.raises(RunFailedError, match="TimeLimitExceeded"):
        run.result()


def test_a_message_that_a_middleware_skips_is_a_skipped_step(inner: Project) -> None:
    run = inner.ended(Chain(inner.with_options("add", 1, skip_me=True), inner.message("add", 2)))
    assert [step.status for step in run.steps()] == ["skipped", "skipped"]


def test_a_result_that_is_no_json_fails_the_step_only_if_another_takes_it(inner: Project) -> None:
    assert inner.ended(Chain(inner.message("unwritable"), inner.message("add", 2))).result() == 2
    run = inner.ended(inner.message("unwritable") | inner.message("same"))
    with pytest.raises(RunFailedError, match="SerializationError"):
        run.result()


def test_an_actor_may_send_its_own_message_again(inner: Project, tmp_path: Path) -> None:
    path = tmp_path / "ran"
    run = inner.ended(inner.message("sends_itself", str(path)))
    assert run.status == "succeeded"
    wait_until(lambda: path.read_text() == "ran\nran\n")


def test_progress_and_the_current_step(inner: Project, tmp_path: Path) -> None:
    path = tmp_path / "go"
    run = inner.segue.start(inner.message("reporting", str(path)))
    wait_until(lambda: run.steps()[0].progress is not None)
    path.touch()
    assert run.wait(timeout=20).result() == [run.id, 0, 1, "dramatiq:reporting"]
