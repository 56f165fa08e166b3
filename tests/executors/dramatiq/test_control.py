"""People pause, cancel, repair and look at runs whose steps Dramatiq runs."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import msgspec
import pytest

import segue
from segue import Limit, Run
from segue.errors import RunFailedError
from segue.executors.dramatiq import Chain, Group, flow, step
from tests.executors.dramatiq.conftest import Project, a_project, wait_until, working

SECONDS = 40


def lines(path: Path) -> list[str]:
    return path.read_text().split() if path.exists() else []


def begun(project: Project, tmp_path: Path) -> tuple[Run, Path]:
    """A run whose first step runs until a file is there."""
    path, until = tmp_path / "notes", tmp_path / "until"
    run = project.segue.start(Chain(project.message("note_and_wait", str(path), str(until)), project.message("add", 1)))
    wait_until(path.exists, SECONDS)
    return run, until


def test_a_paused_run_begins_nothing_and_goes_on_when_it_is_resumed(database_url: str, tmp_path: Path) -> None:
    path = tmp_path / "notes"
    with a_project("stub", database_url) as project:
        run = project.segue.start(Group(*(project.message("note", str(path), str(n)) for n in range(20))))
        run.pause()
        with working(project):
            wait_until(lambda: {(each.status, each.gate) for each in run.steps()} == {("ready", "paused")}, SECONDS)
            assert not path.exists()
            run.resume()
            assert len(run.wait(timeout=SECONDS).result()) == 20
    assert sorted(map(int, lines(path))) == list(range(20))


def test_what_runs_goes_on_while_its_run_is_paused(inner: Project, tmp_path: Path) -> None:
    run, until = begun(inner, tmp_path)
    run.pause()
    until.touch()
    wait_until(lambda: run.steps()[0].status == "succeeded", SECONDS)
    second = run.steps()[1]
    assert (second.status, second.gate) == ("ready", "paused")
    run.resume()
    assert run.wait(timeout=SECONDS).result() == 1


def test_an_actor_that_a_pause_stops_runs_again_after_the_resume(inner: Project, tmp_path: Path) -> None:
    run, until = begun(inner, tmp_path)
    run.pause(stop_running=True)
    wait_until(lambda: run.steps()[0].status == "ready", SECONDS)
    assert (run.steps()[0].gate, run.steps()[0].failures) == ("paused", 0)
    until.touch()
    run.resume()
    assert run.wait(timeout=SECONDS).result() == 1
    assert lines(tmp_path / "notes") == ["begun", "begun"]


def test_an_actor_of_a_cancelled_run_is_interrupted(inner: Project, tmp_path: Path) -> None:
    run, _ = begun(inner, tmp_path)
    run.cancel()
    assert run.wait(timeout=SECONDS).status == "cancelled"
    assert [each.status for each in run.steps()] == ["cancelled", "cancelled"]


def test_what_was_sent_of_a_cancelled_run_never_begins(database_url: str, tmp_path: Path) -> None:
    path = tmp_path / "notes"
    with a_project("stub", database_url) as project:
        run = project.segue.start(project.message("note", str(path), "x"))
        run.cancel()
        assert run.status == "cancelled"
        with working(project):
            queue = project.broker.queues["default"]
            wait_until(lambda: queue.unfinished_tasks == 0, SECONDS)
    assert not path.exists()


def test_a_failed_step_is_retried_edited_skipped_and_forked(inner: Project, tmp_path: Path) -> None:
    def failing() -> Run:
        run = inner.ended(Chain(inner.message("fail"), inner.message("add", 2)))
        assert run.status == "failed"
        return run

    run = failing()
    run.retry()
    assert run.wait(timeout=SECONDS).status == "failed"
    assert run.steps()[0].attempt == 2
    run.step("fail").mark("by hand")
    assert run.wait(timeout=SECONDS).result() == 2
    run = inner.ended(Chain(inner.message("note_and_wait", str(tmp_path / "x"), str(tmp_path)), inner.message("fail")))
    forked = run.fork("fail")
    assert forked.wait(timeout=SECONDS).status == "failed"
    assert lines(tmp_path / "x") == ["begun"]


def test_a_deadline_ends_a_run(inner: Project, tmp_path: Path) -> None:
    work = Chain(inner.message("note_and_wait", str(tmp_path / "x"), str(tmp_path / "never")), inner.message("add", 1))
    run = inner.segue.start(work, deadline=timedelta(seconds=0.5))
    assert run.wait(timeout=SECONDS).status == "failed"


def test_a_limit_holds_and_nothing_idles(inner: Project, tmp_path: Path) -> None:
    limit = Limit("customers", 1, key="word")
    messages = [inner.message("note", str(tmp_path / "notes"), word) for word in "aabbb"]
    work = Group(*(step(message, limits=[limit]) for message in messages))
    assert sorted(inner.ended(work).result()) == list("aabbb")


def test_messages_share_their_queue_fairly_by_an_argument(inner: Project, tmp_path: Path) -> None:
    messages = [step(inner.message("note", str(tmp_path / "notes"), word), fair_by="word") for word in "aaab"]
    run = inner.ended(Group(*messages))
    assert sorted(run.result()) == list("aaab")
    keys = [node.share.key for node in flow(Group(*messages)).nodes if node.share is not None]
    assert [msgspec.json.encode(key) for key in keys] == [b'["value","a"]'] * 3 + [b'["value","b"]']


def test_waits_of_segue_stand_between_messages(inner: Project) -> None:
    run = inner.segue.start(segue.chain(inner.message("add", 1), segue.wait_for.s("approved"), inner.message("same")))
    wait_until(lambda: run.steps()[0].status == "succeeded", SECONDS)
    run.send("approved", {"by": "ann"})
    assert run.wait(timeout=SECONDS).result() == {"by": "ann"}


def test_metadata_and_names_are_those_of_the_step(inner: Project) -> None:
    run = inner.ended(flow(Chain(step(inner.message("add", 1), name="first", metadata={"customer": 7}))))
    [found] = run.steps()
    assert (found.name, found.metadata, found.queue) == ("first", {"customer": 7}, "@dramatiq:default")


def test_explain_says_who_could_take_a_message(inner: Project, database_url: str) -> None:
    with a_project("stub", database_url) as project:
        run = project.segue.start(project.message("add", 1))
        assert [reason.code for reason in run.explain()] == ["sent", "no_worker"]
    [worker] = inner.segue.workers()
    assert (worker.pool, worker.concurrency) == ("dramatiq", 4)


def test_an_unknown_actor_is_given_time_and_then_fails_the_step(
    database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("segue.executors.dramatiq.classify.UNKNOWN_AGAIN_SECONDS", (0.05, 0.05))
    with a_project("stub", database_url) as project:
        message = project.message("add", 1)._replace(actor_name="gone")
        run = project.segue.start(message)
        with working(project), pytest.raises(RunFailedError, match="ActorNotFound"):
            run.wait(timeout=SECONDS).result()
    assert run.steps()[0].attempt == 3
