"""The contract of executors, kept by the desk and the messages of Dramatiq's door."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from dramatiq import Message as DramatiqMessage
from dramatiq.common import iter_queue

from segue.engine.dispatch import resend
from segue.engine.executing import overdue, recall_steps
from segue.executors.dramatiq.desk import Desk
from segue.executors.dramatiq.publish import fence_of
from segue.executors.dramatiq.reports import Report
from segue.model import ErrorInfo, Outcome, Verdict
from segue.plan.codec import encode
from segue.plan.graph import Node, Plan
from segue.testing import CASES, Event, Message, Situation, check, check_storm
from tests.conftest import a_database
from tests.executors.dramatiq.conftest import Project, a_project

_VERDICTS = {
    Event.SUCCEEDS: Verdict.SUCCEEDED, Event.FAILS: Verdict.FAILED, Event.IS_REVOKED: Verdict.FAILED,
    Event.SKIPS: Verdict.SKIPPED, Event.IS_LOST: Verdict.LOST, Event.RETURNS_A_PLAN: Verdict.EXPANDED,
}  # fmt: skip


class Answering(Desk):
    """Answers, and does nothing by itself: the driver says what is sent when."""

    def _beat(self) -> None:
        if not self._lease.worker_id:  # later ones give back attempts that no thread runs: here, none does
            super()._beat()

    def _is_news(self, now: float) -> bool:
        self._due_at = self._news_at = now + 60
        return False


class Driver:
    """Two processes, each with its desk, and a broker whose messages are read by hand."""

    name = "dramatiq"
    is_fenced = True
    queue = "@dramatiq:default"
    task = "dramatiq:scripted"
    cannot: frozenset[Event] = frozenset()

    def __init__(self, project: Project) -> None:
        self.project = project
        self.door = next(each.door for each in project.broker.middleware if hasattr(each, "door"))
        self.desks = [Answering(self.door, concurrency=1, chores=False) for _ in range(2)]
        for desk in self.desks:
            desk.open()

    @property
    def engine(self) -> Any:
        return self.project.segue.engine

    def take(self) -> list[Message]:
        self.door.deliver(self.door.exchange([], timers=True))
        return self._messages()

    def play(self, message: Message, *events: Event | str, result: Any = None) -> list[bool]:
        return [self._happen(message, Event(event)) for event in events]

    def repair(self) -> list[Message]:
        with self.engine.reading() as tx:
            late = overdue(tx, self.name, self.engine.store.now() + timedelta(days=1))
        self.door.deliver(self.engine.act(resend, [each.attempt for each in late], wait_seconds=60.0))
        return self._messages()

    def _messages(self) -> list[Message]:
        found = []
        for data in iter_queue(self.project.broker.queues["default"]):
            message = DramatiqMessage.decode(data)
            fence = fence_of(message)
            assert fence is not None
            attempt, _ = fence
            [step] = [each for each in self.project.segue.get(attempt[0]).steps() if each.step == attempt[1]]
            found.append(Message(attempt, step.name, str(step.task), self.queue, ""))
        return found

    def _happen(self, message: Message, event: Event) -> bool:
        attempt = message.attempt
        match event:
            case Event.BEGINS:
                return self.desks[0].begin(attempt)
            case Event.BEGINS_ELSEWHERE:
                return self.desks[1].begin(attempt)
            case Event.IS_RECALLED:
                return bool(self.engine.act(recall_steps, [attempt]))
            case Event.IS_OVERDUE:
                taken = self.engine.act(resend, [attempt], wait_seconds=60.0)
                self.door.deliver(taken)
                return bool(taken.sent)
            case Event.RETRIES:
                outcome = Outcome(*attempt, Verdict.FAILED, error=ErrorInfo("Error", "again"))
                report = Report(attempt, outcome, again_seconds=0.0)
            case _:
                inner = Plan("inner", (Node("inner", message.task, queue=self.queue, executor=self.name),))
                result = encode(inner) if event is Event.RETURNS_A_PLAN else "null"
                error = None if event in (Event.SUCCEEDS, Event.RETURNS_A_PLAN) else ErrorInfo("Error", str(event))
                report = Report(
                    attempt, Outcome(*attempt, _VERDICTS[event], result=result, error=error, retryable=False)
                )
        self.door.publish(list(self.desks[0].report(report)))
        return not report.is_refused


@pytest.fixture(scope="module", params=["sqlite", "postgres"])
def driver(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Driver]:
    folder: Path = tmp_path_factory.mktemp("contract")
    with a_database(request.param, request, folder) as url, a_project("stub", url) as project:
        made = Driver(project)
        yield made
        for desk in made.desks:
            desk.close()


def events_of(situation: Situation) -> Sequence[Event]:
    return [event for case, event in CASES if case is situation]


@pytest.mark.parametrize("situation", Situation)
def test_every_event_in_every_situation(driver: Driver, situation: Situation) -> None:
    for event in events_of(situation):
        check(driver.project.segue, driver, situation, event)


@pytest.mark.parametrize("seed", range(3))
def test_any_events_in_any_order_end_well(driver: Driver, seed: int) -> None:
    check_storm(driver.project.segue, driver, seed)
