"""Limits: places and costs, keys, queues; kept across retries, losses, pauses and cancels."""

from __future__ import annotations

import pytest

from segue.engine.claiming import lane_memory
from segue.model import Verdict
from tests.contract.limiting import define, kinds, limited, names, undefine, use, use_by_result
from tests.contract.stage import LEASE_SECONDS, TASK, Stage, ended, expanded, failed, node, plan, succeeded


@pytest.fixture
def stage(renewed_stage: Stage) -> Stage:
    return renewed_stage


def many(count: int, *uses: object, name: str = "s", **fields: object) -> list:
    return [limited(f"{name}{number}", *uses, **fields) for number in range(count)]


def test_no_more_run_than_there_are_places(stage: Stage) -> None:
    define(stage, "api", concurrency=3)
    stage.start(plan(*many(10, "api")))
    first = stage.claim()
    assert names(first) == ["s0", "s1", "s2"]
    assert stage.claim() == []
    assert names(stage.claim_after([succeeded(first[0])])) == ["s3"]
    assert names(stage.claim_after([succeeded(first[1]), failed(first[2])])) == ["s4", "s5"]


def test_a_place_that_comes_free_is_taken_in_the_same_turn(stage: Stage) -> None:
    define(stage, "api", concurrency=1)
    stage.start(plan(*many(3, "api")))
    [job] = stage.claim()
    assert names(stage.turn(succeeded(job), want=1).jobs) == ["s1"]


def test_a_chain_of_limited_steps_costs_one_turn_for_each(stage: Stage) -> None:
    define(stage, "api", concurrency=1)
    stage.start(plan(limited("a", "api"), limited("b", "api", parents=[0]), limited("c", "api", parents=[1])))
    [job] = stage.turn(want=1).jobs
    [job] = stage.turn(succeeded(job), want=1).jobs
    [job] = stage.turn(succeeded(job), want=1).jobs
    assert job.name == "c"


def test_a_limited_step_waits_for_a_place_when_its_parents_have_ended(stage: Stage) -> None:
    define(stage, "db", concurrency=1)
    run_id = stage.start(plan(limited("holder", "db"), node("a"), limited("b", "db", parents=(1,))))
    holder, a = stage.claim_named("holder", "a")
    assert stage.turn(succeeded(a), want=5).jobs == []
    assert stage.step(run_id, "b").gate == "limit"
    assert names(stage.turn(succeeded(holder), want=5).jobs) == ["b"]


def test_other_steps_are_not_held_up(stage: Stage) -> None:
    define(stage, "api", concurrency=1)
    stage.start(plan(*many(5, "api", priority=9), node("free")))
    assert sorted(names(stage.claim())) == ["free", "s0"]


def test_a_limit_that_nobody_defined_limits_nothing(stage: Stage) -> None:
    stage.start(plan(*many(4, "nothing")))
    assert len(stage.claim()) == 4


def test_changes_count_at_once_and_running_steps_are_left(stage: Stage) -> None:
    define(stage, "api", concurrency=4)
    stage.start(plan(*many(10, "api")))
    first = stage.claim()
    define(stage, "api", concurrency=2)
    assert stage.claim_after([succeeded(first[0]), succeeded(first[1])]) == []
    more = stage.claim_after([succeeded(first[2])])
    assert len(more) == 1
    define(stage, "api", concurrency=0)
    assert stage.claim_after([succeeded(first[3])]) == []
    undefine(stage, "api")
    assert len(stage.claim()) == 5


def test_costs_take_several_places(stage: Stage) -> None:
    define(stage, "api", concurrency=5)
    stage.start(plan(limited("large", use("api", cost=3), priority=9), *many(5, "api")))
    jobs = stage.claim()
    assert names(jobs) == ["large", "s0", "s1"]
    assert kinds(stage.claim_after([succeeded(jobs[0])])) == {"s": 3}


def test_a_step_larger_than_its_limit_runs_alone(stage: Stage) -> None:
    define(stage, "api", concurrency=2)
    stage.start(plan(limited("huge", use("api", cost=9), priority=1), *many(3, "api")))
    first = stage.claim()
    assert names(first) == ["s0", "s1"]
    [last] = stage.claim_after([succeeded(job) for job in first])[:1]
    assert last.name == "s2"
    [huge] = stage.claim_after([succeeded(last)])
    assert huge.name == "huge"
    stage.start(plan(*many(1, "api", name="late")))
    assert stage.claim() == []
    assert names(stage.claim_after([succeeded(huge)])) == ["late0"]


