"""Observers are told everything that was committed, nothing that was not, and nothing that did not happen."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from segue.engine.alarms import ring_alarms
from segue.engine.control import pause_run
from segue.engine.engine import Engine
from segue.engine.notes import describe
from segue.engine.turn_request import TurnRequest
from segue.model import Verdict
from segue.observing.journal import RawEvent
from segue.observing.kinds import expand
from segue.observing.observers import Event, observers
from segue.plan.graph import Plan, RunTerms, Sla
from tests.contract.stage import LEASE_SECONDS, Stage, ended, expanded, failed, node, plan, succeeded
from tests.contract.test_store_waits import send, wait
from tests.crash.faults import COMMIT, Died, FaultyStore, die

Told = Callable[[], list[Event]]


@pytest.fixture
def told() -> Iterator[Told]:
    """Registers an observer of everything; what it was told since the last time."""
    heard: list[Event] = []

    def hear(event: Event) -> None:
        heard.append(event)

    def tell() -> list[Event]:
        assert observers.flush(20)
        found = list(heard)
        heard.clear()
        return found

    observers.add(hear, expand(["*"]))
    yield tell
    observers.remove(hear)


def kinds(events: list[Event]) -> list[str | tuple[str, str]]:
    return [event.kind if event.name is None else (event.kind, event.name) for event in events]


def test_a_run_and_its_steps_from_beginning_to_end(stage: Stage, told: Told) -> None:
    run_id = stage.start(plan(node("a"), node("b", 0)), key="today")
    assert told() == []
    (job,) = stage.claim()
    stage.claim_after([succeeded(job)])
    events = told()
    assert kinds(events) == ["run.started", ("step.started", "a"), ("step.succeeded", "a"), ("step.started", "b")]
    assert {(event.run_id, event.workflow, event.key) for event in events} == {(run_id, "flow", "today")}
    assert {event.at for event in events} == {stage.store.now()}
    assert [event.attempt for event in events] == [None, 1, 1, 1]
    assert len({event.id for event in events}) == 4


def test_a_plain_end_and_one_with_hooks(stage: Stage, told: Told) -> None:
    stage.start(plan(node("a")))
    stage.work()
    assert kinds(told())[-2:] == [("step.succeeded", "a"), "run.succeeded"]
    stage.start(plan(node("a"), node("good", hook="on_success"), node("bad", hook="on_failure")))
    stage.work()
    assert kinds(told())[2:] == [
        ("step.succeeded", "a"), ("step.skipped", "bad"), ("step.started", "good"), ("step.succeeded", "good"),
        "run.succeeded",
    ]  # fmt: skip


def test_a_failure_is_told_as_a_retry_until_it_is_final(stage: Stage, told: Told) -> None:
    run_id = stage.start(
        plan(node("a", retries=1, retry_delay=8.0, retry_jitter=0.0), node("b", 0), node("join", 1, task=None))
    )
    (job,) = stage.claim()
    stage.turn(failed(job, "first"))
    retrying = told()[-1]
    assert (retrying.kind, retrying.attempt, retrying.detail) == ("step.retrying", 1, {"after_seconds": 8.0})
    assert retrying.error is not None
    assert retrying.error.message == "first"
    stage.advance(9)
    stage.turn(timers=True)
    (job,) = stage.claim()
    stage.turn(failed(job, "second"))
    events = told()
    assert kinds(events) == [
        ("step.started", "a"), ("step.failed", "a"), ("step.skipped", "b"), "run.failed",
    ]  # fmt: skip
    assert [event.error and event.error.message for event in events] == [None, "second", None, "second"]
    assert (events[1].attempt, events[-1].detail, events[-1].run_id) == (2, {"failed_step": "a"}, run_id)


def test_errors_are_told_without_secrets_and_failed_runs_logged_once(
    stage: Stage, told: Told, caplog: pytest.LogCaptureFixture
) -> None:
    run_id = stage.start(plan(node("a")))
    (job,) = stage.claim()
    stage.turn(failed(job, "no answer from https://u:s3cret@shop.test/?token=s3cret"))
    messages = [event.error.message for event in told() if event.error is not None]
    assert messages == ["no answer from https://u:***@shop.test/?token=***"] * 2
    [said] = [record for record in caplog.records if record.name == "segue.runs"]
    assert said.getMessage().startswith(f"run {run_id} failed: step a: ")


def test_a_cancelled_run(stage: Stage, told: Told) -> None:
    run_id = stage.start(plan(node("a"), node("b", 0), node("join", 0, 1, task=None)))
    (job,) = stage.claim()
    told()
    stage.cancel(run_id)
    assert kinds(told()) == [("step.cancelled", "b"), "run.cancel_requested"]
    stage.turn(ended(job, Verdict.CANCELLED))
    assert kinds(told()) == [("step.cancelled", "a"), "run.cancelled"]


def test_what_comes_too_late_is_not_told(stage: Stage, told: Told) -> None:
    stage.start(plan(*[node(name) for name in "abc"]))
    a, b, c = stage.claim_named("a", "b", "c")
    stage.turn(succeeded(a))
    told()
    stage.advance(1)
    stage.turn(succeeded(a), succeeded(b), succeeded(b))
    assert kinds(told()) == [("step.succeeded", "b")]
    stage.turn(failed(a), failed(c), failed(c))
    assert kinds(told()) == [("step.failed", "c"), "run.failed"]


def test_a_lost_worker(stage: Stage, told: Told) -> None:
    stage.start(plan(node("a"), node("b", lost_retries=0)))
    stage.claim_named("a", "b")
    told()
    stage.advance(LEASE_SECONDS + 1)
    stage.engine.rescue()
    events = told()
    assert kinds(events) == [("step.retrying", "a"), ("step.failed", "b")]
    assert [event.error and event.error.type for event in events] == ["worker_lost"] * 2


def test_a_step_whose_task_returned_a_plan_ends_with_it(stage: Stage, told: Told) -> None:
    stage.start(plan(node("a")))
    (job,) = stage.claim()
    stage.turn(expanded(job, plan(node("inner"), node("join", 0, task=None))))
    told()
    stage.work()
    assert kinds(told()) == [
        ("step.started", "inner"), ("step.succeeded", "inner"), ("step.succeeded", "a"), "run.succeeded",
    ]  # fmt: skip


def test_what_people_do_is_told_with_who_and_why(stage: Stage, told: Told) -> None:
    run_id = stage.start(plan(node("a")))
    stage.engine.act(pause_run, run_id, actor="ann", reason="the disk")
    (event,) = told()
    assert (event.kind, event.run_id) == ("run.paused", run_id)
    assert event.detail == {"actor": "ann", "reason": "the disk"}


def test_waits_and_alerts(stage: Stage, told: Told) -> None:
    """A run begins with a wait, though nobody claims it."""
    run_id = stage.start(Plan("flow", (wait("go"), wait("never", timeout=5)), terms=RunTerms(sla=Sla(end=5.0))))
    assert kinds(told()) == ["run.started"]
    send(stage, run_id, "go", 1)
    assert kinds(told()) == [("run.sent", "go"), ("step.succeeded", "go")]
    stage.advance(5)
    stage.engine.act(ring_alarms)
    events = told()
    assert sorted(kinds(events), key=str) == [("step.failed", "never"), "run.failed", "run.late_end"]
    assert {event.error.type for event in events if event.error is not None} == {"WaitTimeout"}


class DiesBeforeTheCommit(FaultyStore):
    def reach(self, point: str, tx: Any) -> None:
        if point == COMMIT:
            die(tx)


def test_what_was_not_committed_is_not_told(stage: Stage, told: Told) -> None:
    stage.start(plan(node("a")))
    (job,) = stage.claim()
    told()
    with pytest.raises(Died):
        Engine(DiesBeforeTheCommit(stage.store)).turn(stage.worker, TurnRequest(outcomes=[succeeded(job)]))
    assert told() == []
    stage.turn(succeeded(job))
    assert kinds(told()) == [("step.succeeded", "a"), "run.succeeded"]


def test_a_run_that_is_gone_is_not_told_of(stage: Stage) -> None:
    gone = RawEvent("run.failed", "00000000-0000-7000-8000-000000000000")
    assert (
        describe(stage.store, [gone, RawEvent("schedule.paused", None, event_id="7")], stage.store.now())[0].id == "7"
    )
    assert len(describe(stage.store, [gone], stage.store.now())) == 0


def test_without_listeners_no_transaction_has_a_journal(stage: Stage) -> None:
    journals: list[Any] = []

    def act(act) -> None:
        journals.append(act.journal)

    stage.engine.act(act)
    observers.add(print, frozenset({"run.failed"}))
    try:
        stage.engine.act(act)
    finally:
        observers.remove(print)
    stage.engine.act(act)
    assert [journal is None for journal in journals] == [True, False, True]
    assert journals[1].wanted == {"run.failed"}
