"""Brokers, actors and middleware that are not as most projects have them."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import dramatiq
import pytest
from dramatiq import Message, Worker
from dramatiq.brokers.stub import StubBroker
from dramatiq.middleware import Interrupt, Middleware, Retries
from dramatiq.results import Results
from dramatiq.results.backends import StubBackend
from dramatiq.threading import raise_thread_exception

from segue import Segue
from segue.executors.dramatiq import Chain, Group, SegueMiddleware, step
from tests.executors.dramatiq.conftest import Project, Staged, a_project, wait_until


@contextmanager
def a_broker(segue: Segue, *middleware: Any, threads: int = 2, name: str = "dramatiq") -> Iterator[StubBroker]:
    """A broker with this middleware, and no other."""
    broker = StubBroker(middleware=[])
    for each in (*middleware, SegueMiddleware(segue, name=name)):
        broker.add_middleware(each)
    worker = Worker(broker, worker_timeout=50, worker_threads=threads)

    @dramatiq.actor(broker=broker)
    def same(value: Any, *_: Any) -> Any:
        return value

    worker.start()
    before = dramatiq.broker.global_broker
    dramatiq.set_broker(broker)
    try:
        yield broker
    finally:
        dramatiq.broker.global_broker = before
        worker.stop()
        broker.close()


def test_without_the_middleware_for_retries_a_failure_is_final(segue: Segue) -> None:
    with a_broker(segue, threads=1) as broker:

        @dramatiq.actor(broker=broker)
        def fail() -> None:
            raise ValueError("broken")

        run = segue.start(Chain(broker.get_actor("same").message(1), fail.message())).wait(timeout=40)
        assert [found.status for found in run.steps()] == ["succeeded", "failed"]
        assert run.steps()[1].attempt == 1


def test_middleware_that_is_added_later_and_that_fails(segue: Segue) -> None:
    """Dramatiq logs and goes on; so does the run, once for each step."""

    class Failing(Middleware):  # type: ignore[misc]
        def before_process_message(self, *_: Any) -> None:
            raise KeyError("before")

        def after_process_message(self, *_: Any, **__: Any) -> None:
            raise KeyError("after")

        before_ack = before_process_message

    with a_broker(segue, Failing(), Retries()) as broker:
        broker.add_middleware(Failing())
        same = broker.get_actor("same")
        assert segue.start(same.message(1) | same.message(2)).wait(timeout=40).result() == 2


def test_two_brokers_in_one_process_have_executors_of_their_own(segue: Segue) -> None:
    with a_broker(segue, name="first") as first, a_broker(segue, name="second") as second:
        work = Chain(dramatiq.pipeline([first.get_actor("same").message(1)], broker=first))
        other = dramatiq.pipeline([second.get_actor("same").message(2)], broker=second)
        run = segue.start(Chain(work, other))
        assert run.wait(timeout=40).result() == 2
        queues = [found.queue for found in run.steps()]
        assert queues == ["@first:default", "@second:default"]


def test_options_that_nobody_knows_travel_with_each_try(segue: Segue) -> None:
    seen: list[Any] = []

    class Looks(Middleware):  # type: ignore[misc]
        def before_process_message(self, broker: Any, message: Any) -> None:
            seen.append(message.options.get("tenant"))

    with a_broker(segue, Looks(), Retries(min_backoff=10, max_backoff=20)) as broker:

        @dramatiq.actor(broker=broker, max_retries=2)
        def flaky() -> str:
            if len(seen) < 3:
                raise OSError("not yet")
            return "done"

        run = segue.start(flaky.message_with_options(tenant={"id": 7}))
        assert run.wait(timeout=40).result() == "done"
    assert seen == [{"id": 7}] * 3


def test_results_that_are_soon_forgotten_are_not_those_of_the_steps(segue: Segue) -> None:
    with a_broker(segue, Results(backend=StubBackend(), store_results=True, result_ttl=1)) as broker:
        same = broker.get_actor("same")
        assert segue.start(same.message(41) | same.message(42) | same.message(43)).wait(timeout=40).result() == 43
        assert segue.start(Group(same.message(1), same.message(2))).wait(timeout=40).result() == [1, 2]


class Abort(Interrupt):  # type: ignore[misc]
    """What dramatiq-abort raises, by its name."""


Abort.__module__ = "dramatiq_abort.abort_manager"


def test_a_step_that_is_aborted_in_its_retry_has_failed(inner: Project, tmp_path: Path) -> None:
    """Dramatiq would try again: an abort is an exception like others to it."""
    import threading

    broker, path = inner.broker, tmp_path / "tries"

    def tried(path: str) -> None:
        with Path(path).open("a") as file:
            file.write(f"{threading.get_ident()}\n")
        if len(Path(path).read_text().splitlines()) < 2:
            raise OSError("not yet")
        end = time.monotonic() + 40
        while time.monotonic() < end:
            time.sleep(0.01)

    dramatiq.actor(tried, actor_name="tried", broker=broker, max_retries=5, min_backoff=10, max_backoff=20)
    run = inner.segue.start(Chain(inner.message("tried", str(path)), inner.message("add", 1)))
    wait_until(lambda: path.exists() and len(path.read_text().splitlines()) == 2)
    raise_thread_exception(int(path.read_text().splitlines()[1]), Abort)
    assert run.wait(timeout=40).status == "failed"
    assert (run.steps()[0].attempt, run.steps()[1].status) == (2, "skipped")


def test_plain_messages_that_an_actor_sends_are_no_steps(inner: Project, tmp_path: Path) -> None:
    path = tmp_path / "sent"
    run = inner.ended(Chain(inner.message("sends_on", str(path)), inner.message("add", 1)))
    assert len(run.steps()) == 2
    wait_until(path.exists)


@pytest.mark.parametrize("most, priority, expected", [(9, 7, 7), (255, 9, 9), (3, 9, 3), (3, 4, 1), (None, 9, None)])
def test_the_priority_of_a_step_is_that_of_its_message(
    sqlite_url: str, most: int | None, priority: int, expected: int | None
) -> None:
    with a_project("stub", sqlite_url) as project:
        broker: Any = project.broker
        if most is not None:
            broker.max_priority = most
        project.segue.start(step(project.message("add", 1), priority=priority))
        own = project.with_options("add", 1, broker_priority=2)
        project.segue.start(step(own, priority=priority))
        options = [Message.decode(data).options for data in broker.queues["default"].queue]
    assert [found.get("broker_priority") for found in options] == [expected, 2]


@pytest.mark.proof
def test_a_worker_with_one_thread_that_is_stopped_in_the_middle_loses_and_repeats_nothing(
    on_sqlite: Staged, tmp_path: Path
) -> None:  # fmt: skip
    project, path = on_sqlite.project, tmp_path / "ran"
    words = [f"{number}" for number in range(60)]
    run = project.segue.start(Chain(*(project.message("note", str(path), word) for word in words)))
    for count in (10, 30):
        worker = on_sqlite.worker(threads=1)
        wait_until(lambda: path.exists() and len(path.read_text().split()) >= count)  # noqa: B023
        worker.stop()
    on_sqlite.worker(threads=1)
    assert run.wait(timeout=60).status == "succeeded"
    assert path.read_text().split() == words
    assert {found.losses for found in run.steps()} == {0}
