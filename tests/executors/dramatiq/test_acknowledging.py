"""Messages are acknowledged after their ends are recorded, by a thread that is not the actor's."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import dramatiq
import pytest

from segue.executors.dramatiq import Chain, Group
from segue.executors.dramatiq.acknowledging import FOR_EACH_THREAD, Clerk
from segue.executors.dramatiq.desk import Desk
from tests.executors.dramatiq.conftest import Project, a_project, wait_until, working


class Ends:
    """A desk whose ends wait until they may be recorded."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.may_be_recorded = threading.Event()
        plain = Desk._record

        def record(desk: Desk, questions: Any, begins: Any = ()) -> Any:
            if self.may_be_recorded.wait(0.01):
                return plain(desk, questions, begins)
            desk._questions.extend(questions)
            return None

        monkeypatch.setattr(Desk, "_record", record)


class Acks(dramatiq.Middleware):
    """Which steps were recorded when their messages were acknowledged, and by which thread."""

    def __init__(self) -> None:
        self.acked: list[str] = []
        self.threads: set[str] = set()

    def after_ack(self, broker: Any, message: Any) -> None:
        self.acked.append(message.message_id)
        self.threads.add(threading.current_thread().name)


@contextmanager
def _watched(database_url: str) -> Iterator[tuple[Project, Acks]]:
    with a_project("stub", database_url) as project:
        acks = Acks()
        project.broker.add_middleware(acks)
        yield project, acks


def test_a_thread_goes_on_while_its_end_is_recorded(database_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    begun: list[int] = []
    with _watched(database_url) as (project, acks):

        @dramatiq.actor(broker=project.broker)
        def noted(number: int) -> int:
            begun.append(number)
            return number

        ends = Ends(monkeypatch)
        with working(project, threads=1):
            run = project.segue.start(Group(*(noted.message(number) for number in range(8))))
            wait_until(lambda: len(begun) == FOR_EACH_THREAD)  # the broker gives no more that are not acknowledged
            assert not acks.acked
            assert all(step.status != "succeeded" for step in run.steps())
            ends.may_be_recorded.set()
            assert project.ended(run).result() == list(range(8))
            wait_until(lambda: len(acks.acked) == len(begun))
        assert "segue-dramatiq-clerk" in acks.threads
        assert sorted(begun) == list(range(8))


def test_a_worker_that_stops_acknowledges_what_it_has_done(database_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    with _watched(database_url) as (project, acks):
        ends = Ends(monkeypatch)
        settling = threading.Event()
        plain = Clerk.settle

        def settle(clerk: Clerk) -> None:
            settling.set()
            plain(clerk)

        monkeypatch.setattr(Clerk, "settle", settle)
        threading.Thread(target=lambda: (settling.wait(20), ends.may_be_recorded.set()), daemon=True).start()
        handed_in = _counted(monkeypatch)
        with working(project, threads=1):
            run = project.segue.start(Chain(project.message("add", 1, 2), project.message("add", 3, 4)))
            wait_until(lambda: bool(handed_in))
        assert len(acks.acked) == 1
        assert [step.status for step in run.steps()] == ["succeeded", "ready"]
        with working(project):
            assert project.ended(run).status == "succeeded"
        assert len(acks.acked) == 2


def test_an_end_that_cannot_be_recorded_is_not_acknowledged(
    database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:  # fmt: skip
    ends = 0

    def record(desk: Desk, questions: Any, begins: Any = ()) -> Any:
        nonlocal ends
        ends += 1
        for question in questions:
            question.say(RuntimeError("the end cannot be written"))

    with _watched(database_url) as (project, acks):
        with monkeypatch.context() as patched:
            patched.setattr(Desk, "_record", record)
            with working(project, threads=1):
                run = project.segue.start(project.message("add", 1, 2))
                wait_until(lambda: ends > 0)
        assert not acks.acked
        assert run.steps()[0].status in ("running", "ready")


def _counted(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    found: list[Any] = []
    plain = Desk.hand_in

    def hand_in(desk: Desk, question: Any) -> None:
        found.append(question)
        plain(desk, question)

    monkeypatch.setattr(Desk, "hand_in", hand_in)
    return found
