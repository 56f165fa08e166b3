"""`retry`: what failed runs again, what succeeded stays, and the run goes on from there."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from segue.engine.pausing import pause_run, resume_run
from segue.errors import RunNotFoundError, RunStateError
from segue.model import Gather, Hole, Progress, Ref, Verdict
from tests.contract.by_hand import fails, retry
from tests.contract.stage import Stage, ended, expanded, failed, node, plan, succeeded, value


@pytest.fixture
def stage(lasting_stage: Stage) -> Iterator[Stage]:
    lasting_stage.renew()
    yield lasting_stage
    assert lasting_stage.is_sound()


def names(stage: Stage) -> list[str]:
    """Claim what there is, and say what it was; each of them succeeds."""
    jobs = stage.claim()
    stage.turn(*[succeeded(job, job.name) for job in jobs])
    return sorted(job.name for job in jobs)


def test_a_failed_step_runs_again_and_what_was_skipped_over_it_comes_back(stage: Stage) -> None:
    run_id = stage.start(plan(node("a"), node("b", 0), node("c", 1), node("d", 2), node("other", 0)))
    stage.work(fails("b"))
    assert stage.statuses(run_id) == {
        "a": "succeeded", "b": "failed", "c": "skipped", "d": "skipped", "other": "succeeded"
    }  # fmt: skip
    assert stage.run(run_id).status == "failed"
    assert retry(stage, run_id) == ("running", True)
    assert stage.statuses(run_id) == {
        "a": "succeeded", "b": "ready", "c": "blocked", "d": "blocked", "other": "succeeded"
    }  # fmt: skip
    run = stage.run(run_id)
    assert (run.status, run.error, run.finished_at, run.ending) == ("running", None, None, None)
    assert [names(stage) for _ in range(4)] == [["b"], ["c"], ["d"], []]
    assert stage.run(run_id).status == "succeeded"
    assert stage.is_sound()


def test_a_run_may_be_retried_many_times_with_all_its_tries(stage: Stage) -> None:
    run_id = stage.start(plan(node("a", retries=1)))
    for _ in range(3):
        for failures in range(2):
            [job] = stage.claim()
            assert job.failures == failures
            stage.turn(failed(job))
        assert stage.run(run_id).status == "failed"
        assert retry(stage, run_id).changed
        step = stage.step(run_id, "a")
        assert (step.status, step.failures, step.losses, step.error) == ("ready", 0, 0, None)
    [job] = stage.claim()
    assert job.attempt == 7
    stage.turn(succeeded(job))
    assert stage.run(run_id).status == "succeeded"
    assert [(attempt.attempt, attempt.status) for attempt in stage.attempts(run_id)] == [
        (number, "failed") for number in range(1, 7)
    ]


def test_a_run_that_succeeded_and_one_in_which_nothing_failed_are_left(stage: Stage) -> None:
    done = stage.start(plan(node("a"), node("tolerated", may_fail=True)))
    stage.work(fails("tolerated"))
    before = stage.steps(done)
    assert retry(stage, done) == ("succeeded", False)
    assert stage.steps(done) == before
    live = stage.start(plan(node("a"), node("b", 0)))
    assert retry(stage, live) == ("pending", False)
    assert names(stage) == ["a"]
    assert retry(stage, live) == ("running", False)
    with pytest.raises(RunNotFoundError):
        retry(stage, "0197f9f0-0000-7000-8000-000000000000")


def test_late_words_of_the_attempt_before_are_refused(stage: Stage) -> None:
    run_id = stage.start(plan(node("a"), node("b", 0)))
    [job] = stage.claim()
    stage.turn(failed(job, retryable=False))
    retry(stage, run_id)
    for outcome in (succeeded(job), failed(job), ended(job, Verdict.SKIPPED), expanded(job, plan(node("x")))):
        assert stage.turn(outcome).refused == 1
    assert stage.statuses(run_id) == {"a": "ready", "b": "blocked"}
    [again] = stage.claim()
    assert (again.name, again.attempt) == ("a", 2)
    assert stage.turn(succeeded(job)).refused == 1
    assert stage.turn(succeeded(again)).refused == 0
    assert stage.is_sound()


def test_a_cancelled_run_goes_on_as_a_whole(stage: Stage) -> None:
    run_id = stage.start(
        plan(node("a"), node("b", 0), node("c", 0), node("later", delay=60.0), node("hook", hook="finally"))
    )
    [job] = stage.claim()
    stage.cancel(run_id)
    with pytest.raises(RunStateError, match="being ended as cancelled"):
        retry(stage, run_id)
    stage.turn(ended(job, Verdict.CANCELLED))
    assert names(stage) == ["hook"]
    assert stage.run(run_id).status == "cancelled"
    assert retry(stage, run_id) == ("running", True)
    assert stage.statuses(run_id) == {"a": "ready", "b": "blocked", "c": "blocked", "later": "ready", "hook": "blocked"}
    assert [names(stage) for _ in range(3)] == [["a"], ["b", "c"], []]
    stage.advance(61)
    stage.turn(timers=True)
    assert [names(stage) for _ in range(3)] == [["later"], ["hook"], []]
    assert stage.run(run_id).status == "succeeded"


def test_a_run_that_was_cancelled_before_it_began_begins(stage: Stage) -> None:
    run_id = stage.start(plan(node("a")))
    stage.cancel(run_id)
    assert retry(stage, run_id) == ("pending", True)
    assert names(stage) == ["a"]
    run = stage.run(run_id)
    assert run.status == "succeeded"
    assert run.started_at is not None


def test_a_cancelled_run_whose_last_step_had_succeeded_ends_well_at_once(stage: Stage) -> None:
    run_id = stage.start(plan(node("a"), node("well", hook="on_success"), node("always", hook="finally")))
    [job] = stage.claim()
    stage.cancel(run_id)
    stage.turn(succeeded(job))
    assert names(stage) == ["always"]
    assert stage.run(run_id).status == "cancelled"
    assert retry(stage, run_id).changed
    assert names(stage) == ["always", "well"]
    assert stage.run(run_id).status == "succeeded"
    assert stage.is_sound()


def test_a_run_that_failed_fast_goes_on_as_a_whole(stage: Stage) -> None:
    run_id = stage.start(plan(node("a"), node("b"), node("c", 1), node("told", hook="on_failure"), fail_fast=True))
    a, b = stage.claim_named("a", "b")
    stage.turn(failed(a, retryable=False))
    stage.turn(ended(b, Verdict.CANCELLED))
    assert names(stage) == ["told"]
    assert stage.run(run_id).status == "failed"
    retry(stage, run_id)
    assert [names(stage) for _ in range(3)] == [["a", "b"], ["c"], []]
    assert stage.statuses(run_id)["told"] == "skipped"
    assert stage.run(run_id).status == "succeeded"


def test_hooks_run_again_after_the_new_outcome(stage: Stage) -> None:
    run_id = stage.start(
        plan(
            node("a"), node("well", hook="on_success"), node("badly", hook="on_failure"),
            node("then", 2, hook="on_failure"), node("always", hook="finally"),
        )
    )  # fmt: skip
    stage.work(fails("a"))
    assert stage.statuses(run_id) == {
        "a": "failed", "well": "skipped", "badly": "succeeded", "then": "succeeded", "always": "succeeded"
    }  # fmt: skip
    retry(stage, run_id)
    assert {name for name, status in stage.statuses(run_id).items() if status == "blocked"} == {
        "well", "badly", "then", "always"
    }  # fmt: skip
    assert names(stage) == ["a"]
    assert names(stage) == ["always", "well"]
    assert stage.statuses(run_id)["badly"] == "skipped"
    assert stage.run(run_id).status == "succeeded"


def test_only_the_hooks_that_failed_run_again_when_nothing_else_did(stage: Stage) -> None:
    run_id = stage.start(
        plan(
            node("a"), node("one", hook="on_success"), node("two", 1, hook="on_success"), node("always", hook="finally")
        )
    )
    stage.work(fails("one"))
    assert stage.run(run_id).status == "failed"
    assert retry(stage, run_id) == ("running", True)
    assert stage.statuses(run_id) == {"a": "succeeded", "one": "ready", "two": "blocked", "always": "succeeded"}
    assert [names(stage) for _ in range(3)] == [["one"], ["two"], []]
    run = stage.run(run_id)
    assert (run.status, run.error) == ("succeeded", None)
    assert stage.is_sound()


def test_a_failed_hook_leaves_the_failure_of_the_steps_standing(stage: Stage) -> None:
    run_id = stage.start(plan(node("a", may_fail=True), node("always", hook="finally")))
    stage.work(fails("always"))
    retry(stage, run_id)
    assert stage.statuses(run_id) == {"a": "succeeded", "always": "ready"}
    stage.work(fails("always"))
    run = stage.run(run_id)
    assert run.status == "failed"
    assert run.error is not None
    assert run.error.step == "always"


def test_a_finalizer_of_a_cancelled_run_that_failed(stage: Stage) -> None:
    """The run was brought to its end by a person: a retry takes that back, too."""
    run_id = stage.start(plan(node("a"), node("b", 0), node("always", hook="finally")))
    stage.cancel(run_id)
    stage.work(fails("always"))
    assert stage.run(run_id).status == "failed"
    retry(stage, run_id)
    assert [names(stage) for _ in range(3)] == [["a"], ["b"], ["always"]]
    assert stage.run(run_id).status == "succeeded"


def test_a_step_that_went_before_stays_and_the_run_still_waits_for_what_runs_again(stage: Stage) -> None:
    """`done` runs whatever becomes of `a`: it ran, so it does not again; but the run must not end before `a` does."""
    run_id = stage.start(plan(node("a"), node("done", 0, rule="all_done"), node("bad")))
    stage.work(fails("a", "bad"))
    retry(stage, run_id)
    assert stage.statuses(run_id) == {"a": "ready", "done": "succeeded", "bad": "ready"}
    a, bad = stage.claim_named("a", "bad")
    stage.turn(succeeded(bad))
    assert stage.run(run_id).status == "running"
    stage.turn(succeeded(a))
    assert stage.run(run_id).status == "succeeded"
    assert stage.is_sound()


def test_what_took_a_failure_on_stays(stage: Stage) -> None:
    run_id = stage.start(plan(node("a"), node("handler", 0, rule="any_failed"), node("bad"), node("after", 1)))
    stage.work(fails("a", "bad"))
    assert stage.statuses(run_id)["handler"] == "succeeded"
    retry(stage, run_id)
    assert names(stage) == ["a", "bad"]
    assert names(stage) == []
    assert stage.run(run_id).status == "succeeded"


@pytest.mark.parametrize("rule", ["any_succeeded", "any_failed", "all_done", "none_failed"])
def test_steps_with_other_rules_come_back_when_they_were_skipped_or_failed(stage: Stage, rule: str) -> None:
    run_id = stage.start(plan(node("a"), node("b"), node("child", 0, 1, rule=rule), node("after", 2)))
    stage.work(fails("a", "b", "child"))
    retry(stage, run_id)
    assert stage.statuses(run_id) == {"a": "ready", "b": "ready", "child": "blocked", "after": "blocked"}
    stage.work()
    skipped = rule == "any_failed"
    assert stage.statuses(run_id)["child"] == ("skipped" if skipped else "succeeded")
    assert stage.run(run_id).status == "succeeded"
    assert stage.is_sound()


def test_a_live_run_retries_what_failed_at_once(stage: Stage) -> None:
    run_id = stage.start(plan(node("a"), node("slow"), node("b", 0), node("join", 0, 1, task=None)))
    a, slow = stage.claim_named("a", "slow")
    stage.turn(failed(a, retryable=False))
    assert stage.statuses(run_id) == {"a": "failed", "slow": "running", "b": "skipped", "join": "blocked"}
    assert retry(stage, run_id) == ("running", True)
    assert stage.statuses(run_id) == {"a": "ready", "slow": "running", "b": "blocked", "join": "blocked"}
    assert names(stage) == ["a"]
    stage.turn(succeeded(slow))
    assert stage.statuses(run_id)["join"] == "succeeded"
    assert names(stage) == ["b"]
    assert stage.run(run_id).status == "succeeded"
    assert stage.is_sound()


def test_what_began_over_a_failure_goes_on_beside_its_retry(stage: Stage) -> None:
    """One child runs, one's plan is being worked, one was not begun: only that one waits again."""
    run_id = stage.start(
        plan(
            node("a"), node("running", 0, rule="any_failed"), node("grown", 0, rule="all_done"),
            node("untouched", 0, rule="any_failed", priority=0), node("end", 1, 2, 3, rule="all_done"),
        )
    )  # fmt: skip
    [a] = stage.claim()
    stage.turn(failed(a, retryable=False))
    jobs = {job.name: job for job in stage.claim(want=2)}
    assert set(jobs) == {"running", "grown"}
    stage.turn(expanded(jobs["grown"], plan(node("inner"))))
    inner = stage.claim(want=1)[0]
    assert inner.name == "inner"
    retry(stage, run_id)
    assert stage.statuses(run_id) == {
        "a": "ready", "running": "running", "grown": "blocked", "untouched": "blocked", "end": "blocked",
        "inner": "running",
    }  # fmt: skip
    # It grows only now: its parent, which began anew, must not count that plan down.
    stage.turn(expanded(jobs["running"], plan(node("second"))))
    assert names(stage) == ["a", "second"]
    assert stage.statuses(run_id)["untouched"] == "skipped"
    assert stage.statuses(run_id)["grown"] == "blocked"
    stage.turn(succeeded(inner))
    assert names(stage) == ["end"]
    assert stage.run(run_id).status == "succeeded"
    assert stage.is_sound()


