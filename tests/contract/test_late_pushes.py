"""`schedule_to_start` of steps at executors that are polled."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from segue.dispatcher.dispatcher import Dispatcher
from segue.dispatcher.protocol import Cause
from segue.engine.control import cancel_run
from segue.engine.pushed_reports import begin_push
from segue.model import Policy
from segue.plan.graph import Node, Plan
from segue.testing import Answer, ScriptedPlatform
from tests.contract.stage import Stage

SOON = Policy(schedule_to_start=30.0, retries=3)


@pytest.fixture
def stage(renewed_stage: Stage) -> Iterator[Stage]:
    yield renewed_stage
    assert renewed_stage.engine.broken_invariants() == []


@pytest.fixture
def far() -> ScriptedPlatform:
    return ScriptedPlatform("far")


def start(stage: Stage) -> str:
    return stage.start(Plan("flow", (Node("a", "work", queue="@far", executor="far", policy=SOON),)))


def rounds(stage: Stage, far: ScriptedPlatform, count: int = 3) -> None:
    dispatcher = Dispatcher(stage.engine, far, monotonic=stage.clock.monotonic)
    for _ in range(count):
        dispatcher.run_once()


def error_of(stage: Stage, run_id: str) -> tuple[str, str]:
    error = stage.step(run_id, "a").error
    assert error is not None
    return error.type, error.message


def test_what_waits_outside_is_ended_and_fails(stage: Stage, far: ScriptedPlatform) -> None:
    run_id = start(stage)
    rounds(stage, far)
    [job] = far.alive()
    far.set(job, reason="QOSMaxJobsPerUserLimit")
    stage.advance(29)
    stage.engine.ring_alarms()
    rounds(stage, far)
    assert far.cancelled == []
    stage.advance(2)
    stage.engine.ring_alarms()
    rounds(stage, far)
    assert far.cancelled == [(job.id, True)]
    far.end(job, Cause.CANCELLED)
    rounds(stage, far)
    assert error_of(stage, run_id)[0] == "ScheduleToStartTimeout"
    assert "QOSMaxJobsPerUserLimit" in error_of(stage, run_id)[1]
    assert (stage.step(run_id, "a").attempt, stage.run(run_id).status) == (1, "failed")
    with stage.engine.reading() as tx:
        assert len(tx.all("has_event", run_id=run_id, kind="step.schedule_to_start", step=0)) == 1


def test_what_the_platform_does_not_take_is_withdrawn_and_fails(stage: Stage, far: ScriptedPlatform) -> None:
    run_id = start(stage)
    far.answers.extend([Answer.IS_BUSY] * 3)
    rounds(stage, far)
    stage.advance(31)
    stage.engine.ring_alarms()
    assert error_of(stage, run_id)[0] == "ScheduleToStartTimeout"  # also if no dispatcher runs
    rounds(stage, far)
    assert far.alive() == []


def test_what_begins_after_all_goes_on(stage: Stage, far: ScriptedPlatform) -> None:
    run_id = start(stage)
    rounds(stage, far)
    [job] = far.alive()
    stage.advance(31)
    stage.engine.ring_alarms()
    stage.engine.act(begin_push, job.push.id, holder="it")
    far.begin(job)
    rounds(stage, far)
    assert far.cancelled == []
    far.succeed(job, "1")
    rounds(stage, far)
    assert stage.run(run_id).status == "succeeded"


def test_an_answer_that_was_lost_is_searched_before_it_is_too_late(stage: Stage, far: ScriptedPlatform) -> None:
    lost, never = start(stage), start(stage)
    far.answers.extend([Answer.LOSES_THE_REPLY, Answer.LOSES_THE_CALL])
    rounds(stage, far, 1)
    stage.advance(31)
    stage.engine.ring_alarms()
    rounds(stage, far)
    [job] = far.alive()
    assert far.cancelled == [(job.id, True)]
    far.end(job, Cause.CANCELLED)
    rounds(stage, far)
    stage.advance(31)
    stage.engine.ring_alarms()
    assert {error_of(stage, run_id)[0] for run_id in (lost, never)} == {"ScheduleToStartTimeout"}
    assert len(far.submitted) == 2


def test_one_that_people_cancel_is_cancelled(stage: Stage, far: ScriptedPlatform) -> None:
    run_id = start(stage)
    rounds(stage, far)
    [job] = far.alive()
    stage.advance(31)
    stage.engine.ring_alarms()
    stage.engine.act(cancel_run, run_id)
    far.end(job, Cause.CANCELLED)
    rounds(stage, far)
    assert stage.run(run_id).status == "cancelled"
