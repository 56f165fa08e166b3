"""Promise 9: after `pause` returns nothing new of the run starts; `resume` goes on exactly there. On both stores."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import msgspec
import pytest

from segue.engine.control import Done, cancel_run, pause_run, resume_run
from segue.engine.turn_request import TurnRequest
from segue.errors import RunNotFoundError
from segue.model import Job, JoinRule, Outcome, Verdict
from tests.contract.stage import Stage, connect, ended, expanded, failed, node, plan, succeeded, value
from tests.contract.test_store_lock_order import at_once

NOBODY = "019b7701-17d8-7125-b7a7-fa6e8e8c256b"


@pytest.fixture
def stage(lasting_stage: Stage) -> Iterator[Stage]:
    lasting_stage.renew()
    yield lasting_stage
    assert lasting_stage.is_sound()


def pause(stage: Stage, run_id: str, **said: Any) -> Done:
    return stage.engine.act(pause_run, run_id, **said)


def resume(stage: Stage, run_id: str, **said: Any) -> Done:
    return stage.engine.act(resume_run, run_id, **said)


def cancel(stage: Stage, run_id: str, **said: Any) -> Done:
    return stage.engine.act(cancel_run, run_id, **said)


def gates(stage: Stage, run_id: str) -> dict[str, str | None]:
    return {step.name: step.gate for step in stage.steps(run_id) if step.status == "ready"}


def events(stage: Stage) -> list[tuple[str, dict[str, Any]]]:
    """What people did, in order."""
    with connect(stage.store.url) as connection:
        rows = connection.execute("SELECT kind, detail FROM segue_events ORDER BY id").fetchall()
    kinds = ("run.paused", "run.resumed", "run.cancel_requested")
    return [(kind, msgspec.json.decode(detail) if detail else {}) for kind, detail in rows if kind in kinds]


def nothing_starts(stage: Stage) -> bool:
    return stage.claim() == [] and stage.is_sound()


# Pause and resume -----------------------------------------------------------------------------------------------------


def test_nothing_of_a_paused_run_is_claimed(stage: Stage) -> None:
    paused, other = stage.start(plan(node("a"), node("b", 0))), stage.start(plan(node("c")))
    assert pause(stage, paused) == Done("paused", True)
    assert [job.run_id for job in stage.claim()] == [other]
    assert stage.run(paused).status == "paused"
    assert gates(stage, paused) == {"a": "paused"}
    assert nothing_starts(stage)
    assert resume(stage, paused) == Done("pending", True)
    stage.work()
    assert stage.statuses(paused) == {"a": "succeeded", "b": "succeeded"}


def test_saying_it_twice_changes_nothing(stage: Stage) -> None:
    run_id = stage.start(plan(node("a")))
    pause(stage, run_id, actor="eva@host", reason="the warehouse is down")
    assert pause(stage, run_id, actor="tom") == Done("paused", False)
    resume(stage, run_id)
    assert resume(stage, run_id) == Done("pending", False)
    assert events(stage) == [
        ("run.paused", {"actor": "eva@host", "reason": "the warehouse is down"}),
        ("run.resumed", {}),
    ]


def test_a_run_that_is_over_or_not_there(stage: Stage) -> None:
    run_id = stage.start(plan(node("a")))
    stage.work()
    assert pause(stage, run_id) == Done("succeeded", False)
    assert resume(stage, run_id) == Done("succeeded", False)
    assert events(stage) == []
    with pytest.raises(RunNotFoundError, match="segue runs"):
        pause(stage, NOBODY)


def test_what_runs_goes_on_and_what_follows_is_held(stage: Stage) -> None:
    after = node("after", 0, rule=JoinRule.ALL_DONE)
    run_id = stage.start(plan(node("a"), node("b", 0), node("late", 0, delay=60.0), node("j", 0, task=None), after))
    [a] = stage.claim()
    pause(stage, run_id)
    assert stage.turn(succeeded(a), want=10).jobs == []
    ready = {"b": "ready", "late": "ready", "after": "ready"}
    assert stage.statuses(run_id) == {"a": "succeeded", "j": "succeeded", **ready}
    assert gates(stage, run_id) == {"b": "paused", "late": "paused", "after": "paused"}
    assert nothing_starts(stage)
    assert resume(stage, run_id).status == "running"
    assert gates(stage, run_id) == {"b": None, "late": "timer", "after": None}
    outcomes = [succeeded(job) for job in stage.claim_named("b", "after")]
    stage.advance(60)
    [late] = stage.turn(*outcomes, want=10, timers=True).jobs
    stage.turn(succeeded(late))
    assert stage.run(run_id).status == "succeeded"


def test_timers_are_held_and_go_on(stage: Stage) -> None:
    run_id = stage.start(plan(node("soon", delay=10.0), node("later", delay=100.0)))
    pause(stage, run_id)
    stage.advance(50)
    assert stage.turn(want=10, timers=True).jobs == []
    assert nothing_starts(stage)
    resume(stage, run_id)
    assert gates(stage, run_id) == {"soon": None, "later": "timer"}
    assert [job.name for job in stage.claim()] == ["soon"]


def test_a_retry_in_a_paused_run_is_held(stage: Stage) -> None:
    run_id = stage.start(plan(node("now", retries=1), node("later", retries=1, retry_delay=30.0, retry_jitter=0.0)))
    jobs = stage.claim_named("now", "later")
    pause(stage, run_id)
    stage.turn(*[failed(job) for job in jobs])
    assert gates(stage, run_id) == {"now": "paused", "later": "paused"}
    assert stage.step(run_id, "now").failures == 1
    assert nothing_starts(stage)
    resume(stage, run_id)
    assert gates(stage, run_id) == {"now": None, "later": "timer"}


def test_steps_of_a_lost_worker_are_held(stage: Stage) -> None:
    run_id = stage.start(plan(node("a")))
    gone = stage.hire("gone")
    stage.claim(gone)
    pause(stage, run_id)
    stage.advance(100)
    assert stage.engine.rescue() == 1
    assert gates(stage, run_id) == {"a": "paused"}
    assert nothing_starts(stage)


def test_what_a_worker_never_heard_of_is_held(stage: Stage) -> None:
    run_id = stage.start(plan(node("a")))
    stage.claim()
    pause(stage, run_id)
    assert stage.engine.release_unknown(stage.worker.id, set()) == (1, True)
    assert gates(stage, run_id) == {"a": "paused"}


def test_handed_back_and_added_steps_are_held(stage: Stage) -> None:
    run_id = stage.start(plan(node("back"), node("grows")))
    back, grows = stage.claim_named("back", "grows")
    pause(stage, run_id)
    stage.turn(ended(back, Verdict.RELEASED), expanded(grows, plan(node("x"), node("y", 0))))
    assert gates(stage, run_id) == {"back": "paused", "x": "paused"}
    assert nothing_starts(stage)
    resume(stage, run_id)
    stage.work()
    assert stage.run(run_id).status == "succeeded"


def test_a_paused_run_that_waits_for_nothing_ends(stage: Stage) -> None:
    run_id = stage.start(plan(node("a")))
    [a] = stage.claim()
    pause(stage, run_id)
    assert stage.turn(succeeded(a)).ended == [run_id]
    assert stage.run(run_id).status == "succeeded"
    assert resume(stage, run_id) == Done("succeeded", False)


def test_hooks_are_held(stage: Stage) -> None:
    run_id = stage.start(plan(node("a"), node("report", hook="finally"), node("mail", 1, hook="finally")))
    [a] = stage.claim()
    pause(stage, run_id)
    stage.turn(succeeded(a))
    assert gates(stage, run_id) == {"report": "paused"}
    resume(stage, run_id)
    [report] = stage.claim_named("report")
    pause(stage, run_id)
    stage.turn(succeeded(report))
    assert gates(stage, run_id) == {"mail": "paused"}
    assert nothing_starts(stage)
    resume(stage, run_id)
    stage.work()
    assert stage.run(run_id).status == "succeeded"


def test_a_paused_run_that_fails_fast_holds_its_hooks(stage: Stage) -> None:
    run_id = stage.start(plan(node("a"), node("b"), node("alert", hook="on_failure"), fail_fast=True))
    a, b = stage.claim_named("a", "b")
    pause(stage, run_id)
    stage.turn(failed(a))
    stage.turn(ended(b, Verdict.CANCELLED))
    assert stage.statuses(run_id) == {"a": "failed", "b": "cancelled", "alert": "ready"}
    assert nothing_starts(stage)
    assert resume(stage, run_id).status == "running"
    stage.work()
    assert stage.run(run_id).status == "failed"


# Cancel ---------------------------------------------------------------------------------------------------------------


def test_cancelling_a_paused_run_lets_its_finalizers_run(stage: Stage) -> None:
    run_id = stage.start(plan(node("a"), node("b"), node("clean", hook="finally")))
    [a] = stage.claim(want=1)
    pause(stage, run_id)
    assert cancel(stage, run_id, actor="eva") == Done("running", True)
    assert stage.statuses(run_id) == {"a": "running", "b": "cancelled", "clean": "blocked"}
    stage.turn(ended(a, Verdict.CANCELLED))
    [clean] = stage.claim_named("clean")
    stage.turn(succeeded(clean))
    assert stage.run(run_id).status == "cancelled"
    assert [kind for kind, _ in events(stage)] == ["run.paused", "run.cancel_requested"]


def test_cancelling_a_paused_run_whose_outcome_stands_lets_it_go_on(stage: Stage) -> None:
    run_id = stage.start(plan(node("a"), node("clean", hook="finally")))
    [a] = stage.claim()
    pause(stage, run_id)
    stage.turn(succeeded(a))
    assert cancel(stage, run_id) == Done("running", True)
    stage.work()
    assert stage.run(run_id).status == "succeeded"
    assert [kind for kind, _ in events(stage)] == ["run.paused", "run.resumed"]


def test_a_run_that_ends_may_be_paused(stage: Stage) -> None:
    run_id = stage.start(plan(node("a"), node("clean", hook="finally")))
    [a] = stage.claim()
    cancel(stage, run_id)
    assert pause(stage, run_id) == Done("paused", True)
    stage.turn(ended(a, Verdict.CANCELLED))
    assert gates(stage, run_id) == {"clean": "paused"}
    assert cancel(stage, run_id) == Done("running", True)
    stage.work()
    assert stage.run(run_id).status == "cancelled"


# Ending what runs -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("verdict", [Verdict.CANCELLED, Verdict.FAILED, Verdict.RELEASED])
def test_what_was_asked_to_end_starts_again_and_that_was_no_try(stage: Stage, verdict: Verdict) -> None:
    run_id = stage.start(plan(node("a", args="[[1],{}]")))
    [a] = stage.claim()
    assert pause(stage, run_id, stop_running=True) == Done("paused", True)
    assert stage.turn(cancels=True).cancels == [(run_id, 0, 1)]
    stage.turn(failed(a, retryable=False) if verdict is Verdict.FAILED else ended(a, verdict))
    step = stage.step(run_id, "a")
    assert (step.status, step.gate, step.failures, step.losses, step.error) == ("ready", "paused", 0, 0, None)
    assert not step.cancel_requested
    assert [attempt.status for attempt in stage.attempts(run_id)] == ["released"]
    assert nothing_starts(stage)
    resume(stage, run_id)
    [again] = stage.claim()
    assert (again.attempt, again.args, again.failures) == (2, "[[1],{}]", 0)
    stage.turn(succeeded(again))
    assert stage.run(run_id).status == "succeeded"


def test_what_it_completes_nevertheless_counts(stage: Stage) -> None:
    run_id = stage.start(plan(node("good"), node("grows"), node("skips"), node("after", 0)))
    good, grows, skips = stage.claim_named("good", "grows", "skips")
    pause(stage, run_id, stop_running=True)
    stage.turn(succeeded(good), expanded(grows, plan(node("x"))), ended(skips, Verdict.SKIPPED))
    assert stage.statuses(run_id) == {
        "good": "succeeded", "grows": "blocked", "skips": "skipped", "after": "ready", "x": "ready",
    }  # fmt: skip
    assert nothing_starts(stage)


def test_a_pause_may_end_what_an_earlier_one_left_running(stage: Stage) -> None:
    run_id = stage.start(plan(node("a")))
    stage.claim()
    pause(stage, run_id)
    assert pause(stage, run_id, stop_running=True) == Done("paused", True)
    assert pause(stage, run_id, stop_running=True) == Done("paused", False)
    assert events(stage) == [("run.paused", {}), ("run.paused", {"stopped": 1})]


def test_what_was_asked_to_end_before_the_run_went_on_starts_again(stage: Stage) -> None:
    """The worker may be ending it while the run is resumed: nobody cancelled it, so it must not be lost."""
    run_id = stage.start(plan(node("a")))
    [a] = stage.claim()
    pause(stage, run_id, stop_running=True)
    resume(stage, run_id)
    stage.turn(ended(a, Verdict.CANCELLED))
    assert gates(stage, run_id) == {"a": None}
    stage.work()
    assert stage.run(run_id).status == "succeeded"


def test_a_failure_without_being_asked_counts(stage: Stage) -> None:
    run_id = stage.start(plan(node("a")))
    [a] = stage.claim()
    pause(stage, run_id)
    stage.turn(failed(a))
    assert stage.run(run_id).status == "failed"


def test_hooks_that_were_asked_to_end_start_again(stage: Stage) -> None:
    run_id = stage.start(plan(node("a"), node("clean", hook="finally")))
    [a] = stage.claim()
    stage.turn(succeeded(a))
    [clean] = stage.claim_named("clean")
    pause(stage, run_id, stop_running=True)
    stage.turn(ended(clean, Verdict.CANCELLED))
    assert gates(stage, run_id) == {"clean": "paused"}
    resume(stage, run_id)
    stage.work()
    assert stage.run(run_id).status == "succeeded"


# At the same time -----------------------------------------------------------------------------------------------------


@pytest.fixture
def many_writers(postgres_url: str) -> Iterator[Stage]:
    """Where a pause may begin while a claim is under way; elsewhere one waits for the other from the start."""
    stage = Stage(postgres_url)
    yield stage
    assert stage.is_sound()
    stage.close()


def test_a_pause_that_meets_a_claim_finds_it_running(many_writers: Stage) -> None:
    """The claim holds its steps, so the pause waits; the run has begun, though the claim could not write that."""
    stage = many_writers
    run_id = stage.start(plan(node("a"), node("b")))
    stage.worker  # noqa: B018 - hired before
    is_claimed, is_locked = threading.Event(), threading.Event()

    def claim() -> list[Job]:
        with stage.store.transaction() as tx:
            request = {"queue": "default", "tasks": ["app.work"], "worker_id": stage.worker.id, "rank": -100}
            now = stage.store.now()
            since = now.replace(year=1990)
            rows = tx.all("claim", limit=1, now=now, since=since, **request)
            is_claimed.set()
            assert is_locked.wait(10)
            tx.all("runs_begin", ids=[run_id], now=now)  # skips the run, whose lock the pause has
        return rows

    def hold() -> Done:
        assert is_claimed.wait(10)

        def act(act) -> Done:
            act.tx.all("lock_runs", ids=[run_id])
            is_locked.set()
            return pause_run(act, run_id)

        return stage.engine.act(act)

    with ThreadPoolExecutor(2) as threads:
        claimed, done = threads.submit(claim), threads.submit(hold)
        assert len(claimed.result(10)) == 1
        assert done.result(10) == Done("paused", True)
    assert sorted(stage.statuses(run_id).values()) == ["ready", "running"]
    assert nothing_starts(stage)
    run = stage.run(run_id)
    assert run.started_at is not None
    assert resume(stage, run_id).status == "running"


def test_pauses_and_resumes_against_claims_timers_and_outcomes(stage: Stage) -> None:
    worker, other = stage.hire("one"), stage.hire("two")
    for number in range(12):
        steps = [node("a", priority=9), *[node(f"late{each}", delay=1.0) for each in range(10)]]
        runs = stage.engine.start([(plan(*steps, node("b", 0)), None)] * 6)
        jobs: list[Job] = stage.claim(worker, want=6)
        stage.advance(1)
        outcomes: list[Outcome] = [succeeded(job) for job in jobs]
        turn = TurnRequest(outcomes=outcomes, want=10, timers=True)
        verb = pause if number % 2 else cancel
        at_once(
            lambda worker=worker, turn=turn: stage.engine.turn(worker, turn),
            lambda other=other: stage.turn(by=other, want=10, timers=True),
            lambda runs=runs: [pause(stage, run_id, stop_running=True) for run_id in runs[::-1]],
            lambda runs=runs, verb=verb: [verb(stage, run_id) for run_id in runs],
        )
        assert stage.is_sound()
        for run_id in runs:
            pause(stage, run_id)
        running = [step.name for run_id in runs for step in stage.steps(run_id) if step.status == "running"]
        assert stage.claim(other) == []
        assert stage.turn(by=other, want=50, timers=True).jobs == []
        still = [step.name for run_id in runs for step in stage.steps(run_id) if step.status == "running"]
        assert still == running
        stage.advance(100)
        stage.engine.rescue()
        assert stage.is_sound()
        for run_id in runs:
            resume(stage, run_id)
            cancel(stage, run_id)
        worker, other = stage.hire("one"), stage.hire("two")
        stage.work()
        assert {str(stage.run(run_id).status) for run_id in runs} == {"cancelled"}


# Saying why -----------------------------------------------------------------------------------------------------------


def test_explain_says_since_when_by_whom_and_what_still_runs(stage: Stage) -> None:
    run_id = stage.start(plan(node("a"), node("b")))
    stage.claim(want=1)
    stage.advance(5)
    pause(stage, run_id, actor="eva@host", reason="the warehouse is down")
    first, second = stage.explain(run_id)
    assert (first.code, first.step) == ("paused", None)
    assert "at 00:00:05 UTC by eva@host (the warehouse is down); 1 step of it still runs" in first.text
    assert f"segue resume {run_id[-8:]}" in first.text
    assert second.code == "running"
    assert stage.codes(run_id, "b") == ["paused"]


def test_a_condition_in_a_paused_run_waits_as_well(stage: Stage) -> None:
    run_id = stage.start(plan(node("a", when=value(False))))
    pause(stage, run_id)
    assert nothing_starts(stage)
    resume(stage, run_id)
    stage.claim()
    assert stage.statuses(run_id) == {"a": "skipped"}