def test_a_paused_run_stays_paused(stage: Stage) -> None:
    run_id = stage.start(plan(node("a"), node("slow")))
    a, slow = stage.claim_named("a", "slow")
    stage.turn(failed(a, retryable=False))
    stage.engine.act(pause_run, run_id)
    assert retry(stage, run_id) == ("paused", True)
    assert stage.claim() == []
    stage.engine.act(resume_run, run_id)
    assert names(stage) == ["a"]
    stage.turn(succeeded(slow))
    assert stage.run(run_id).status == "succeeded"


# Plans that tasks returned --------------------------------------------------------------------------------------------


def grow(stage: Stage, name: str, *nodes: object, **fields: object) -> None:
    [job] = stage.claim_named(name)
    stage.turn(expanded(job, plan(*nodes, **fields)))  # type: ignore[arg-type]


def test_inside_a_returned_plan_only_what_failed_runs_again(stage: Stage) -> None:
    run_id = stage.start(plan(node("grown"), node("after", 0), result=Ref(0)))
    grow(stage, "grown", node("x"), node("y"), node("z", 1), result=Gather((Ref(0), Ref(2))))
    stage.work(fails("y"))
    assert stage.run(run_id).status == "failed"
    retry(stage, run_id)
    assert stage.statuses(run_id) == {
        "grown": "blocked", "after": "blocked", "x": "succeeded", "y": "ready", "z": "blocked"
    }  # fmt: skip
    step = stage.step(run_id, "grown")
    assert (step.attempt, step.error) == (1, None)
    assert [names(stage) for _ in range(3)] == [["y"], ["z"], ["after"]]
    assert stage.run(run_id).status == "succeeded"
    assert stage.result(run_id) == ["x", "z"] or stage.result(run_id) == [None, "z"]


