"""Workers, leases, rescue, cancel, progress, attempts, pruning."""

from __future__ import annotations

import sqlite3
from datetime import timedelta

import psycopg
import pytest

from segue.engine import chores
from segue.errors import RunNotFoundError
from segue.model import JoinRule, Progress, Verdict
from tests.contract.stage import LEASE_SECONDS, Stage, connect, ended, expanded, failed, node, plan, succeeded


@pytest.fixture
def stage(renewed_stage: Stage) -> Stage:
    return renewed_stage


def lose(stage: Stage) -> None:
    """The first worker's lease runs out."""
    stage.advance(LEASE_SECONDS + 1)


def test_a_heartbeat_renews_the_lease(stage: Stage) -> None:
    run_id = stage.start(plan(node("a")))
    stage.claim()
    for _ in range(3):
        stage.advance(LEASE_SECONDS - 1)
        assert not stage.turn(heartbeat="running").lease_lost
        assert stage.engine.rescue() == 0
    assert stage.statuses(run_id) == {"a": "running"}


def test_a_lease_that_ran_out_is_renewed_unless_somebody_noticed(stage: Stage) -> None:
    assert stage.worker
    lose(stage)
    assert not stage.turn(heartbeat="running").lease_lost
    lose(stage)
    assert stage.engine.rescue() == 0  # it ran nothing, and is lost all the same
    assert stage.turn(heartbeat="running").lease_lost


def test_a_lost_worker_is_told_and_nothing_else_happens(stage: Stage) -> None:
    run_id = stage.start(plan(node("a"), node("b")))
    [a] = stage.claim(want=1)
    lose(stage)
    stage.engine.rescue()
    result = stage.turn(succeeded(a), want=5, heartbeat="running")
    assert (result.lease_lost, result.jobs) == (True, [])
    assert stage.statuses(run_id) == {"a": "ready", "b": "ready"}


def test_steps_of_a_lost_worker_run_again_and_its_late_results_are_refused(stage: Stage) -> None:
    run_id = stage.start(plan(node("a"), node("b", 0)))
    [a] = stage.claim()
    lose(stage)
    assert stage.engine.rescue() == 1
    step = stage.step(run_id, "a")
    assert (step.status, step.attempt, step.losses, step.failures, step.worker_id) == ("ready", 1, 1, 0, None)
    assert stage.turn(succeeded(a)).refused == 1
    other = stage.hire("other")
    [again] = stage.claim(other)
    assert (again.step, again.attempt) == (0, 2)
    assert stage.turn(succeeded(a)).refused == 1
    stage.turn(succeeded(again), by=other)
    assert stage.statuses(run_id) == {"a": "succeeded", "b": "ready"}
    [attempt] = stage.attempts(run_id)
    assert (attempt.attempt, attempt.status, attempt.worker) == (1, "lost", "first")
    assert attempt.error is not None
    assert attempt.error.type == "worker_lost"


def test_a_step_that_loses_too_many_workers_is_parked(stage: Stage) -> None:
    run_id = stage.start(plan(node("killer", lost_retries=2), node("b", 0)))
    for number in range(3):
        worker = stage.hire(f"victim {number}")
        stage.claim_named("killer", by=worker)
        lose(stage)
        assert stage.engine.rescue() == 1
    step = stage.step(run_id, "killer")
    assert (step.status, step.losses) == ("failed", 3)
    run = stage.run(run_id)
    assert run.status == "failed"
    assert run.error is not None
    assert run.error.type == "worker_lost"


def test_a_parked_step_fails_its_run_fast(stage: Stage) -> None:
    run_id = stage.start(plan(node("killer", lost_retries=0), node("other"), node("late", delay=5.0), fail_fast=True))
    stage.claim_named("killer", "other")
    lose(stage)
    assert stage.engine.rescue() == 2
    assert stage.statuses(run_id) == {"killer": "failed", "other": "cancelled", "late": "cancelled"}
    error = stage.run(run_id).error
    assert error is not None
    assert error.step == "killer"


def test_steps_of_a_worker_that_stopped_are_rescued_too(stage: Stage) -> None:
    run_id = stage.start(plan(node("a")))
    stage.claim()
    stage.engine.unregister(stage.worker)
    assert stage.engine.rescue() == 1
    assert stage.statuses(run_id) == {"a": "ready"}