def test_places_are_kept_for_an_expensive_step_that_has_waited_for_long(stage: Stage) -> None:
    define(stage, "api", concurrency=2)
    [small] = many(1, "api", name="first")
    stage.start(plan(small, limited("large", use("api", cost=2))))
    running = stage.claim()
    stage.advance(1)
    for number in range(3):  # cheaper ones keep coming, and pass it by
        stage.start(plan(*many(1, "api", name=f"cheap{number}x")))
        more = stage.claim()
        assert len(more) == 1
        stage.turn(*[succeeded(job) for job in running])
        running = more
    stage.advance(30)
    stage.turn(heartbeat="running")
    stage.start(plan(*many(1, "api", name="late")))
    assert stage.claim() == []
    assert names(stage.claim_after([succeeded(job) for job in running])) == ["large"]


def test_each_key_has_places_of_its_own(stage: Stage) -> None:
    define(stage, "customer", concurrency=1)
    stage.start(plan(*[limited(f"{key}{n}", use("customer", key)) for n in range(3) for key in "abc"]))
    jobs = stage.claim()
    assert kinds(jobs) == {"a": 1, "b": 1, "c": 1}
    [again] = stage.claim_after([succeeded(next(job for job in jobs if job.name == "b0"))])
    assert again.name == "b1"


def test_all_limits_of_a_step_must_have_a_place(stage: Stage) -> None:
    define(stage, "api", concurrency=2)
    define(stage, "customer", concurrency=1)
    stage.start(plan(*[limited(f"{key}{n}", "api", use("customer", key)) for n in range(2) for key in "abc"]))
    jobs = stage.claim()
    assert len(jobs) == 2
    assert all(count == 1 for count in kinds(jobs).values())
    assert kinds(stage.claim_after([succeeded(jobs[0])])) != {jobs[1].name[0]: 1}


def test_a_limit_is_shared_by_queues_and_tasks(stage: Stage) -> None:
    define(stage, "api", concurrency=2)
    stage.start(plan(*many(2, "api", queue="far", name="far"), *many(2, "api", task="app.other", name="other")))
    near, far = stage.hire("near", tasks=["app.other"]), stage.hire("far", queues=("far",))
    assert kinds(stage.claim(near, want=1)) == {"other": 1}
    [job] = stage.claim(far)
    assert job.name == "far0"
    assert stage.claim(near) == []


def test_steps_of_tasks_that_the_worker_does_not_know_are_passed_over(stage: Stage) -> None:
    define(stage, "api", concurrency=1)
    stage.start(plan(*many(3, "api", task="app.unknown", name="unknown", priority=9), *many(1, "api")))
    assert names(stage.claim()) == ["s0"]