def test_plans_inside_of_plans(stage: Stage) -> None:
    run_id = stage.start(plan(node("outer"), node("after", 0), result=Ref(0)))
    grow(stage, "outer", node("middle"), node("beside"), result=Ref(0))
    middle, beside = stage.claim_named("middle", "beside")
    stage.turn(expanded(middle, plan(node("inner"), result=Ref(0))), succeeded(beside))
    stage.work(fails("inner"))
    assert stage.statuses(run_id)["outer"] == "failed"
    retry(stage, run_id)
    assert {n for n, s in stage.statuses(run_id).items() if s == "blocked"} == {"outer", "middle", "after"}
    assert [names(stage) for _ in range(2)] == [["inner"], ["after"]]
    assert stage.run(run_id).status == "succeeded"
    assert stage.result(run_id) == "inner"


def test_hooks_of_a_returned_plan(stage: Stage) -> None:
    run_id = stage.start(plan(node("grown"), node("after", 0)))
    grow(
        stage, "grown", node("x"), node("well", hook="on_success"), node("badly", hook="on_failure"),
        node("always", hook="finally"), result=value(1),
    )  # fmt: skip
    stage.work(fails("x"))
    retry(stage, run_id)
    assert names(stage) == ["x"]
    assert names(stage) == ["always", "well"]
    assert stage.statuses(run_id)["badly"] == "skipped"
    assert names(stage) == ["after"]
    assert stage.run(run_id).status == "succeeded"