def test_steps_claimed_by_a_worker_after_it_was_lost_are_rescued(stage: Stage) -> None:
    run_id = stage.start(plan(node("a")))
    assert stage.worker
    lose(stage)
    stage.engine.rescue()
    stage.claim_named("a")
    assert stage.engine.rescue() == 1
    assert stage.statuses(run_id) == {"a": "ready"}


def test_a_wrong_clock_parks_no_step(stage: Stage) -> None:
    """A worker that had been declared lost before it claimed a step did not fall over it, however often."""
    run_id = stage.start(plan(node("a", lost_retries=1)))
    stage.claim_named("a")
    lose(stage)
    stage.engine.rescue()  # this loss counts: the step may have ended its worker
    for _ in range(4):
        stage.claim_named("a")
        stage.engine.rescue()
    step = stage.step(run_id, "a")
    assert (step.status, step.losses) == ("ready", 1)
    fresh = stage.hire("fresh")
    stage.claim(by=fresh)
    lose(stage)
    stage.engine.rescue()
    assert stage.step(run_id, "a").status == "failed"


def test_rescue_ends_the_steps_of_a_run_that_is_being_cancelled(stage: Stage) -> None:
    run_id = stage.start(plan(node("a"), node("b")))
    stage.claim(want=1)
    stage.cancel(run_id)
    lose(stage)
    stage.engine.rescue()
    assert stage.statuses(run_id) == {"a": "cancelled", "b": "cancelled"}
    assert stage.run(run_id).status == "cancelled"


def test_rescue_takes_many_steps_in_several_goes(stage: Stage) -> None:
    stage.start(plan(*[node(f"s{number}") for number in range(1500)]))
    stage.claim(want=1500)
    lose(stage)
    assert [stage.engine.rescue(), stage.engine.rescue(), stage.engine.rescue()] == [1000, 500, 0]


def test_claims_that_a_worker_never_heard_of_are_given_back(stage: Stage) -> None:
    run_id = stage.start(plan(node("a"), node("b"), node("c")))
    a, _, _ = stage.claim_named("a", "b", "c")
    known = {(a.run_id, a.step, a.attempt)}
    assert stage.engine.release_unknown(stage.worker.id, known) == (2, True)
    assert stage.statuses(run_id) == {"a": "running", "b": "ready", "c": "ready"}
    assert stage.engine.release_unknown(stage.worker.id, known) == (0, True)
    assert [step.losses for step in stage.steps(run_id)] == [0, 0, 0]


def test_given_back_steps_of_a_cancelled_run_end(stage: Stage) -> None:
    run_id = stage.start(plan(node("a")))
    stage.claim()
    stage.cancel(run_id)
    assert stage.engine.release_unknown(stage.worker.id, set()) == (1, True)
    assert stage.run(run_id).status == "cancelled"


# Cancelling ---------------------------------------------------------------------------------------------------------


def test_a_cancelled_run_begins_nothing_more(stage: Stage) -> None:
    run_id = stage.start(plan(node("a"), node("b", 0), node("late", delay=9.0), node("any", 0, rule=JoinRule.ALL_DONE)))
    assert stage.cancel(run_id) == "cancelled"
    assert set(stage.statuses(run_id).values()) == {"cancelled"}
    assert stage.claim() == []
    assert stage.turn(timers=True).timer_seconds is None
    assert stage.cancel(run_id) == "cancelled"


@pytest.mark.parametrize("verdict, becomes", [
    (Verdict.SUCCEEDED, "succeeded"), (Verdict.SKIPPED, "skipped"), (Verdict.CANCELLED, "cancelled"),
    (Verdict.FAILED, "cancelled"), (Verdict.RELEASED, "cancelled"), (Verdict.EXPANDED, "cancelled"),
])  # fmt: skip
def test_what_runs_is_asked_to_end_and_heard(stage: Stage, verdict: Verdict, becomes: str) -> None:
    run_id = stage.start(plan(node("a", retries=9), node("b", 0)))
    [a] = stage.claim()
    assert stage.turn(cancels=True).cancels == []
    assert stage.cancel(run_id) == "running"
    assert stage.cancel(run_id) == "running"
    assert stage.turn(cancels=True).cancels == [(run_id, 0, 1)]
    assert stage.turn(cancels=True, by=stage.hire("other")).cancels == []
    outcome = expanded(a, plan(node("x"))) if verdict == Verdict.EXPANDED else replace_verdict(a, verdict)
    assert stage.turn(outcome).ended == [run_id]
    assert stage.statuses(run_id) == {"a": becomes, "b": "cancelled"}
    assert stage.run(run_id).status == "cancelled"


