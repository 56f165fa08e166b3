"""One look of a follower: what it makes of reports, of silence, and of what nobody should have been able to write."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from celery import Celery, states
from msgspec import structs

from segue import Segue
from segue.engine.dispatch import resend
from segue.errors import StoreUnavailableError
from segue.executors.celery import follower as module
from segue.executors.celery import install
from segue.executors.celery.attempt import RetryAsked
from segue.executors.celery.door import Door
from segue.executors.celery.follower import AFTER_A_FAULT_SECONDS, KEPT_SECONDS, Follower
from segue.executors.celery.publish import StepHeader
from segue.executors.celery.reports import Beat, Mailbox, put_beat, read_beats, read_reports, report_id
from segue.model import Attempt, ErrorInfo, Outcome, Ref, Verdict
from segue.plan.codec import encode
from segue.plan.graph import Node, Plan

LEASE_SECONDS = 20.0


class Clock:
    """The time of a follower."""

    def __init__(self) -> None:
        self.now = 1000.0

    def monotonic(self) -> float:
        return self.now


class Scene:
    """An app, its follower, and what a worker would write."""

    def __init__(self, segue: Segue, clock: Clock) -> None:
        self.segue, self._clock = segue, clock
        self.app = Celery("followed", broker="memory://", backend="cache+memory://")
        self.door: Door = install(self.app, segue, reports="polled", lease_seconds=LEASE_SECONDS)
        self.follower = Follower(self.door)
        self.worker = Mailbox(self.door)
        self.numbers = iter(range(1, 1000))

    def start(self, *, handle: str | None = None) -> Attempt:
        """A run of one step, which is sent."""
        node = Node("step", "celery:step", queue="@celery:celery", executor="celery", handle=handle)
        [run_id] = self.segue.engine.start([(Plan("followed", (node,), result=Ref(0)), None)])
        return (run_id, 0, 1)

    def report(self, attempt: Attempt, verdict: Verdict = Verdict.SUCCEEDED, **fields: Any) -> None:
        """As a worker does."""
        self.worker.exchange([Outcome(*attempt, verdict, **fields)])

    def beat(self, *attempts: Attempt, is_begun: bool = True) -> None:
        """The same."""
        for attempt in attempts:
            put_beat(self.app.backend, attempt, Beat("worker", next(self.numbers), is_begun))

    def look(self, after: float = 1.0) -> None:
        """Let so many seconds pass, in looks of one second, as if the follower was never late."""
        while after > 0:
            self._clock.now += min(after, 1.0)
            after -= 1.0
            self.follower._look(self._clock.now)

    def step(self, attempt: Attempt) -> Any:
        """As it is in the database."""
        return self.segue.get(attempt[0]).steps()[0]

    def repair(self) -> None:
        """As now and then, when the broker has forgotten its messages."""
        self.app.control.purge()
        self.follower._repair()

    def sent_again(self, attempt: Attempt) -> Attempt:
        """The next attempt, as when the message was taken for lost."""
        self.segue.engine.act(resend, [attempt], wait_seconds=LEASE_SECONDS)
        return (*attempt[:2], attempt[2] + 1)


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(module, "time", clock)
    return clock


@pytest.fixture
def scene(segue: Segue, clock: Clock) -> Iterator[Scene]:
    scene = Scene(segue, clock)
    yield scene
    assert segue.engine.broken_invariants() == []
    scene.app.close()


def test_what_is_reported_is_recorded_and_removed_after_a_while(scene: Scene) -> None:
    good, bad = scene.start(), scene.start()
    scene.report(good, result="7")
    scene.report(bad, Verdict.FAILED, error=ErrorInfo("ValueError", "broken"), retryable=False)
    scene.look()
    assert (scene.step(good).status, scene.step(bad).status) == ("succeeded", "failed")
    assert read_reports(scene.app.backend, [good, bad]).keys() == {good, bad}
    scene.look(KEPT_SECONDS + 2)
    assert read_reports(scene.app.backend, [good, bad]) == {}


def test_a_report_of_an_older_attempt_is_not_looked_at(scene: Scene) -> None:
    first = scene.start()
    second = scene.sent_again(first)
    scene.report(first, result='"old"')
    scene.look()
    assert (scene.step(first).status, scene.step(first).attempt) == ("sent", 2)
    scene.report(second, result='"new"')
    scene.look()
    assert scene.segue.get(first[0]).result() == "new"


def test_a_report_that_cannot_be_recorded_does_not_keep_others(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    attempts = [scene.start() for _ in range(3)]
    for attempt in attempts:
        scene.report(attempt, result="1")
    plain, tries = scene.door.exchange, list[int]()

    def exchange(outcomes: list[Outcome], **more: Any) -> Any:
        if any(outcome.run_id == attempts[1][0] for outcome in outcomes):
            tries.append(len(outcomes))
            raise RuntimeError("no")
        return plain(outcomes, **more)

    monkeypatch.setattr(scene.door, "exchange", exchange)
    scene.look()
    assert [scene.step(attempt).status for attempt in attempts] == ["succeeded", "sent", "succeeded"]
    scene.look(5)
    assert tries == [3, 1]  # with the others, then alone, then not for a while
    monkeypatch.setattr(scene.door, "exchange", plain)
    scene.look(AFTER_A_FAULT_SECONDS + 2)
    assert scene.step(attempts[1]).status == "succeeded"


def test_what_runs_and_is_silent_for_a_lease_is_lost(scene: Scene) -> None:
    attempt = scene.start()
    scene.beat(attempt)
    scene.look(5)
    assert scene.step(attempt).status == "running"
    for _ in range(10):
        scene.beat(attempt)
        scene.look(5)
    assert scene.step(attempt).losses == 0
    scene.look(LEASE_SECONDS + 10)
    assert (scene.step(attempt).losses, scene.step(attempt).attempt) == (1, 2)
    assert read_beats(scene.app.backend, [attempt]) != {}


def test_who_was_away_itself_takes_nothing_for_lost(
    scene: Scene, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It was asleep, or the result backend was away; the worker was there all the time."""
    attempt = scene.start()
    scene.beat(attempt)
    scene.look(5)
    clock.now += 10 * LEASE_SECONDS
    scene.look(5)
    assert scene.step(attempt).status == "running"

    def away(*_: Any) -> Any:
        raise StoreUnavailableError("away")

    with monkeypatch.context() as patched:
        patched.setattr(module, "read_reports", away)
        scene.look(2 * LEASE_SECONDS)
    scene.look(5)
    assert (scene.step(attempt).status, scene.step(attempt).losses) == ("running", 0)