def test_a_hook_of_a_returned_plan_that_failed_alone(stage: Stage) -> None:
    run_id = stage.start(plan(node("grown"), node("after", 0), node("end", hook="finally")))
    grow(stage, "grown", node("x"), node("well", hook="on_success"), node("always", hook="finally"), result=value(1))
    stage.work(fails("well"))
    assert stage.statuses(run_id)["grown"] == "failed"
    retry(stage, run_id)
    assert stage.statuses(run_id) == {
        "grown": "blocked", "after": "blocked", "x": "succeeded", "well": "ready", "always": "succeeded",
        "end": "blocked",
    }  # fmt: skip
    assert [names(stage) for _ in range(3)] == [["well"], ["after"], ["end"]]
    assert stage.run(run_id).status == "succeeded"


def test_a_plan_that_was_cancelled_while_its_last_step_succeeded(stage: Stage) -> None:
    run_id = stage.start(plan(node("grown"), node("after", 0)))
    grow(stage, "grown", node("x"), node("well", hook="on_success"), result=value(1))
    [x] = stage.claim()
    stage.cancel(run_id)
    stage.turn(succeeded(x))
    assert stage.statuses(run_id) == {"grown": "cancelled", "after": "cancelled", "x": "succeeded", "well": "cancelled"}
    retry(stage, run_id)
    assert [names(stage) for _ in range(2)] == [["well"], ["after"]]
    assert stage.run(run_id).status == "succeeded"