def replace_verdict(job: object, verdict: Verdict) -> object:
    return failed(job) if verdict == Verdict.FAILED else ended(job, verdict)


def test_a_final_run_stays_as_it_is(stage: Stage) -> None:
    run_id = stage.start(plan(node("a")))
    stage.work()
    assert stage.cancel(run_id) == "succeeded"
    assert stage.run(run_id).status == "succeeded"


def test_a_run_that_is_not_there_cannot_be_cancelled(stage: Stage) -> None:
    with pytest.raises(RunNotFoundError, match="019b7701"):
        stage.cancel("019b7701-17d8-7125-b7a7-fa6e8e8c256b")


# Progress and attempts ------------------------------------------------------------------------------------------------


def test_progress_is_that_of_the_live_attempt(stage: Stage) -> None:
    run_id = stage.start(plan(node("a", retries=1)))
    [first] = stage.claim()
    stage.advance(10)
    stage.turn(progress=[Progress(run_id, 0, first.attempt, 20, 100, "warm")])
    progress = stage.step(run_id, "a").progress
    assert progress is not None
    assert (progress.done, progress.total, progress.message, progress.rate, progress.eta_seconds) == (
        20,
        100,
        "warm",
        2.0,
        40.0,
    )
    stage.turn(failed(first))
    stage.turn(progress=[Progress(run_id, 0, first.attempt, 99)])
    [second] = stage.claim()
    stage.turn(progress=[Progress(run_id, 0, first.attempt, 98)])
    assert stage.step(run_id, "a").progress is None
    stage.turn(progress=[Progress(run_id, 0, second.attempt, 1), Progress(run_id, 0, second.attempt, 2, None)])
    progress = stage.step(run_id, "a").progress
    assert progress is not None
    assert (progress.done, progress.total, progress.eta_seconds) == (2, None, None)


def test_attempts_that_failed_or_said_something_are_recorded(stage: Stage) -> None:
    run_id = stage.start(plan(node("a", retries=2), node("quiet"), node("loud")))
    a, quiet, loud = stage.claim_named("a", "quiet", "loud")
    stage.turn(failed(a, "one", output="tail"), succeeded(quiet), succeeded(loud, output="hello"))
    [a] = stage.claim()
    stage.turn(ended(a, Verdict.RELEASED))
    [a] = stage.claim()
    stage.advance(2)
    stage.turn(failed(a, "two", retryable=False))
    kept = [(found.step, found.attempt, found.status, found.output) for found in stage.attempts(run_id)]
    assert kept == [
        (0, 1, "failed", "tail"),
        (0, 2, "released", None),
        (0, 3, "failed", None),
        (2, 1, "succeeded", "hello"),
    ]
    last = stage.attempts(run_id)[2]
    assert last.error is not None
    assert (last.error.message, last.worker) == ("two", "first")
    assert (last.finished_at - last.started_at).total_seconds() == 2


def test_seconds_are_those_of_the_task(stage: Stage) -> None:
    run_id = stage.start(plan(node("a")))
    [a] = stage.claim()
    stage.turn(succeeded(a, seconds=1.25))
    assert stage.step(run_id, "a").seconds == 1.25


# Pruning --------------------------------------------------------------------------------------------------------------


def count(stage: Stage, table: str) -> int:
    with connect(stage.store.url) as connection:
        [(rows,)] = connection.execute(f"SELECT count(*) FROM segue_{table}").fetchall()
    return int(rows)


def test_old_runs_are_pruned_with_all_that_is_theirs(stage: Stage) -> None:
    old = stage.start(plan(node("a", retries=1)), key="k")
    [a] = stage.claim()
    stage.turn(progress=[Progress(old, 0, 1, 1)])
    stage.turn(failed(a, output="x"))
    stage.work()
    live = stage.start(plan(node("live")))
    stage.advance(100)
    young = stage.start(plan(node("b")))
    stage.work({"live": lambda job: ended(job, Verdict.SKIPPED)})
    assert stage.run(young).status == "succeeded"
    assert stage.engine.prune(older_than=timedelta(seconds=50)) == 1
    with pytest.raises(RunNotFoundError):
        stage.run(old)
    assert stage.run(live).status == "succeeded"
    assert (count(stage, "runs"), count(stage, "steps"), count(stage, "attempts"), count(stage, "progress")) == (
        2,
        2,
        0,
        0,
    )


