"""Steps that are sent to an executor outside: every event, every verb, and a death between any two words."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import timedelta
from typing import Any

import pytest

from segue.engine.engine import Engine
from segue.engine.executing import (
    Executor,
    begin_steps,
    next_overdue,
    overdue,
    recall_steps,
    resend_step,
    retry_steps,
    send_steps,
)  # fmt: skip
from segue.engine.pausing import pause_run, resume_run
from segue.errors import RunStateError
from segue.model import Attempt, ErrorInfo, Outcome, Verdict
from tests.contract import by_hand
from tests.contract.limiting import define
from tests.contract.stage import LEASE_SECONDS, Stage, connect, node, plan
from tests.crash.faults import Died, FaultyStore, die, lose

HPC = Executor("hpc")
FREE = Executor("batch", is_fenced=False)  # it does not ask before it begins
SECONDS = 60.0


@pytest.fixture
def stage(lasting_stage: Stage) -> Iterator[Stage]:
    lasting_stage.renew()
    yield lasting_stage
    assert lasting_stage.is_sound()


def send(stage: Stage, run_id: str, *steps: int, to: Executor = HPC) -> list[Attempt]:
    until = stage.clock.now() + timedelta(seconds=SECONDS)
    return stage.engine.act(send_steps, [(run_id, step) for step in steps or (0,)], to=to, until=until)


def begin(stage: Stage, *attempts: Attempt, by: str | None = None) -> list[Attempt]:
    return stage.engine.act(begin_steps, attempts, worker_id=by)


def report(stage: Stage, attempt: Attempt, verdict: Verdict = Verdict.SUCCEEDED, **fields: Any) -> int:
    """Say how an attempt ended; returns how often that was refused."""
    error = ErrorInfo("Boom", "broke") if verdict is Verdict.FAILED else None
    return stage.engine.report([Outcome(*attempt, verdict, error=error, **fields)], by="node-7").refused


def late(stage: Stage, executor: str = "hpc") -> list[Attempt]:
    with stage.engine.reading() as tx:
        return [found.attempt for found in overdue(tx, executor, stage.store.now())]


def one(stage: Stage, **fields: Any) -> tuple[str, Attempt]:
    """A run of two steps, whose first one is sent."""
    to = fields.pop("to", HPC)
    run_id = stage.start(plan(node("far", **fields), node("after", 0)))
    [attempt] = send(stage, run_id, to=to)
    return run_id, attempt


# The way of a step ---------------------------------------------------------------------------------------------------


def test_a_step_is_sent_begins_and_succeeds(stage: Stage) -> None:
    run_id, attempt = one(stage)
    assert attempt == (run_id, 0, 1)
    assert stage.run(run_id).status == "pending"
    assert stage.claim() == []
    assert begin(stage, attempt) == [attempt]
    assert (stage.step(run_id, "far").status, stage.run(run_id).status) == ("running", "running")
    assert report(stage, attempt, result="7") == 0
    assert stage.statuses(run_id) == {"far": "succeeded", "after": "ready"}
    stage.work()
    assert stage.run(run_id).status == "succeeded"


@pytest.mark.parametrize("verdict", [Verdict.SUCCEEDED, Verdict.SKIPPED, Verdict.FAILED])
def test_an_end_counts_though_its_begin_was_never_heard_of(stage: Stage, verdict: Verdict) -> None:
    run_id, attempt = one(stage)
    assert report(stage, attempt, verdict) == 0
    assert stage.step(run_id, "far").status == verdict
    assert report(stage, attempt, verdict) == 1


def test_ends_that_were_heard_and_unheard_of_come_in_one_report(stage: Stage) -> None:
    run_id = stage.start(plan(node("a"), node("b"), node("c"), fail_fast=True))
    a, b, c = send(stage, run_id, 0, 1, 2)
    begin(stage, a)
    outcomes = [
        Outcome(*a, Verdict.SUCCEEDED), Outcome(*b, Verdict.SUCCEEDED, output="printed"),
        Outcome(*c, Verdict.FAILED, error=ErrorInfo("Boom", "broke")),
    ]  # fmt: skip
    assert stage.engine.report(outcomes, by="node-7").refused == 0
    assert stage.statuses(run_id) == {"a": "succeeded", "b": "succeeded", "c": "failed"}
    assert [(found.step, found.status) for found in stage.attempts(run_id)] == [(1, "succeeded"), (2, "failed")]
    assert stage.run(run_id).status == "failed"


def test_a_failure_from_sent_fails_the_run_fast_and_stays_a_failure(stage: Stage) -> None:
    run_id = stage.start(plan(node("far"), node("near"), node("fence", delay=1e6), fail_fast=True))
    [attempt] = send(stage, run_id, 0)
    assert report(stage, attempt, Verdict.FAILED) == 0
    assert stage.statuses(run_id) == {"far": "failed", "near": "cancelled", "fence": "cancelled"}
    assert stage.run(run_id).status == "failed"


def test_of_two_messages_with_one_attempt_the_first_to_begin_has_it(stage: Stage) -> None:
    _, attempt = one(stage)
    first, second = stage.hire("first node"), stage.hire("second node")
    assert begin(stage, attempt, by=first.id) == [attempt]
    assert begin(stage, attempt, by=second.id) == []
    assert begin(stage, attempt, by=first.id) == [attempt]  # its answer was lost


def test_of_an_older_attempt_nothing_counts(stage: Stage) -> None:
    run_id, old = one(stage)
    assert stage.engine.act(recall_steps, [old]) == 1
    [new] = send(stage, run_id)
    assert new == (run_id, 0, 2)
    assert begin(stage, old) == []
    assert report(stage, old) == 1
    assert stage.engine.act(recall_steps, [old]) == 0
    assert stage.engine.act(retry_steps, [Outcome(*old, Verdict.FAILED)], by="node-7") == 0
    assert stage.step(run_id, "far").status == "sent"
    assert begin(stage, new) == [new]


def test_nothing_is_sent_that_a_worker_could_not_claim(stage: Stage) -> None:
    define(stage, "api", concurrency=1)
    run_id = stage.start(plan(node("late", delay=10.0), node("claimed"), node("after", 1)))
    stage.claim_named("claimed")
    assert send(stage, run_id, 0, 1, 2, 77) == []
    assert send(stage, "019b7701-17d8-7125-b7a7-fa6e8e8c256b", 0) == []


# Sent again ----------------------------------------------------------------------------------------------------------


def test_what_has_not_begun_in_time_is_found_and_sent_again(stage: Stage) -> None:
    run_id, attempt = one(stage)
    with stage.engine.reading() as tx:
        assert next_overdue(tx, "hpc") == stage.clock.now() + timedelta(seconds=SECONDS)
    assert late(stage) == []
    stage.advance(SECONDS)
    assert late(stage) == [attempt]
    assert late(stage, "batch") == []
    until = stage.clock.now() + timedelta(seconds=SECONDS)
    assert stage.engine.act(resend_step, attempt, until=until) == attempt
    assert late(stage) == []
    again = stage.engine.act(resend_step, attempt, until=until, is_next=True, handle="job-2")
    assert again == (run_id, 0, 2)
    assert stage.step(run_id, "far").handle == "job-2"
    assert begin(stage, attempt, again) == [again]  # type: ignore[arg-type]
    stage.advance(10 * SECONDS)
    assert late(stage) == []
    assert stage.engine.act(resend_step, attempt, until=until) is None


@pytest.mark.parametrize("is_begun", [True, False])
def test_the_retry_of_the_platform_is_the_next_attempt(stage: Stage, is_begun: bool) -> None:
    run_id, attempt = one(stage)  # its own policy allows no retry: this one is what its executor's users wrote
    if is_begun:
        begin(stage, attempt)
    outcome = Outcome(*attempt, Verdict.FAILED, error=ErrorInfo("Boom", "broke"))
    assert stage.engine.act(retry_steps, [outcome], by="node-7", after_seconds=5.0) == 1
    step = stage.step(run_id, "far")
    assert (step.status, step.gate, step.failures) == ("ready", "timer", 1)
    assert [(found.attempt, found.status) for found in stage.attempts(run_id)] == [(1, "failed")]
    stage.advance(5.0)
    stage.turn(timers=True)
    assert send(stage, run_id) == [(run_id, 0, 2)]


def test_a_retry_that_the_broker_holds_is_sent_already(stage: Stage) -> None:
    run_id, attempt = one(stage)
    begin(stage, attempt)
    until = stage.clock.now() + timedelta(seconds=5)
    outcome = Outcome(*attempt, Verdict.FAILED, error=ErrorInfo("Boom", "broke"))
    assert stage.engine.act(retry_steps, [outcome], by="node-7", held_until=until) == 1
    step = stage.step(run_id, "far")
    assert (step.status, step.attempt, step.failures) == ("sent", 2, 1)
    assert begin(stage, attempt) == []
    stage.advance(5.0)
    assert late(stage) == [(run_id, 0, 2)]
    assert begin(stage, (run_id, 0, 2)) == [(run_id, 0, 2)]


# Cancel, pause, rescue -----------------------------------------------------------------------------------------------


def test_a_cancel_ends_what_can_be_refused_at_once(stage: Stage) -> None:
    run_id, attempt = one(stage)
    assert stage.cancel(run_id) == "cancelled"
    assert stage.step(run_id, "far").status == "cancelled"
    assert begin(stage, attempt) == []
    assert report(stage, attempt) == 1


@pytest.mark.parametrize("word", ["ended", "gone", "begun and ended"])
def test_a_cancel_asks_what_may_have_begun(stage: Stage, word: str) -> None:
    run_id, attempt = one(stage, to=FREE)
    stage.cancel(run_id)
    step = stage.step(run_id, "far")
    assert (step.status, step.cancel_requested, stage.run(run_id).ending) == ("sent", True, "cancelled")
    if word == "gone":
        assert stage.engine.act(recall_steps, [attempt]) == 1
    else:
        if word == "begun and ended":
            assert begin(stage, attempt) == [attempt]
        assert report(stage, attempt, Verdict.FAILED) == 0
    assert stage.step(run_id, "far").status == "cancelled"
    assert stage.run(run_id).status == "cancelled"


def test_in_a_paused_run_a_begin_is_refused_and_comes_back(stage: Stage) -> None:
    run_id, attempt = one(stage)
    stage.engine.act(pause_run, run_id, stop_running=True)
    assert begin(stage, attempt) == []
    step = stage.step(run_id, "far")
    assert (step.status, step.gate, step.failures, step.losses) == ("ready", "paused", 0, 0)
    assert send(stage, run_id) == []
    stage.engine.act(resume_run, run_id)
    [again] = send(stage, run_id)
    assert begin(stage, again) == [again]
    assert not stage.step(run_id, "far").cancel_requested


def test_what_was_sent_before_a_short_pause_begins_after_it(stage: Stage) -> None:
    run_id, attempt = one(stage)
    stage.engine.act(pause_run, run_id, stop_running=True)
    until = stage.clock.now() + timedelta(seconds=SECONDS)
    assert stage.engine.act(resend_step, attempt, until=until) is None
    stage.engine.act(resume_run, run_id)
    assert begin(stage, attempt) == [attempt]
    assert not stage.step(run_id, "far").cancel_requested


def test_what_is_outside_and_does_not_ask_goes_on_in_a_paused_run(stage: Stage) -> None:
    run_id, attempt = one(stage, to=FREE)
    stage.engine.act(pause_run, run_id)
    assert begin(stage, attempt) == [attempt]
    assert report(stage, attempt) == 0
    assert stage.step(run_id, "after").gate == "paused"


def test_a_step_that_is_polled_is_under_no_lease(stage: Stage) -> None:
    run_id, attempt = one(stage)
    stage.advance(3 * LEASE_SECONDS)
    assert stage.engine.rescue() == 0
    begin(stage, attempt)
    stage.advance(3 * LEASE_SECONDS)
    assert stage.engine.rescue() == 0
    assert stage.step(run_id, "far").status == "running"
    assert stage.codes(run_id, "far") == ["running"]


def test_a_step_under_a_lease_is_rescued_once_it_has_begun(stage: Stage) -> None:
    run_id, attempt = one(stage)
    foreign = stage.hire("a process of Celery")
    begin(stage, attempt, by=foreign.id)
    stage.advance(LEASE_SECONDS + 1)
    assert stage.engine.rescue() == 1
    step = stage.step(run_id, "far")
    assert (step.status, step.losses) == ("ready", 1)
    assert report(stage, attempt) == 1


# What is said of it --------------------------------------------------------------------------------------------------


def test_it_holds_its_places(stage: Stage) -> None:
    define(stage, "queue:default", concurrency=2)
    run_id = stage.start(plan(node("far"), node("near"), node("waits")))
    send(stage, run_id, 0)
    assert [job.name for job in stage.claim()] == ["near"]
    begin(stage, (run_id, 0, 1))
    assert stage.claim() == []
    report(stage, (run_id, 0, 1))
    assert [job.name for job in stage.claim()] == ["waits"]


@pytest.mark.parametrize("to", [HPC, FREE])
def test_its_time_to_start_counts_until_it_has_begun(stage: Stage, to: Executor) -> None:
    run_id, attempt = one(stage, schedule_to_start=30.0, to=to)
    stage.advance(31)
    stage.engine.ring_alarms()
    step = stage.step(run_id, "far")
    if to is HPC:
        assert step.status == "failed"
        assert step.error is not None
        assert "its executor did not begin it within 30 s" in step.error.message
        assert begin(stage, attempt) == []
    else:
        assert step.status == "sent"  # it may run already


def test_a_pause_is_nobodys_delay(stage: Stage) -> None:
    run_id, attempt = one(stage, schedule_to_start=30.0)
    stage.engine.act(pause_run, run_id)
    stage.advance(31)
    stage.engine.ring_alarms()
    stage.engine.act(resume_run, run_id)
    stage.advance(1)
    stage.engine.ring_alarms()
    assert begin(stage, attempt) == [attempt]


@pytest.mark.parametrize("verb", [by_hand.skip, by_hand.retry, lambda *args: by_hand.mark(*args, 7)])
def test_a_person_is_told_why_it_cannot_be_changed(stage: Stage, verb: Callable[..., Any]) -> None:
    run_id, _ = one(stage)
    with pytest.raises(RunStateError, match=r"far.*(sent to its executor|runs now|has not ended yet)"):
        verb(stage, run_id, "far")
    assert stage.step(run_id, "far").status == "sent"


def test_silence_is_explained(stage: Stage) -> None:
    run_id, attempt = one(stage)
    stage.advance(20)
    [reason] = stage.explain(run_id)
    assert (reason.code, reason.step) == ("sent", "far")
    assert reason.text == (
        "attempt 1 was sent to hpc 20.0 s ago, and has not begun; if it has not begun in 40.0 s, its message is checked"
    )
    stage.advance(50)
    assert "overdue by 10.0 s" in stage.explain(run_id, "far")[0].text
    stage.engine.act(pause_run, run_id)
    paused, sent = stage.explain(run_id)
    assert "1 step of it was sent to executors" in paused.text
    assert "is refused, and sent again after" in sent.text
    stage.engine.act(resume_run, run_id)
    begin(stage, attempt)


def test_a_check_finds_what_nobody_looks_after(stage: Stage) -> None:
    run_id, _ = one(stage)
    mark = "?" if stage.store.dialect == "sqlite" else "%s"
    for column in ("executor", "sent_until"):
        with connect(stage.store.url) as connection:
            [[before]] = connection.execute(
                f"SELECT {column} FROM segue_steps WHERE run_id = {mark} AND step = 0", (run_id,)
            ).fetchall()
            set_to = f"UPDATE segue_steps SET {column} = {mark} WHERE run_id = {mark} AND step = 0"
            connection.execute(set_to, (None, run_id))
            connection.commit()
            assert [run for run, _ in stage.engine.broken_invariants()] == [run_id]
            connection.execute(set_to, (before, run_id))
            connection.commit()


# Deaths --------------------------------------------------------------------------------------------------------------


def whole_way(engine: Engine, stage: Stage, run_id: str) -> None:
    """Send, begin, fail with a retry, send again, recall, send again, begin, succeed: whatever is still to be done."""
    until = stage.clock.now() + timedelta(seconds=SECONDS)
    outcome = Verdict.FAILED
    for attempt in engine.act(send_steps, [(run_id, 0)], to=HPC, until=until):
        for begun in engine.act(begin_steps, [attempt]):
            engine.act(retry_steps, [Outcome(*begun, outcome, error=ErrorInfo("Boom", "broke"))], by="node-7")
    for attempt in engine.act(send_steps, [(run_id, 0)], to=HPC, until=until):
        engine.act(recall_steps, [attempt])
    for attempt in engine.act(send_steps, [(run_id, 0)], to=HPC, until=until):
        engine.act(resend_step, attempt, until=until, is_next=True)
        again = (attempt[0], attempt[1], attempt[2] + 1)
        for begun in engine.act(begin_steps, [again]):
            engine.report([Outcome(*begun, Verdict.SUCCEEDED, "7")], by="node-7")


def repaired(stage: Stage, run_id: str) -> None:
    """What a door does after a death: it sends again what is overdue, and asks its executor for what has begun."""
    stage.advance(SECONDS)
    for attempt in late(stage):
        until = stage.clock.now() + timedelta(seconds=SECONDS)
        assert stage.engine.act(resend_step, attempt, until=until) == attempt
        assert begin(stage, attempt) == [attempt]
    step = stage.step(run_id, "far")
    if step.status == "running":
        assert report(stage, (run_id, 0, step.attempt)) == 0
    elif step.status == "ready":
        [attempt] = send(stage, run_id)
        assert report(stage, attempt) == 0
    assert stage.step(run_id, "far").status == "succeeded"


@pytest.mark.parametrize("strike", [die, lose], ids=["dead", "lost"])
def test_whatever_dies_between_two_words_the_step_is_looked_after(stage: Stage, strike: Callable[[Any], None]) -> None:
    counting = FaultyStore(stage.store)
    run_id = stage.start(plan(node("far")))
    whole_way(Engine(counting, ids=stage.engine.ids), stage, run_id)
    assert stage.step(run_id, "far").attempt == 4
    assert len(counting.points) > 40
    for number in range(1, len(counting.points) + 1):
        run_id = stage.start(plan(node("far")))
        faulty = FaultyStore(stage.store, strike, number)
        try:
            whole_way(Engine(faulty, ids=stage.engine.ids), stage, run_id)
        except Died:
            assert strike is die
        assert faulty.has_struck
        repaired(stage, run_id)
        assert stage.run(run_id).status == "succeeded"
        assert stage.is_sound()