def test_a_hook_whose_task_returned_a_plan(stage: Stage) -> None:
    run_id = stage.start(plan(node("a"), node("hook", hook="finally")))
    assert names(stage) == ["a"]
    grow(stage, "hook", node("x"), node("y"))
    stage.work(fails("y"))
    assert stage.run(run_id).status == "failed"
    retry(stage, run_id)
    assert stage.statuses(run_id) == {"a": "succeeded", "hook": "blocked", "x": "succeeded", "y": "ready"}
    assert names(stage) == ["y"]
    assert stage.run(run_id).status == "succeeded"


def test_a_hook_that_runs_anew_forgets_the_plan_that_its_task_returned(stage: Stage) -> None:
    run_id = stage.start(plan(node("a"), node("hook", hook="finally")))
    [a] = stage.claim()
    stage.turn(failed(a, retryable=False))
    grow(stage, "hook", node("x"))
    assert names(stage) == ["x"]
    retry(stage, run_id)
    assert stage.statuses(run_id) == {"a": "ready", "hook": "blocked"}
    assert [names(stage) for _ in range(2)] == [["a"], ["hook"]]
    assert stage.run(run_id).status == "succeeded"


def test_a_failed_plan_that_was_tolerated_and_taken_on(stage: Stage) -> None:
    """What succeeded stays, whatever failed inside."""
    run_id = stage.start(plan(node("grown"), node("bad")))
    grown, bad = stage.claim_named("grown", "bad")
    stage.turn(expanded(grown, plan(node("x", may_fail=True), node("y"))), failed(bad, retryable=False))
    stage.work(fails("x"))
    assert stage.statuses(run_id)["grown"] == "succeeded"
    retry(stage, run_id)
    assert names(stage) == ["bad"]
    assert stage.statuses(run_id)["x"] == "failed"
    assert stage.run(run_id).status == "succeeded"


# Groups, joins, arguments ---------------------------------------------------------------------------------------------


def test_a_join_of_a_group_gets_the_old_results_and_the_new(stage: Stage) -> None:
    members = [node(f"m{number}") for number in range(4)]
    join = node("join", *range(4), task=None, result=Gather(tuple(Ref(number) for number in range(4))))
    total = node("total", 4, args="[[null],{}]", holes=(Hole((0, 0), Ref(4)),))
    run_id = stage.start(plan(*members, join, total))
    stage.work(fails("m1", "m3"))
    retry(stage, run_id)
    assert names(stage) == ["m1", "m3"]
    [job] = stage.claim_named("total")
    assert job.values == {4: '[null,"m1",null,"m3"]'}
    stage.turn(succeeded(job))
    assert stage.run(run_id).status == "succeeded"


def test_progress_of_the_attempt_before_is_gone(stage: Stage) -> None:
    run_id = stage.start(plan(node("a")))
    [job] = stage.claim()
    stage.turn(progress=[Progress(run_id, 0, 1, 5.0, 10.0)])
    stage.turn(failed(job, retryable=False))
    retry(stage, run_id)
    assert stage.step(run_id, "a").progress is None
