"""A broker holds a window of what is to be done, and messages carry ids, not the graph."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import pytest
from dramatiq import Message
from dramatiq.brokers.stub import StubBroker

from segue import Segue
from segue.authoring import to_plan
from segue.errors import ConfigError
from segue.executors.dramatiq import Chain, Group, SegueMiddleware
from tests.executors.dramatiq.conftest import Staged, a_project, wait_until, working

SECONDS = 60


def test_a_large_group_waits_in_the_database_and_all_of_it_runs(database_url: str) -> None:
    count = 600
    with a_project("stub", database_url, window=100) as project:
        work = Group(*(project.message("add", number) for number in range(count)))
        run = project.segue.start(work)
        queue = project.broker.queues["default"]
        assert 50 <= queue.qsize() <= 200
        most = 0
        with working(project, threads=2):
            while not run.status.is_final:
                most = max(most, queue.qsize())
                time.sleep(0.005)
        assert run.result() == list(range(count))
        assert most <= 300


def test_a_message_does_not_carry_the_graph(database_url: str) -> None:
    with a_project("stub", database_url) as project:
        small, large = (
            Chain(project.message("add", 1), *(project.message("add", number) for number in range(count)))
            for count in (1, 500)
        )
        for work in (small, large):
            project.segue.start(work)
        sizes = [len(data) for data in project.broker.queues["default"].queue]
        assert len(sizes) == 2
        assert abs(sizes[0] - sizes[1]) < 10
        assert max(sizes) < 400


def test_what_a_process_without_the_broker_starts_is_left_to_workers(database_url: str) -> None:
    with a_project("stub", database_url) as project:
        plan = to_plan(project.message("add", 1, 2))
    with Segue(database_url) as segue:
        broker = StubBroker()
        broker.add_middleware(SegueMiddleware(segue))  # no actor is declared, so it does not know the broker
        run = segue.start(plan)
        assert run.steps()[0].status == "ready"
        broker.close()
    with a_project("stub", database_url, threads=1) as project:
        assert project.segue.get(run.id).wait(timeout=SECONDS).result() == 3


def test_a_message_is_what_dramatiq_sends_with_one_option_more(database_url: str) -> None:
    with a_project("stub", database_url) as project:
        message: Message[Any] = project.with_options("same", 1, "b", max_retries=3, mine={"x": [1]})
        before = int(time.time() * 1000)
        run = project.segue.start(message)
        [data] = project.broker.queues["default"].queue
        sent = Message.decode(data)
        assert sent.options.pop("segue") == [run.id, 0, 1]
        assert before <= sent.message_timestamp <= int(time.time() * 1000)
        assert sent.asdict() == message.asdict() | {"message_timestamp": sent.message_timestamp}


def test_messages_behind_slow_actors_are_not_sent_again(on_sqlite: Staged, tmp_path: Path) -> None:
    """In the broker, and in the hands of a worker, for several times as long as messages are waited for."""
    project, until = on_sqlite.project, tmp_path / "until"
    on_sqlite.worker(threads=2)
    slow = [project.message("wait_for_file", str(until)) for _ in range(30)]
    runs = [project.segue.start(Chain(message, project.message("add", 1))) for message in slow]
    wait_until(lambda: sum(run.steps()[0].status == "running" for run in runs) == 2, SECONDS)
    end = time.monotonic() + 5
    wait_until(lambda: time.monotonic() > end)
    until.touch()
    assert {run.wait(timeout=SECONDS).status for run in runs} == {"succeeded"}
    assert {step.attempt for run in runs for step in run.steps()} == {1}


@pytest.mark.parametrize("option, value", [("window", 0), ("window", True), ("lease_seconds", 0), ("name", "a:b")])
def test_wrong_options_of_the_middleware(segue: Any, option: str, value: Any) -> None:
    with pytest.raises(ConfigError, match=rf"SegueMiddleware\({option}="):
        SegueMiddleware(segue, **{option: value})


def test_the_middleware_needs_a_segue() -> None:
    with pytest.raises(ConfigError, match="is no segue"):
        SegueMiddleware("sqlite:///segue.db")  # type: ignore[arg-type]