def test_nothing_is_sent_again_while_its_report_cannot_be_read(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    first = scene.start()
    scene.segue.engine.act(resend, [first], wait_seconds=0.0)  # as its second attempt, which is late at once
    scene.report((*first[:2], 2), result="7")

    def away(*_: Any) -> Any:
        raise StoreUnavailableError("away")

    with monkeypatch.context() as patched:
        patched.setattr(module, "read_reports", away)
        scene.look()
        scene.repair()
    assert (scene.step(first).status, scene.step(first).attempt) == ("sent", 2)
    scene.look()
    assert (scene.step(first).status, scene.step(first).attempt) == ("succeeded", 2)
    late = scene.start()
    scene.segue.engine.act(resend, [late], wait_seconds=0.0)
    scene.look()
    scene.repair()
    assert (scene.step(late).status, scene.step(late).attempt) == ("sent", 3)


def test_a_step_that_loses_too_many_workers_has_a_failure_as_its_result(scene: Scene) -> None:
    attempt = scene.start(handle="the-task")
    for number in range(1, 6):
        current = (*attempt[:2], number)
        if scene.step(attempt).status == "failed":
            break
        scene.report(current, Verdict.LOST, error=ErrorInfo("WorkerLostError", "killed"))
        scene.look(2)
        scene.door.exchange([])
    assert scene.step(attempt).status == "failed"
    assert scene.app.AsyncResult("the-task").state == states.FAILURE


def test_a_retry_cannot_set_what_is_segues_own(scene: Scene) -> None:
    attempt = scene.start()
    asked = RetryAsked((), {}, {"countdown": 60, "is_inline": True})
    scene.worker.retry(StepHeader(attempt, 0.0), asked, ErrorInfo("Retry", "again"), 0.1)
    scene.look()
    assert (scene.step(attempt).status, scene.step(attempt).failures) == ("ready", 1)
    with scene.segue.engine.reading() as tx:
        [(_, _, _, spec, _, _)] = tx.all("step_of_executor", run_id=attempt[0], step=0)
    assert "is_inline" not in spec


@pytest.mark.parametrize(
    "fields",
    [
        {"task": "segue.shell", "queue": "default", "executor": None},
        {"task": "segue.shell", "queue": "default", "executor": "celery"},
        {"task": "celery:step", "queue": "@other:celery", "executor": "other"},
    ],
)
def test_a_replacement_that_would_run_elsewhere_is_refused(scene: Scene, fields: dict[str, Any]) -> None:
    attempt = scene.start()
    inner = structs.replace(Node("inner", "celery:step", queue="@celery:celery", executor="celery"), **fields)
    scene.report(attempt, Verdict.EXPANDED, result=encode(Plan("inner", (inner,))))
    scene.look()
    [step] = scene.segue.get(attempt[0]).steps()
    assert step.error is not None
    assert (step.status, step.error.type) == ("failed", "PlanError")


def test_nonsense_is_a_failure(scene: Scene) -> None:
    attempt, other = scene.start(), scene.start()
    scene.app.backend.store_result(report_id(attempt), "nonsense", states.SUCCESS)
    scene.report(other, Verdict.EXPANDED, result="nonsense")
    scene.look()
    for each in (attempt, other):
        assert scene.step(each).status == "failed"
        assert "cannot be read" in scene.step(each).error.message