def test_live_runs_are_never_pruned(stage: Stage) -> None:
    ids = [stage.start(plan(node("a", delay=float(delay)))) for delay in (0, 10**6)]
    stage.claim()
    cancelled = stage.start(plan(node("a"), node("h", hook="finally")))
    stage.cancel(cancelled)
    stage.advance(10**5)
    assert stage.engine.prune(older_than=timedelta(0)) == 0
    assert [stage.run(run_id).status.is_final for run_id in [*ids, cancelled]] == [False, False, False]


def test_pruning_goes_in_batches_oldest_first(stage: Stage) -> None:
    ids = stage.engine.start([(plan(), None)] * 450)
    stage.advance(10)
    assert stage.engine.prune(older_than=timedelta(seconds=1)) == 200
    with pytest.raises(RunNotFoundError):
        stage.run(ids[199])
    assert stage.run(ids[200]).status == "succeeded"
    assert [stage.engine.prune(older_than=timedelta(seconds=1)) for _ in range(3)] == [200, 50, 0]


def test_a_key_is_free_again_when_its_run_is_pruned(stage: Stage) -> None:
    first = stage.start(plan(), key="k")
    stage.advance(10)
    assert stage.engine.prune(older_than=timedelta(seconds=1)) == 1
    again = stage.start(plan(), key="k")
    assert again != first


def test_workers_that_ended_are_pruned_but_not_while_they_have_steps(stage: Stage) -> None:
    stage.start(plan(node("a")))
    stage.claim()
    idle = stage.hire("idle")
    stage.engine.unregister(idle)
    stage.engine.unregister(stage.worker)
    assert prune_workers(stage) == 0
    stage.advance(3601)
    assert prune_workers(stage) == 1
    assert count(stage, "workers") == 1
    stage.engine.rescue()
    prune_workers(stage)
    assert count(stage, "workers") == 0


def prune_workers(stage: Stage) -> int:
    return stage.engine.act(chores.prune_workers)


def test_outcomes_for_a_pruned_run_are_refused(stage: Stage) -> None:
    stage.start(plan(node("a")))
    [a] = stage.claim()
    stage.turn(succeeded(a))
    stage.advance(100)
    assert stage.engine.prune(older_than=timedelta(0)) == 1
    assert stage.turn(succeeded(a)).refused == 1
    assert stage.turn(failed(a)).refused == 1


def test_a_run_knows_when_it_is_final(stage: Stage) -> None:
    run_id = stage.start(plan(node("a")))
    assert not stage.engine.is_final(run_id)
    stage.work()
    assert stage.engine.is_final(run_id)
    assert stage.engine.is_final("019b7701-17d8-7125-b7a7-fa6e8e8c256b")


def test_a_stopping_worker_keeps_its_lease(stage: Stage) -> None:
    stage.start(plan(node("a")))
    [a] = stage.claim()
    stage.advance(LEASE_SECONDS - 1)
    assert not stage.turn(heartbeat="stopping").lease_lost
    stage.advance(LEASE_SECONDS - 1)
    assert stage.engine.rescue() == 0
    assert stage.turn(succeeded(a)).refused == 0


@pytest.mark.parametrize(
    "table, column", [("runs", "status"), ("runs", "intent"), ("runs", "outcome"), ("steps", "status")]
)
def test_a_status_that_is_none_is_refused_or_found(stage: Stage, table: str, column: str) -> None:
    run_id = stage.start(plan(node("a")))
    with connect(stage.store.url) as connection:
        try:
            connection.execute(f"UPDATE segue_{table} SET {column} = 'finnished'")
            connection.commit()
        except (sqlite3.IntegrityError, psycopg.IntegrityError):
            return
    assert {(found, "none" in what) for found, what in stage.engine.broken_invariants()} >= {(run_id, True)}
    with connect(stage.store.url) as connection:
        connection.execute("DELETE FROM segue_steps")
        connection.execute("DELETE FROM segue_runs")
        connection.commit()
