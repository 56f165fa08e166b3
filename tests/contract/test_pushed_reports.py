"""Pushed attempts whose processes report by themselves: what they say, and what the dispatcher makes of it."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest

from segue.attempt.spool import NOT_MINE, NOT_REPORTED
from segue.dispatcher.dispatcher import CHORES_SECONDS
from segue.dispatcher.protocol import Cause, Phase
from segue.engine import pushed_reports, pushing
from segue.engine.pausing import pause_run
from segue.engine.pushed_reports import MISSED_BEATS, beat_push, begin_push, report_push
from segue.errors import PushNotFoundError
from segue.model import Outcome, Policy, Progress, Verdict
from segue.testing import Answer, FarJob, ScriptedPlatform
from tests.contract.stage import Stage
from tests.contract.test_pushing import dispatcher_of, explained, flow, pushed, settle

BEAT = 30.0


@pytest.fixture
def stage(renewed_stage: Stage) -> Iterator[Stage]:
    yield renewed_stage
    assert renewed_stage.engine.broken_invariants() == []


@pytest.fixture
def far() -> ScriptedPlatform:
    return ScriptedPlatform("far")


def begin(stage: Stage, job: FarJob, holder: str = "one") -> Any:
    return stage.engine.act(begin_push, job.push.id, holder=holder)


def beat(stage: Stage, job: FarJob, holder: str = "one", **more: Any) -> Any:
    return stage.engine.act(beat_push, job.push.id, holder=holder, beat_seconds=BEAT, **more)


def report(stage: Stage, job: FarJob, holder: str = "one", verdict: Verdict = Verdict.SUCCEEDED) -> bool:
    outcome = Outcome(*job.push.attempt, verdict, "1" if verdict is Verdict.SUCCEEDED else None)
    return stage.engine.act(report_push, job.push.id, outcome, holder=holder, by="test")


def test_a_process_begins_beats_and_reports(stage: Stage, far: ScriptedPlatform) -> None:
    run_id = stage.start(flow(pushed("a"), pushed("b", 0)))
    dispatcher = dispatcher_of(stage, far)
    settle(stage, dispatcher)
    [job] = far.alive()
    begun = begin(stage, job)
    assert (begun.job.name, begun.executor, begun.beat_seconds, begun.is_to_end) == ("a", "far", BEAT, False)
    assert stage.step(run_id, "a").status == "running"
    assert begin(stage, job).job == begun.job  # the answer was lost
    assert begin(stage, job, "two") is None
    assert not beat(stage, job, "two").is_mine
    said = beat(stage, job, progress=Progress(*job.push.attempt, 1.0, 4.0, "quarter"))
    assert (said.is_mine, said.is_to_end) == (True, False)
    progress = stage.step(run_id, "a").progress
    assert progress is not None
    assert (progress.done, progress.total) == (1.0, 4.0)
    assert not report(stage, job, "two")
    assert report(stage, job)
    assert report(stage, job)  # the answer was lost
    assert not beat(stage, job).is_mine
    assert begin(stage, job) is None
    settle(stage, dispatcher)
    assert [(found.job.name) for found in far.alive()] == ["a", "b"]
    assert stage.step(run_id, "a").attempt == 1


def test_many_beat_more_slowly(stage: Stage, far: ScriptedPlatform, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pushed_reports, "MANY", 2)
    stage.start(flow(pushed("a"), pushed("b")))
    settle(stage, dispatcher_of(stage, far))
    assert begin(stage, far.alive()[0]).beat_seconds == pushed_reports.SLOW_BEAT_SECONDS


def test_a_push_of_another_database(stage: Stage) -> None:
    with pytest.raises(PushNotFoundError, match="no push"):
        stage.engine.act(begin_push, stage.engine.new_id(), holder="one")


def test_a_job_that_has_reported_may_take_a_while_to_end(stage: Stage, far: ScriptedPlatform) -> None:
    run_id = stage.start(flow())
    dispatcher = dispatcher_of(stage, far)
    settle(stage, dispatcher)
    [job] = far.alive()
    begin(stage, job)
    report(stage, job)
    settle(stage, dispatcher, seconds=CHORES_SECONDS + 1)
    assert (stage.run(run_id).status, far.cancelled) == ("succeeded", [])
    settle(stage, dispatcher, seconds=CHORES_SECONDS + 1)
    assert far.cancelled == [(job.id, True)]


def test_what_reports_is_not_gone(stage: Stage, far: ScriptedPlatform) -> None:
    run_id = stage.start(flow(pushed("a", policy=Policy(lost_retries=0))))
    dispatcher = dispatcher_of(stage, far)
    settle(stage, dispatcher)
    [job] = far.alive()
    begin(stage, job)
    del far.jobs[job.id]
    for _ in range(10):
        settle(stage, dispatcher, seconds=BEAT)
        assert beat(stage, job).is_mine
    assert "does not show it" in explained(stage, run_id)["running"]
    settle(stage, dispatcher, seconds=BEAT * MISSED_BEATS + 1)
    assert stage.step(run_id, "a").status == "running"
    settle(stage, dispatcher, seconds=far.pace.gone_seconds + 1)
    assert (stage.step(run_id, "a").status, stage.step(run_id, "a").losses) == ("failed", 1)
    assert not report(stage, job)


def test_what_reports_is_waited_for_although_its_machine_is_silent(stage: Stage, far: ScriptedPlatform) -> None:
    """Of two attempts at a step, one at most is alive."""
    run_id = stage.start(flow(pushed("a", policy=Policy(lost_retries=1))))
    dispatcher = dispatcher_of(stage, far)
    settle(stage, dispatcher)
    [job] = far.alive()
    begin(stage, job)
    far.end(job, Cause.LOST, reason="NODE_FAIL")
    far.set(far.jobs[job.id], is_cut_off=True)
    for _ in range(3):
        settle(stage, dispatcher, seconds=BEAT)
        assert beat(stage, job).is_mine
    assert "NODE_FAIL" in explained(stage, run_id)["running"]
    settle(stage, dispatcher, seconds=BEAT * MISSED_BEATS + 1)
    assert (stage.step(run_id, "a").losses, stage.step(run_id, "a").attempt) == (1, 2)
    assert not report(stage, job)


def test_what_surely_ended_is_not_waited_for(stage: Stage, far: ScriptedPlatform) -> None:
    run_id = stage.start(flow(pushed("a")))
    dispatcher = dispatcher_of(stage, far)
    settle(stage, dispatcher)
    [job] = far.alive()
    begin(stage, job)
    far.end(job, Cause.LOST, reason="PREEMPTED")
    settle(stage, dispatcher)
    assert (stage.step(run_id, "a").losses, stage.step(run_id, "a").attempt) == (1, 2)


@pytest.mark.parametrize("code, lost", [(NOT_REPORTED, True), (NOT_MINE, False)])
def test_exit_codes_of_processes(stage: Stage, far: ScriptedPlatform, code: int, lost: bool) -> None:
    """Another process of the same push runs it, and this one ends."""
    run_id = stage.start(flow(pushed("a", policy=Policy(lost_retries=0))))
    dispatcher = dispatcher_of(stage, far)
    settle(stage, dispatcher)
    [job] = far.alive()
    begin(stage, job, "another")
    far.end(job, Cause.EXIT, exit_code=code)
    settle(stage, dispatcher)
    assert stage.step(run_id, "a").status == ("failed" if lost else "running")
    if not lost:
        settle(stage, dispatcher, seconds=BEAT * MISSED_BEATS + 1)
    assert (stage.step(run_id, "a").status, stage.step(run_id, "a").losses) == ("failed", 1)


def test_an_older_attempt_that_reports_late_is_refused(stage: Stage, far: ScriptedPlatform) -> None:
    run_id = stage.start(flow(pushed("a")))
    dispatcher = dispatcher_of(stage, far)
    settle(stage, dispatcher)
    [job] = far.alive()
    begin(stage, job)
    far.end(job, Cause.LOST)
    settle(stage, dispatcher)
    [second] = far.alive()
    assert not report(stage, job)
    assert not beat(stage, job).is_mine
    begin(stage, second, "two")
    assert report(stage, second, "two")
    assert (stage.run(run_id).status, stage.step(run_id, "a").attempt) == ("succeeded", 2)


def test_a_job_that_begins_after_it_was_searched_for_in_vain(stage: Stage, far: ScriptedPlatform) -> None:
    """It is planned again when it begins. It is not submitted again, and not withdrawn when its run is paused."""
    far.answers += [Answer.IS_SLOW, Answer.IS_BUSY]
    run_id = stage.start(flow(pushed("a", policy=Policy(lost_retries=0))))
    dispatcher = dispatcher_of(stage, far)
    settle(stage, dispatcher)
    settle(stage, dispatcher, seconds=11)
    far.arrive()
    [job] = far.alive()
    assert begin(stage, job).job is not None
    stage.engine.act(pause_run, run_id)
    settle(stage, dispatcher, seconds=11)
    assert (len(far.submitted), stage.step(run_id, "a").status) == (2, "running")
    assert stage.step(run_id, "a").handle == job.id
    assert report(stage, job)


@pytest.mark.parametrize("beats", [True, False])
def test_a_job_that_has_begun_and_is_not_found(stage: Stage, far: ScriptedPlatform, beats: bool) -> None:
    far.answers.append(Answer.IS_SLOW)
    run_id = stage.start(flow(pushed("a", policy=Policy(lost_retries=0))))
    dispatcher = dispatcher_of(stage, far)
    settle(stage, dispatcher)
    far.arrive()
    [job] = far.alive()
    begin(stage, job)
    del far.jobs[job.id]
    for _ in range(10):
        settle(stage, dispatcher, seconds=BEAT)
        if beats:
            beat(stage, job)
    assert len(far.submitted) == 1
    assert stage.step(run_id, "a").status == ("running" if beats else "failed")
    if beats:
        report(stage, job)


def test_it_hears_that_it_is_to_end(stage: Stage, far: ScriptedPlatform) -> None:
    run_id = stage.start(flow(pushed("a"), pushed("b")))
    dispatcher = dispatcher_of(stage, far)
    settle(stage, dispatcher)
    first, second = far.alive()
    begin(stage, first)
    stage.cancel(run_id)
    assert beat(stage, first).is_to_end
    assert begin(stage, second, "two").is_to_end
    assert report(stage, first, verdict=Verdict.LOST)
    assert report(stage, second, "two", verdict=Verdict.CANCELLED)
    assert {step.status for step in stage.steps(run_id)} == {"cancelled"}


def test_times_are_of_the_database(stage: Stage, far: ScriptedPlatform) -> None:
    stage.start(flow())
    settle(stage, dispatcher_of(stage, far))
    [job] = far.alive()
    begin(stage, job)
    with stage.engine.reading() as tx:
        found = pushing.push_of(tx, job.push.attempt)
    assert found is not None
    assert found[0].beat_until == stage.clock.now() + timedelta(seconds=BEAT * MISSED_BEATS)
    far.set(job, phase=Phase.RUNNING)
    report(stage, job)