def test_nothing_of_a_deep_lane_is_forgotten(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    """A worker that claimed much of a lane looks behind that; what comes before it is found all the same."""
    monkeypatch.setattr(lane_memory, "DEEP_AFTER", 3)
    define(stage, "api", concurrency=2)
    stage.start(plan(*many(30, "api"), *many(5, "other", name="t")))
    claimed = []
    for number in range(40):
        jobs = stage.claim(want=2)
        claimed += names(jobs)
        stage.turn(*[succeeded(job) for job in jobs])
        if number in (5, 12):
            stage.start(
                plan(
                    *many(4, "api", name=f"high{number}x", priority=9),
                    *many(2, "api", name=f"low{number}x", priority=1),
                )
            )
            stage.advance(1)
            stage.turn(heartbeat="running")
    assert len(claimed) == len(set(claimed)) == 47


# Keys from results ----------------------------------------------------------------------------------------------------


def test_a_key_may_depend_on_results(stage: Stage) -> None:
    define(stage, "customer", concurrency=1)
    steps = [node("find"), *[limited(f"s{n}", use_by_result("customer", 0, f"c{n}"), parents=[0]) for n in range(3)]]
    run_id = stage.start(plan(*steps))
    [find] = stage.claim()
    assert stage.statuses(run_id)["s0"] == "blocked"
    jobs = stage.claim_after([succeeded(find, {"c0": "x", "c1": "y", "c2": "x"})])
    assert names(jobs) == ["s0", "s1"]
    assert stage.step(run_id, "s2").gate == "limit"
    assert names(stage.claim_after([succeeded(jobs[0])])) == ["s2"]


def test_a_key_that_cannot_be_told_fails_its_step(stage: Stage) -> None:
    run_id = stage.start(plan(node("find"), limited("s", use_by_result("customer", 0, "gone"), parents=[0])))
    [find] = stage.claim()
    stage.turn(succeeded(find, {"other": 1}))
    step = stage.step(run_id, "s")
    assert (step.status, step.error is not None and step.error.type) == ("failed", "SerializationError")
    assert stage.run(run_id).status == "failed"


def test_a_key_that_cannot_be_told_ends_a_run_that_fails_fast(stage: Stage) -> None:
    bad = limited("s", use_by_result("customer", 0, "gone"), parents=[0])
    run_id = stage.start(plan(node("find"), bad, node("long", priority=1), fail_fast=True))
    find = stage.claim(want=1)[0]
    stage.turn(succeeded(find, {"other": 1}))
    assert stage.statuses(run_id) == {"find": "succeeded", "s": "failed", "long": "cancelled"}


def test_a_key_from_a_result_waits_for_its_timer_and_its_run(stage: Stage) -> None:
    define(stage, "customer", concurrency=1)
    nodes = [node("find"), limited("s", use_by_result("customer", 0), parents=[0], delay=5.0), node("t", 1)]
    run_id = stage.start(plan(*nodes))
    [find] = stage.claim()
    stage.engine.act(_pause, stage, run_id)
    stage.turn(succeeded(find, "x"))
    assert stage.step(run_id, "s").gate == "paused"
    stage.engine.act(_resume, stage, run_id)
    assert stage.step(run_id, "s").gate == "timer"
    stage.advance(5)
    stage.turn(timers=True, heartbeat="running")
    assert stage.step(run_id, "s").gate == "limit"
    assert names(stage.claim()) == ["s"]


def test_a_key_of_a_step_that_a_task_returned(stage: Stage) -> None:
    define(stage, "customer", concurrency=1)
    stage.start(plan(node("grow")))
    [grow] = stage.claim()
    more = plan(node("find"), *[limited(f"s{n}", use_by_result("customer", 0), parents=[0]) for n in range(2)])
    [find] = stage.claim_after([expanded(grow, more)])
    assert names(stage.claim_after([succeeded(find, 7)])) == ["s0"]


# Ends of attempts -----------------------------------------------------------------------------------------------------


def test_a_retry_gives_its_place_back_and_asks_for_one_again(stage: Stage) -> None:
    define(stage, "api", concurrency=1)
    run_id = stage.start(plan(limited("a", "api", retries=1, retry_delay=10.0, retry_jitter=0.0), limited("b", "api")))
    [a] = stage.claim()
    [b] = stage.claim_after([failed(a)])
    assert b.name == "b"
    stage.advance(10)
    stage.turn(timers=True, heartbeat="running")
    assert stage.step(run_id, "a").gate == "limit"
    assert stage.claim() == []
    [again] = stage.claim_after([succeeded(b)])
    assert (again.name, again.attempt) == ("a", 2)


def test_a_lost_worker_holds_its_places_until_the_rescue(stage: Stage) -> None:
    define(stage, "api", concurrency=2)
    stage.start(plan(*many(4, "api")))
    lost = stage.hire("lost")
    held = stage.claim(lost)
    assert len(held) == 2
    stage.advance(LEASE_SECONDS + 1)
    worker = stage.hire("other")
    assert stage.claim(worker) == []
    stage.engine.rescue()
    jobs = stage.claim(worker)
    assert names(jobs) == ["s2", "s3"]  # they have waited for longer than those that were rescued
    assert stage.turn(*[succeeded(job) for job in held], by=lost).refused == 2
    assert stage.claim(worker) == []


def test_a_step_handed_back_gives_its_place_back(stage: Stage) -> None:
    define(stage, "api", concurrency=1)
    stage.start(plan(*many(2, "api")))
    [job] = stage.claim()
    assert len(stage.claim_after([ended(job, Verdict.RELEASED)])) == 1


def test_a_step_that_waits_for_its_plan_holds_no_place(stage: Stage) -> None:
    define(stage, "api", concurrency=1)
    stage.start(plan(limited("a", "api")))
    [a] = stage.claim()
    jobs = stage.claim_after([expanded(a, plan(*many(2, "api")))])
    assert names(jobs) == ["s0"]


def test_steps_of_a_paused_run_stay_and_those_of_a_cancelled_one_go(stage: Stage) -> None:
    define(stage, "api", concurrency=1)
    paused, cancelled = stage.start(plan(*many(2, "api"))), stage.start(plan(*many(2, "api", name="t")))
    stage.engine.act(_pause, stage, paused)
    [job] = stage.claim()
    assert job.run_id == cancelled
    stage.cancel(cancelled)
    assert stage.claim() == []  # it runs until it has ended
    assert stage.claim_after([ended(job, Verdict.CANCELLED)]) == []
    stage.engine.act(_resume, stage, paused)
    assert names(stage.claim()) == ["s0"]


def _pause(act, stage: Stage, run_id):
    from segue.engine.pausing import pause_run

    return pause_run(act, run_id)


def _resume(act, stage: Stage, run_id):
    from segue.engine.pausing import resume_run

    return resume_run(act, run_id)


# Limits that bind steps which do not name them ------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["queue:default", f"task:{TASK}"])
def test_a_limit_of_a_queue_or_task_binds_steps_without_lanes(stage: Stage, name: str) -> None:
    define(stage, name, concurrency=3)
    stage.start(plan(*[node(f"s{number}") for number in range(6)], *many(6, "api", name="t")))
    jobs = stage.claim()
    assert len(jobs) == 3
    assert stage.claim(stage.hire("other")) == []
    assert len(stage.claim_after([succeeded(job) for job in jobs[:2]])) == 2


def test_a_limit_of_a_task_holds_up_no_other_task(stage: Stage) -> None:
    define(stage, "task:app.slow", concurrency=1)
    stage.start(plan(*[node(f"slow{number}", task="app.slow", priority=9) for number in range(50)], node("s")))
    worker = stage.hire("both", tasks=[TASK, "app.slow"])
    assert names(stage.claim(worker, want=4)) == ["slow0", "s"]


def test_a_limit_of_a_queue_is_noticed_within_a_second(stage: Stage) -> None:
    stage.start(plan(*[node(f"s{number}") for number in range(9)]))
    first = stage.claim(want=1)
    define(stage, "queue:default", concurrency=2)
    stage.advance(1)
    stage.turn(heartbeat="running", want=0)
    stage.turn(*[succeeded(job) for job in first])
    stage.advance(1)
    assert len(stage.claim(want=5)) == 2
    undefine(stage, "queue:default")
    stage.advance(2)
    assert len(stage.claim(want=3)) == 3


def test_a_step_counts_with_its_cost_in_its_queue(stage: Stage) -> None:
    define(stage, "queue:default", concurrency=4)
    stage.start(plan(node("large", cost=3, priority=9), *[node(f"s{number}") for number in range(3)]))
    assert names(stage.claim()) == ["large", "s0"]


def test_working_one_run_keeps_limits_too(stage: Stage) -> None:
    define(stage, "api", concurrency=2)
    define(stage, "queue:far", concurrency=1)
    stage.start(plan(*many(1, "api", name="theirs")))
    assert len(stage.claim()) == 1
    mine = stage.start(
        plan(*many(3, "api"), *[node(f"far{number}", queue="far") for number in range(2)], node("free"), name="mine")
    )
    worker = stage.of_run(mine)
    jobs = stage.claim(worker)
    assert kinds(jobs) == {"s": 1, "far": 1, "free": 1}
    assert kinds(stage.claim_after([succeeded(job) for job in jobs], worker)) == {"s": 1, "far": 1}


def test_a_key_of_a_step_that_was_skipped_and_came_back(stage: Stage) -> None:
    from segue.engine.reopening.retry import retry_run

    define(stage, "customer", concurrency=1)
    run_id = stage.start(plan(node("find"), limited("s", use_by_result("customer", 0), parents=[0])))
    [find] = stage.claim()
    stage.turn(failed(find))
    assert stage.statuses(run_id) == {"find": "failed", "s": "skipped"}
    stage.engine.act(retry_run, run_id)
    [find] = stage.claim()
    assert names(stage.claim_after([succeeded(find, "x")])) == ["s"]
