"""On Redis a process fetches what it has just sent: no step of a chain waits for a consumer that sleeps."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import dramatiq
import pytest

from segue.executors.dramatiq import Chain, Group
from tests.executors.dramatiq.conftest import a_project, wait_until, working


def consumer_of(worker: dramatiq.Worker, queue: str) -> Any:
    wait_until(lambda: queue in worker.consumers and worker.consumers[queue].consumer is not None)
    return worker.consumers[queue].consumer


def test_a_process_fetches_what_it_sent_as_far_as_it_has_threads(
    sqlite_url: str, own_redis: str, tmp_path: Path
) -> None:
    """Consumers that fetch nothing stand for consumers that sleep."""
    with a_project(f"{own_redis}/0", sqlite_url) as project, working(project, threads=2) as worker:
        consumers = [consumer_of(worker, queue) for queue in ("default", "other")]
        usual = consumers[0].prefetch
        for consumer in consumers:
            consumer.prefetch = 0
        first, second, third, fourth, fifth, last = (
            project.message(actor, 1) for actor in ("add", "add", "other_queue", "add", "other_queue", "add")
        )
        assert project.result(Chain(first, Group(second, third), fourth, fifth, last)) == 1

        notes, until = tmp_path / "notes", tmp_path / "until"
        slow = [project.message("note_and_wait", str(notes), str(until)) for _ in range(4)]
        run = project.segue.start(Group(*slow))
        wait_until(lambda: notes.exists() and len(notes.read_text().splitlines()) == 2)
        taken = len(consumers[0].queued_message_ids)
        consumers[0].prefetch = usual
        until.touch()
        assert taken == 2, "the others wait for whoever has a thread"
        assert run.wait(timeout=40).status == "succeeded"


def test_what_cannot_be_read_is_left_out(sqlite_url: str, own_redis: str, caplog: pytest.LogCaptureFixture) -> None:
    with a_project(f"{own_redis}/0", sqlite_url) as project, working(project, threads=2) as worker:
        consumer = consumer_of(worker, "default")
        consumer.prefetch = 0
        time.sleep(0.3)  # it may just ask
        broker: Any = project.broker
        broker.do_enqueue("default", "strange", b"no message")
        assert project.result(Chain(project.message("add", 1), project.message("add", 2))) == 2
        assert "cannot be read" in caplog.text


def test_what_cannot_be_handed_on_keeps_no_other_back(
    sqlite_url: str, own_redis: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    with a_project(f"{own_redis}/0", sqlite_url) as project, working(project, threads=4) as worker:
        consumer = consumer_of(worker, "default")
        consumer.prefetch = 0
        time.sleep(0.3)  # it may just ask
        thread, failed = worker.consumers["default"], list[str]()
        really = thread.handle_message

        def fails_once(message: Any) -> None:
            if not failed:
                failed.append(message.message_id)
                raise OSError("a middleware has a bug")
            really(message)

        monkeypatch.setattr(thread, "handle_message", fails_once)
        run = project.segue.start(Group(*(project.message("add", number) for number in range(3))))
        wait_until(lambda: sum(step.status == "succeeded" for step in run.steps()) == 2)
        assert failed[0] not in consumer.queued_message_ids
