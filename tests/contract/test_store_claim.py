"""Claiming: what is ready goes to one worker, the right one, in the right order."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from threading import Barrier

import pytest

from segue.engine.claiming import claim
from segue.model import Gather, Hole, Job, Ref, Span, Verdict
from tests.contract.stage import TASK, Stage, ended, failed, node, plan, succeeded, value
from tests.crash.worker_processes import eventually


@pytest.fixture
def stage(renewed_stage: Stage) -> Stage:
    return renewed_stage


def test_a_claimed_step_runs_on_its_worker(stage: Stage) -> None:
    run_id = stage.start(plan(node("a", args='[[1],{"b":2}]', timeout=9.0)))
    [job] = stage.claim()
    assert (job.run_id, job.step, job.attempt, job.name, job.task) == (run_id, 0, 1, "a", TASK)
    assert (job.args, job.holes, job.values, job.timeout, job.failures) == ('[[1],{"b":2}]', None, {}, 9.0, 0)
    step = stage.step(run_id, "a")
    assert (step.status, step.attempt, step.worker_id) == ("running", 1, stage.worker.id)
    assert step.started_at == stage.clock.now()
    assert stage.run(run_id).status == "running"
    assert stage.claim() == []


def test_higher_priorities_go_first_then_the_oldest(stage: Stage) -> None:
    names = []
    for name, priority in [("low", 0), ("first", 5), ("high", 9), ("second", 5), ("six", 6)]:
        stage.start(plan(node(name, priority=priority)))
        stage.advance(0.001)
        names.append(name)
    order = [stage.claim(want=1)[0].name for _ in names]
    assert order == ["high", "six", "first", "second", "low"]


def test_one_claim_of_several_is_in_the_same_order(stage: Stage) -> None:
    stage.start(plan(node("a", priority=1), node("b"), node("c", priority=7), node("d")))
    assert [job.name for job in stage.claim()] == ["c", "b", "d", "a"]


def test_no_more_than_wanted_are_claimed(stage: Stage) -> None:
    stage.start(plan(*[node(f"s{number}") for number in range(5)]))
    result = stage.turn(want=3)
    assert (len(result.jobs), result.again) == (3, True)
    result = stage.turn(want=3)
    assert (len(result.jobs), result.again) == (2, False)
    assert stage.turn(want=0).jobs == []


def test_queues_are_worked_in_the_order_that_the_worker_names(stage: Stage) -> None:
    stage.start(plan(node("slow", queue="slow"), node("fast", queue="fast"), node("other", queue="other")))
    worker = stage.hire("picky", queues=("fast", "slow"))
    assert [job.name for job in stage.turn(by=worker, want=1).jobs] == ["fast"]
    assert [job.name for job in stage.turn(by=worker, want=5).jobs] == ["slow"]
    assert stage.turn(by=worker, want=5).jobs == []


def test_only_tasks_that_the_worker_knows_are_claimed(stage: Stage) -> None:
    stage.start(plan(node("new", task="app.new", priority=9), node("old")))
    assert [job.name for job in stage.claim()] == ["old"]
    newer = stage.hire("newer", tasks=[TASK, "app.new"])
    assert [job.name for job in stage.claim(newer)] == ["new"]
    assert stage.claim(stage.hire("knows nothing", tasks=[])) == []


@pytest.mark.parametrize("count", range(1, 8))
@pytest.mark.parametrize("want", [1, 3, 4, 5, 10])
@pytest.mark.parametrize("unknown_at", [None, 0, 2])
def test_however_many_are_ready_the_first_known_ones_are_claimed(
    stage: Stage, count: int, want: int, unknown_at: int | None
) -> None:
    nodes = [
        node(f"s{at}", task="unknown" if at == unknown_at else TASK, priority=9 - at) for at in range(count)
    ]  # fmt: skip
    run_id = stage.start(plan(*nodes))
    known = [f"s{at}" for at in range(count) if at != unknown_at]
    jobs = stage.turn(want=want).jobs
    assert [(job.name, job.attempt) for job in jobs] == [(name, 1) for name in known[:want]]
    statuses = {f"s{at}": stage.step(run_id, f"s{at}").status for at in range(count)}
    assert [name for name, status in statuses.items() if status == "running"] == known[:want]


def test_a_worker_may_take_the_steps_of_one_run_only(stage: Stage) -> None:
    other, mine = stage.start(plan(node("theirs"))), stage.start(plan(node("mine", queue="far"), node("b", 0)))
    [job] = stage.claim(stage.of_run(mine))
    assert job.name == "mine"
    stage.turn(succeeded(job))
    assert [job.name for job in stage.claim(stage.of_run(mine))] == ["b"]
    assert stage.statuses(other) == {"theirs": "ready"}


def test_no_step_goes_to_two_claimers(stage: Stage) -> None:
    count = 200
    stage.start(plan(*[node(f"s{number}") for number in range(count)]))
    workers = [stage.hire(f"w{number}") for number in range(4)]
    together = Barrier(4)

    def claim(number: int) -> list[int]:
        together.wait()
        taken: list[int] = []
        while jobs := stage.turn(by=workers[number], want=7).jobs:
            taken += [job.step for job in jobs]
        return taken

    with ThreadPoolExecutor(4) as threads:
        taken = [step for steps in threads.map(claim, range(4)) for step in steps]
    # A claimer passes over what others hold at that moment, so a few may be left for the next claim.
    taken += [job.step for job in stage.claim()]
    assert sorted(taken) == list(range(count))


def test_the_results_that_a_step_needs_come_with_it(stage: Stage) -> None:
    holes = (Hole((0, 0), Gather((Ref(0), Ref(1, ("key",))))), Hole((1, "all"), Span(0, 1)))
    stage.start(plan(node("a"), node("b"), node("c", 0, 1, holes=holes, args='[[null],{"all":null}]')))
    a, b = stage.claim_named("a", "b")
    stage.turn(succeeded(a, [1]), succeeded(b, {"key": "v"}))
    [c] = stage.claim()
    assert c.values == {0: "[1]", 1: '{"key":"v"}'}


def test_a_step_freed_by_a_turn_is_claimed_in_that_turn(stage: Stage) -> None:
    stage.start(plan(node("a"), node("b", 0, holes=(Hole((0, 0), Ref(0)),), args="[[null],{}]")))
    [a] = stage.claim()
    result = stage.turn(succeeded(a, 5), want=1)
    assert [(job.name, job.values) for job in result.jobs] == [("b", {0: "5"})]


def test_results_of_joins_are_put_together_when_they_are_needed(stage: Stage) -> None:
    nodes = [
        node("a"),
        node("b"),
        node("j", 0, 1, task=None, result=Span(0, 1)),
        node("k", 2, task=None, result=Gather((Ref(2), value(9)))),
    ]
    stage.start(plan(*nodes, node("c", 3, holes=(Hole((0, 0), Ref(3)),), args="[[null],{}]")))
    a, b = stage.claim_named("a", "b")
    stage.turn(succeeded(a, 1), succeeded(b, 2))
    [c] = stage.claim()
    assert c.values == {3: "[[1,2],9]"}


@pytest.mark.parametrize("falsy", [False, None, 0, "", [], {}])
def test_a_step_whose_condition_is_false_is_skipped_with_what_depends_on_it(stage: Stage, falsy: object) -> None:
    run_id = stage.start(plan(node("a"), node("b", 0, when=Ref(0)), node("c", 1), node("d", 1, rule="all_done")))
    stage.work({"a": lambda job: succeeded(job, falsy)})
    assert stage.statuses(run_id) == {"a": "succeeded", "b": "skipped", "c": "skipped", "d": "succeeded"}
    assert stage.run(run_id).status == "succeeded"


@pytest.mark.parametrize("truthy", [True, 1, "no", [0], {"a": None}])
def test_a_step_whose_condition_is_true_runs(stage: Stage, truthy: object) -> None:
    run_id = stage.start(plan(node("a"), node("b", 0, when=Ref(0))))
    stage.work({"a": lambda job: succeeded(job, truthy)})
    assert stage.statuses(run_id) == {"a": "succeeded", "b": "succeeded"}


def test_a_condition_that_cannot_be_told_fails_the_step(stage: Stage) -> None:
    run_id = stage.start(plan(node("a"), node("b", 0, when=Ref(0, ("missing",)), retries=3)))
    stage.work({"a": lambda job: succeeded(job, [1])})
    step = stage.step(run_id, "b")
    assert (step.status, step.attempt) == ("failed", 1)
    assert step.error is not None
    assert "when=" in step.error.message


def test_failures_come_with_the_job(stage: Stage) -> None:
    stage.start(plan(node("a", retries=2)))
    for number in range(3):
        [job] = stage.claim()
        assert (job.attempt, job.failures) == (number + 1, number)
        stage.turn(failed(job))


def test_a_step_handed_back_is_claimed_again_and_counts_no_failure(stage: Stage) -> None:
    run_id = stage.start(plan(node("a")))
    [job] = stage.claim()
    stage.turn(ended(job, Verdict.RELEASED))
    assert stage.statuses(run_id) == {"a": "ready"}
    [again] = stage.claim()
    assert (again.attempt, again.failures) == (2, 0)
    assert stage.turn(succeeded(job)).refused == 1
    assert stage.turn(succeeded(again)).refused == 0


def test_what_can_be_claimed_is_found_behind_thousands_of_unknown_steps(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(claim, "LONG_SECONDS", 0.0)  # so that each look in vain rests for a moment
    monkeypatch.setattr(claim, "MANY_READY", 3)
    stage.start(plan(*[node(f"s{number}", task="app.unknown", priority=number) for number in range(9)]))
    assert stage.claim() == []
    for priority in (5, 0, 9):
        stage.start(plan(node(f"p{priority}", priority=priority)))
        stage.advance(1.0)
        found: list[Job] = eventually(stage.claim)  # what has a higher priority is found when it has rested
        assert [job.name for job in found] == [f"p{priority}"]
