"""A running step adds steps to its own run: who waits, what they get, what comes twice, and a death at every point."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import msgspec
import pytest

from segue.engine.engine import Engine
from segue.engine.extend import Extension, extend
from segue.engine.pausing import pause_run, resume_run
from segue.errors import PlanError, RunStateError
from segue.model import Concat, Gather, Hole, Job, Ref, Span, Verdict
from segue.plan.graph import Plan
from tests.contract import by_hand
from tests.contract.stage import Stage, ended, expanded, failed, node, plan, succeeded
from tests.crash.faults import Died, FaultyStore, die, lose

GATHER_TWO = (Hole((0, 0), Span(0, 1)),)


@pytest.fixture
def stage(lasting_stage: Stage) -> Iterator[Stage]:
    lasting_stage.renew()
    yield lasting_stage
    assert lasting_stage.is_sound()


def chord(stage: Stage, **fields: Any) -> tuple[str, Job, Job]:
    """A run of two members and a body that gathers them; returns it with the jobs of the members."""
    run_id = stage.start(plan(node("a", **fields), node("b"), node("body", 0, 1, args="[[null],{}]", holes=GATHER_TWO)))
    a, b = stage.claim_named("a", "b")
    return run_id, a, b


def one_more(name: str = "more") -> Plan:
    return plan(node(name), result=Gather((Ref(0),)))


def add(stage: Stage, job: Job, what: Plan | None = None, key: str = "first", engine: Engine | None = None) -> Any:
    return (engine or stage.engine).act(extend, (job.run_id, job.step, job.attempt), what or one_more(), key=key)


def body_of(stage: Stage) -> Any:
    """What the body gets."""
    [job] = stage.claim_named("body")
    return msgspec.json.decode("[" + ",".join(job.values.values()) + "]"), job


def test_the_body_waits_for_what_was_added_and_gets_its_result_at_the_end(stage: Stage) -> None:
    run_id, a, b = chord(stage)
    assert add(stage, a) == Extension(3, is_new=True)
    stage.turn(succeeded(a, "a"), succeeded(b, "b"))
    assert stage.statuses(run_id)["body"] == "blocked"
    [more] = stage.claim_named("more")
    stage.turn(succeeded(more, "more"))
    values, job = body_of(stage)
    assert values == ["a", "b", "more"]
    stage.turn(succeeded(job))
    assert stage.run(run_id).status == "succeeded"


def test_a_list_may_grow_many_times_and_stays_short(stage: Stage) -> None:
    run_id, a, b = chord(stage)
    for number in range(20):
        assert add(stage, a, one_more(f"more[{number}]"), key=str(number)).base == 3 + number
    stage.turn(succeeded(a, 0), succeeded(b, 1))
    jobs = sorted(stage.claim(), key=lambda job: job.step)
    stage.turn(*[succeeded(job, job.step) for job in jobs])
    values, job = body_of(stage)
    assert values == [0, 1, *range(3, 23)]
    assert msgspec.json.decode(job.holes or "", type=tuple[Hole, ...])[0].what == Concat((Span(0, 1), Span(3, 22)))
    assert stage.run(run_id).steps == 23


def test_what_is_added_may_be_a_graph_and_only_its_results_are_gathered(stage: Stage) -> None:
    run_id, a, b = chord(stage)
    graph = plan(node("x"), node("y", 0), node("beside", 0), result=Gather((Ref(1), Ref(0))))
    add(stage, a, graph)
    assert stage.is_sound()
    stage.turn(succeeded(a, "a"), succeeded(b, "b"))
    stage.work({"x": lambda job: succeeded(job, "x"), "y": lambda job: succeeded(job, "y"), "body": _none})
    values = [step.status for step in stage.steps(run_id)]
    assert values == ["succeeded"] * 6
    assert stage.run(run_id).status == "succeeded"


def _none(job: Job) -> Any:
    assert msgspec.json.decode("[" + ",".join(job.values.values()) + "]") == ["a", "b", "x", "y"]
    return succeeded(job)


def test_a_join_gathers_more_as_well(stage: Stage) -> None:
    joined = node("all", 0, 1, task=None, result=Concat((Gather((Ref(0), Ref(1))),)))
    run_id = stage.start(plan(node("a"), node("b"), joined, result=Ref(2)))
    a, b = stage.claim_named("a", "b")
    add(stage, b)
    stage.turn(succeeded(a, 1), succeeded(b, 2))
    stage.work({"more": lambda job: succeeded(job, 3)})
    assert stage.result(run_id) == [1, 2, 3]


@pytest.mark.parametrize("fails", ["more", "a", None])
def test_steps_that_watch_the_body_watch_what_was_added(stage: Stage, fails: str | None) -> None:
    watch = node("watch", 0, 1, 2, rule="some_failed")
    run_id = stage.start(plan(node("a"), node("b"), node("body", 0, 1, args="[[null],{}]", holes=GATHER_TWO), watch))
    a, b = stage.claim_named("a", "b")
    add(stage, a)
    assert stage.is_sound()
    stage.turn(failed(a, retryable=False) if fails == "a" else succeeded(a), succeeded(b))
    assert stage.statuses(run_id)["watch"] == "blocked"
    stage.work({"more": lambda job: failed(job, retryable=False) if fails == "more" else succeeded(job)})
    expected = ("succeeded", "skipped") if fails is None else ("skipped", "succeeded")
    assert (stage.statuses(run_id)["body"], stage.statuses(run_id)["watch"]) == expected
    assert stage.run(run_id).status == ("succeeded" if fails is None else "failed")


def test_a_step_inside_a_returned_plan_adds_beside_the_task_that_returned_it(stage: Stage) -> None:
    run_id, a, b = chord(stage)
    stage.turn(expanded(a, plan(node("inner 1"), node("inner 2", 0), result=Ref(1))), succeeded(b, "b"))
    [first] = stage.claim_named("inner 1")
    with pytest.raises(RunStateError, match="no later step gathers"):
        add(stage, first)
    stage.turn(succeeded(first))
    [second] = stage.claim_named("inner 2")
    add(stage, second)
    stage.turn(succeeded(second, "inner"))
    [more] = stage.claim_named("more")
    stage.turn(succeeded(more, "more"))
    values, job = body_of(stage)
    assert values == ["inner", "b", "more"]
    stage.turn(succeeded(job))
    assert stage.run(run_id).status == "succeeded"


# Twice, too late, not at all -----------------------------------------------------------------------------------------


def test_a_try_adds_once_and_the_try_after_a_failure_adds_again(stage: Stage) -> None:
    run_id, a, _ = chord(stage, retries=1)
    assert add(stage, a) == Extension(3, is_new=True)
    assert add(stage, a) == Extension(3, is_new=False)
    assert add(stage, a, key="second") == Extension(4, is_new=True)
    stage.turn(ended(a, Verdict.LOST))
    [again] = [job for job in stage.claim() if job.name == "a"]
    assert again.attempt == 2
    assert add(stage, a, key="third") is None  # of an older attempt
    assert add(stage, again) == Extension(3, is_new=False)
    stage.turn(failed(again))
    [retried] = [job for job in stage.claim() if job.name == "a"]
    assert add(stage, retried) == Extension(5, is_new=True)
    assert stage.run(run_id).steps == 6


def test_nothing_is_added_to_a_run_that_is_being_ended_or_by_a_step_that_ended(stage: Stage) -> None:
    run_id, a, b = chord(stage)
    stage.turn(succeeded(b))
    assert add(stage, b) is None
    stage.cancel(run_id)
    assert add(stage, a) is None
    stage.turn(succeeded(a))
    assert stage.run(run_id).steps == 3


def test_what_is_added_to_a_paused_run_waits_for_its_resume(stage: Stage) -> None:
    run_id, a, _ = chord(stage)
    stage.engine.act(pause_run, run_id)
    add(stage, a)
    assert (stage.step(run_id, "more").status, stage.step(run_id, "more").gate) == ("ready", "paused")
    stage.engine.act(resume_run, run_id)
    stage.claim_named("more")


@pytest.mark.parametrize("wrong", [plan(result=Gather(())), plan(node("x"), result=Ref(0)), plan(node("x"))])
def test_a_plan_whose_result_is_no_list_is_refused(stage: Stage, wrong: Plan) -> None:
    _, a, _ = chord(stage)
    with pytest.raises(PlanError, match="cannot be added"):
        add(stage, a, wrong)


def test_a_step_whose_result_is_not_gathered_is_told_so(stage: Stage) -> None:
    stage.start(plan(node("a"), node("after", 0, args="[[null],{}]", holes=(Hole((0, 0), Ref(0)),))))
    [a] = stage.claim_named("a")
    with pytest.raises(RunStateError, match="Return a plan instead"):
        add(stage, a)


@pytest.mark.parametrize("verb", ["retry", "fork"])
def test_people_do_a_run_again_that_has_grown(stage: Stage, verb: str) -> None:
    run_id, a, b = chord(stage)
    add(stage, a)
    stage.turn(succeeded(a, "a"), succeeded(b, "b"))
    stage.work({"more": lambda job: failed(job, retryable=False)})
    assert stage.run(run_id).status == "failed"
    if verb == "fork":
        run_id = by_hand.fork(stage, run_id, "a")
        a, more = stage.claim_named("a", "more")
        assert add(stage, a) == Extension(3, is_new=False)
        stage.turn(succeeded(a, "a"), succeeded(more, "more"))
    else:
        by_hand.retry(stage, run_id)
        [more] = stage.claim_named("more")
        stage.turn(succeeded(more, "more"))
    values, job = body_of(stage)
    assert values == ["a", "b", "more"]
    stage.turn(succeeded(job))
    assert stage.run(run_id).status == "succeeded"


# Deaths --------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("strike", [die, lose], ids=["dead", "lost"])
def test_whatever_dies_the_addition_is_whole_or_not_there_and_never_twice(
    stage: Stage, strike: Callable[[Any], None]
) -> None:
    counting = FaultyStore(stage.store)
    run_id, a, _ = chord(stage)
    add(stage, a, engine=Engine(counting, ids=stage.engine.ids))
    assert len(counting.points) > 8
    stage.cancel(run_id)
    for number in range(1, len(counting.points) + 1):
        run_id, a, b = chord(stage)
        faulty = FaultyStore(stage.store, strike, number)
        try:
            add(stage, a, engine=Engine(faulty, ids=stage.engine.ids))
        except Died:
            assert strike is die
        assert faulty.has_struck
        assert stage.run(run_id).steps in (3, 4)
        add(stage, a)  # the same try, once more
        assert stage.run(run_id).steps == 4
        stage.turn(succeeded(a, "a"), succeeded(b, "b"))
        [more] = [job for job in stage.claim() if job.run_id == run_id]
        stage.turn(succeeded(more, "more"))
        values, job = body_of(stage)
        assert values == ["a", "b", "more"]
        stage.turn(succeeded(job))
        assert stage.run(run_id).status == "succeeded"
        assert stage.is_sound()
