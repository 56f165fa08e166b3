"""How attempts end: retries, limits of time and age, skips, shutdowns, what middleware does to a message."""

from __future__ import annotations

import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import dramatiq
import pytest
from dramatiq import JSONEncoder, Message, PickleEncoder

from segue import Segue
from segue.errors import ConfigError, PlanError, RunFailedError
from segue.executors.dramatiq import Chain, Group, SegueMiddleware
from segue.executors.dramatiq.attempt import CancelledStep
from segue.executors.dramatiq.desk import Desk
from tests.executors.dramatiq.conftest import Project, a_project, wait_until, working


def test_retries_of_dramatiq_are_attempts_of_the_step(inner: Project, tmp_path: Path) -> None:
    run = inner.ended(inner.message("flaky", str(tmp_path / "tries"), 3))
    assert run.result() == 3
    [found] = run.steps()
    assert (found.attempt, found.failures) == (3, 2)
    assert (tmp_path / "tries").read_text().split() == ["1", "2", "3"]


def test_a_retry_keeps_options_and_where_arguments_come_from(inner: Project, tmp_path: Path) -> None:
    path = tmp_path / "tries"
    flaky = inner.with_options("flaky_with", str(path), 2, mine=[1])
    run = inner.ended(inner.message("add", 1) | flaky)
    assert run.result() == [1, [1, "seen"]]
    path.unlink()
    forked = run.fork("add", args=[5])
    assert forked.wait(timeout=40).result() == [5, [1, "seen", "seen"]]


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
    wait_until(lambda: getattr(run.steps()[0].progress, "done", 0) == 4)


def test_an_actor_may_be_a_coroutine(inner: Project) -> None:
    assert inner.result(Chain(inner.message("add", 1), inner.message("slow_add", 1, 2))) == [3, 1]


def test_a_project_s_own_tests_may_wait_for_the_broker(database_url: str) -> None:
    with a_project("stub", database_url) as project, working(project) as worker:
        work = [project.message("add", number) for number in range(3)]
        runs = [project.segue.start(Chain(work[0], Group(*work), work[1])) for _ in range(3)]
        project.broker.join("default", timeout=20_000)  # type: ignore[attr-defined]
        worker.join()
        assert {run.status for run in runs} == {"succeeded"}


def test_a_message_that_is_too_old_fails_its_step(database_url: str) -> None:
    with a_project("stub", database_url) as project:
        run = project.segue.start(project.message("aged"))
        sent_at = Message.decode(project.broker.queues["default"].queue[0]).message_timestamp
        wait_until(lambda: dramatiq.common.current_millis() > sent_at + 5)
        with working(project), pytest.raises(RunFailedError, match="SkipMessage"):
            run.wait(timeout=20).result()


def test_a_copy_of_a_message_does_not_change_the_stored_result(inner: Project) -> None:
    message = inner.message("stored", 41)
    run = inner.ended(message)
    copy = message.copy(options={"segue": [run.id, 0, 1]})
    inner.broker.enqueue(copy)
    inner.broker.join("default", fail_fast=False)  # type: ignore[attr-defined]
    assert message.get_result() == 41
    assert run.steps()[0].attempt == 1


def test_a_plain_message_asks_the_database_nothing(inner: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[Any] = []
    monkeypatch.setattr(Desk, "_ask", lambda desk, question: asked.append(question))
    message = inner.broker.get_actor("stored").send(7)
    assert message.get_result(block=True, timeout=10_000) == 7
    inner.broker.join("default", fail_fast=False)  # type: ignore[attr-defined]
    assert asked == []


class Tagging(JSONEncoder):
    """A project's encoder, which can write sets."""

    def encode(self, data: dict[str, Any]) -> bytes:
        return super().encode(
            {**data, "args": [{"set": sorted(arg)} if type(arg) is set else arg for arg in data["args"]]}
        )

    def decode(self, data: bytes) -> dict[str, Any]:
        found = super().decode(data)
        args = [set(arg["set"]) if type(arg) is dict and arg.keys() == {"set"} else arg for arg in found["args"]]
        return {**found, "args": args}


@pytest.fixture(params=[PickleEncoder, Tagging])
def encoder(request: pytest.FixtureRequest) -> Iterator[None]:
    before = dramatiq.get_encoder()
    dramatiq.set_encoder(request.param())
    yield
    dramatiq.set_encoder(before)


@pytest.mark.usefixtures("encoder")
def test_arguments_that_only_the_encoder_of_the_project_can_write(inner: Project) -> None:
    first = inner.message("total", {1, 2, 3})
    assert inner.result(first | inner.message("add", 4)) == 10
    assert inner.result(inner.message("same", 1) | inner.message("same", {1}, "x")) is None


def test_arguments_that_no_encoder_can_write_are_refused_at_the_start(inner: Project) -> None:
    count = len(inner.segue.runs())
    with pytest.raises((PlanError, TypeError), match="encoder of this project"):
        inner.segue.start(inner.message("add", object()))
    assert len(inner.segue.runs()) == count


@pytest.mark.parametrize("method, ends", [("hand_in", "succeeded"), ("_ask", "failed")])
def test_an_interrupt_that_comes_late_ends_no_thread_and_no_run(
    inner: Project, monkeypatch: pytest.MonkeyPatch, method: str, ends: str
) -> None:  # fmt: skip
    plain, raised = getattr(Desk, method), threading.Event()

    def ask(desk: Desk, question: Any) -> Any:
        if question.report is not None and not raised.is_set():
            raised.set()
            raise CancelledStep
        return plain(desk, question)

    monkeypatch.setattr(Desk, method, ask)
    message = inner.message("add", 1, 2) if ends == "succeeded" else inner.message("add", 1, "x")
    assert inner.segue.start(message.copy(options={**message.options, "max_retries": 0})).wait(20).status == ends
    assert raised.is_set()
    assert inner.result(inner.message("add", 3, 4)) == 7


def test_an_end_that_cannot_be_described_fails_its_step_and_is_not_lost(
    inner: Project, monkeypatch: pytest.MonkeyPatch
) -> None:  # fmt: skip
    def broken(*_: Any) -> None:
        raise RuntimeError("no words for it")

    monkeypatch.setattr("segue.executors.dramatiq.middleware.outcome_of", broken)
    run = inner.ended(inner.message("add", 1))
    with pytest.raises(RunFailedError, match="no words for it"):
        run.result()


def test_an_error_before_the_body_does_not_let_it_run_unasked(
    database_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:  # fmt: skip
    plain, asked = Desk.begin, list[Any]()

    def begin(desk: Desk, attempt: Any) -> bool:
        asked.append(attempt)
        if len(asked) == 1:
            raise RuntimeError("the desk is broken")
        return plain(desk, attempt)

    monkeypatch.setattr(Desk, "begin", begin)
    path = tmp_path / "ran"
    with a_project("stub", database_url, threads=1, lease_seconds=0.5) as project:
        run = project.ended(project.message("note", str(path), "x"))
        assert (run.status, path.read_text()) == ("succeeded", "x\n")
    assert [attempt[2] for attempt in asked] == [1, 2]


def test_importing_makes_no_broker_the_global_one() -> None:
    code = (
        "import segue.executors.dramatiq, segue.compat.dramatiq_workflow, dramatiq.broker\n"
        "assert dramatiq.broker.global_broker is None"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)


def test_an_older_dramatiq_is_refused(segue: Segue, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dramatiq, "__version__", "1.16.0")
    with pytest.raises(ConfigError, match="or newer, and this is"):
        SegueMiddleware(segue)
