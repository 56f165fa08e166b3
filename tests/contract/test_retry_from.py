"""`retry --from STEP`: this step and everything below it run again, whatever became of them."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from segue.errors import RunStateError, StepNotFoundError
from segue.model import Gather, Hole, Ref, Verdict
from tests.contract.by_hand import fails, retry
from tests.contract.stage import Stage, ended, expanded, failed, node, plan, succeeded, value


@pytest.fixture
def stage(lasting_stage: Stage) -> Iterator[Stage]:
    lasting_stage.renew()
    yield lasting_stage
    assert lasting_stage.is_sound()


def names(stage: Stage) -> list[str]:
    jobs = stage.claim()
    stage.turn(*[succeeded(job, job.name) for job in jobs])
    return sorted(job.name for job in jobs)


def rounds(stage: Stage) -> list[list[str]]:
    """What is claimed, round by round, until nothing is left."""
    found = []
    while done := names(stage):
        found.append(done)
    return found


def grow(stage: Stage, name: str, *nodes: object, **fields: object) -> None:
    [job] = stage.claim_named(name)
    stage.turn(expanded(job, plan(*nodes, **fields)))  # type: ignore[arg-type]


def test_what_is_below_runs_again_also_what_succeeded(stage: Stage) -> None:
    run_id = stage.start(
        plan(node("a"), node("b", 0), node("c", 1), node("beside", 0), node("hook", hook="on_success"))
    )
    assert rounds(stage) == [["a"], ["b", "beside"], ["c"], ["hook"]]
    assert retry(stage, run_id, "b") == ("running", True)
    assert rounds(stage) == [["b"], ["c"], ["hook"]]
    assert stage.run(run_id).status == "succeeded"
    assert {step.name: step.attempt for step in stage.steps(run_id)} == {
        "a": 1, "b": 2, "c": 2, "beside": 1, "hook": 2
    }  # fmt: skip


def test_a_step_is_named_by_its_name_or_its_number(stage: Stage) -> None:
    run_id = stage.start(plan(node("a"), node("b", 0)))
    rounds(stage)
    retry(stage, run_id, 1)
    assert rounds(stage) == [["b"]]
    for wrong in ("nobody", 7, -1):
        with pytest.raises(StepNotFoundError, match="no step"):
            retry(stage, run_id, wrong)
    grown = stage.start(plan(node("a"), node("x")))
    a, x = stage.claim_named("a", "x")
    stage.turn(expanded(a, plan(node("x"))), succeeded(x))
    rounds(stage)
    with pytest.raises(StepNotFoundError, match=r"give the number of one of them \(1, 2\)"):
        retry(stage, grown, "x")
    retry(stage, grown, 2)
    assert rounds(stage) == [["x"]]


def test_what_failed_elsewhere_stays(stage: Stage) -> None:
    run_id = stage.start(plan(node("a"), node("b", 0), node("bad")))
    stage.work(fails("bad"))
    retry(stage, run_id, "a")
    assert rounds(stage) == [["a"], ["b"]]
    run = stage.run(run_id)
    assert run.status == "failed"
    assert run.error is not None
    assert run.error.step == "bad"


def test_in_a_run_that_was_cancelled_the_others_come_back_too(stage: Stage) -> None:
    run_id = stage.start(plan(node("a"), node("b", 0), node("c", 0), node("d", 2)))
    assert names(stage) == ["a"]
    b, c = stage.claim_named("b", "c")
    stage.cancel(run_id)
    stage.turn(succeeded(b), ended(c, Verdict.CANCELLED))
    assert stage.run(run_id).status == "cancelled"
    retry(stage, run_id, "b")
    assert rounds(stage) == [["b", "c"], ["d"]]
    assert stage.run(run_id).status == "succeeded"


def test_what_runs_below_is_in_the_way(stage: Stage) -> None:
    run_id = stage.start(plan(node("a"), node("b", 0), node("c", 0), node("early", 1, 2, rule="any_succeeded")))
    [a] = stage.claim()
    with pytest.raises(RunStateError, match="reset a, but an attempt has not ended yet"):
        retry(stage, run_id, "a")
    stage.turn(succeeded(a))
    b, c = stage.claim_named("b", "c")
    before = stage.steps(run_id)
    with pytest.raises(RunStateError, match="reset b, c, but an attempt has not ended yet"):
        retry(stage, run_id, "a")
    assert stage.steps(run_id) == before
    stage.turn(succeeded(b), succeeded(c))
    retry(stage, run_id, "a")
    assert rounds(stage) == [["a"], ["b", "c"], ["early"]]


def test_a_step_that_waits_begins_at_once(stage: Stage) -> None:
    """One that waits for its next try is tried now, with all its tries."""
    run_id = stage.start(plan(node("a", retries=1, retry_delay=60.0)))
    [job] = stage.claim()
    stage.turn(failed(job))
    assert stage.claim() == []
    retry(stage, run_id, "a")
    [job] = stage.claim()
    assert (job.attempt, job.failures) == (2, 0)
    stage.turn(succeeded(job))


def test_a_step_of_a_live_run_takes_back_what_is_below(stage: Stage) -> None:
    run_id = stage.start(plan(node("a"), node("b", 0), node("slow"), node("join", 1, 2, task=None), node("end", 3)))
    a, slow = stage.claim_named("a", "slow")
    stage.turn(succeeded(a))
    assert names(stage) == ["b"]
    retry(stage, run_id, "a")
    assert stage.statuses(run_id) == {
        "a": "ready",
        "b": "blocked",
        "slow": "running",
        "join": "blocked",
        "end": "blocked",
    }
    stage.turn(succeeded(slow))
    assert rounds(stage) == [["a"], ["b"], ["end"]]
    assert stage.run(run_id).status == "succeeded"


def test_the_act_happens_once_under_its_id(stage: Stage) -> None:
    run_id = stage.start(plan(node("a")))
    rounds(stage)
    act = stage.engine.new_id()
    assert retry(stage, run_id, "a", act_id=act).changed
    assert rounds(stage) == [["a"]]
    assert retry(stage, run_id, "a", act_id=act) == ("succeeded", True)
    assert rounds(stage) == []


# Plans that tasks returned --------------------------------------------------------------------------------------------


def test_a_step_whose_task_returned_a_plan_begins_without_it(stage: Stage) -> None:
    run_id = stage.start(plan(node("a"), node("grown", 0, rule="all_done"), node("after", 1), result=Ref(1)))
    assert names(stage) == ["a"]
    grow(stage, "grown", node("x"), node("y", 0, rule="any_failed"), result=Ref(0))
    [x] = stage.claim()
    stage.turn(expanded(x, plan(node("deep"), result=Ref(0))))
    assert rounds(stage) == [["deep"], ["after"]]
    retry(stage, run_id, "a")
    assert stage.statuses(run_id) == {"a": "ready", "grown": "blocked", "after": "blocked"}
    step = stage.step(run_id, "grown")
    assert (step.is_join, step.rule) == (False, "all_done")
    assert names(stage) == ["a"]
    [grown] = stage.claim()
    assert (grown.name, grown.attempt) == ("grown", 2)
    stage.turn(expanded(grown, plan(node("second"), result=Ref(0))))
    assert rounds(stage) == [["second"], ["after"]]
    assert stage.result(run_id) == "second"
    # Numbers are not used twice, so what is told of older attempts is never mistaken.
    assert [step.step for step in stage.steps(run_id)] == [0, 1, 2, 6]
    assert stage.run(run_id).steps == 4


def test_a_step_inside_a_plan(stage: Stage) -> None:
    """Its scope waits again, and what is below that scope runs again, too."""
    run_id = stage.start(plan(node("grown"), node("after", 0), node("beside"), result=Ref(0)))
    grown, beside = stage.claim_named("grown", "beside")
    stage.turn(
        expanded(grown, plan(node("x"), node("y", 0), node("z"), result=Gather((Ref(1), Ref(2))))), succeeded(beside)
    )
    assert rounds(stage) == [["x", "z"], ["y"], ["after"]]
    retry(stage, run_id, "y")
    assert stage.statuses(run_id) == {
        "grown": "blocked", "after": "blocked", "beside": "succeeded", "x": "succeeded", "y": "ready", "z": "succeeded"
    }  # fmt: skip
    assert rounds(stage) == [["y"], ["after"]]
    assert stage.run(run_id).status == "succeeded"
    assert stage.result(run_id) == ["y", "z"]


def test_a_plan_may_come_to_another_result_deep_inside(stage: Stage) -> None:
    """Scopes whose result is that of a plan inside refer there directly; they must not refer to what is thrown away."""
    run_id = stage.start(plan(node("one"), result=Ref(0)))
    grow(stage, "one", node("two"), result=Ref(0))
    grow(stage, "two", node("three"), result=Ref(0))
    grow(stage, "three", node("four"), result=Ref(0))
    assert rounds(stage) == [["four"]]
    assert stage.result(run_id) == "four"
    for name in ("two", "three"):
        retry(stage, run_id, name)
        grow(stage, name, node(f"new {name}"), result=Gather((Ref(0),)))
        stage.work()
        assert stage.run(run_id).status == "succeeded"
        if name == "two":
            assert stage.result(run_id) == [None]
            retry(stage, run_id, "two")
            grow(stage, "two", node("three"), result=Ref(0))
            stage.work()
    assert stage.result(run_id) == [None]


def test_a_plan_that_came_to_a_constant_may_come_to_another(stage: Stage) -> None:
    run_id = stage.start(plan(node("one"), result=Ref(0)))
    grow(stage, "one", node("two"), result=Ref(0))
    grow(stage, "two", node("x", may_fail=True), result=value([]))
    stage.work()
    assert stage.result(run_id) == []
    retry(stage, run_id, "two")
    grow(stage, "two", node("y"), result=Gather((Ref(0),)))
    assert rounds(stage) == [["y"]]
    assert stage.result(run_id) == ["y"]


def test_a_plan_with_no_steps_and_one_with_only_hooks(stage: Stage) -> None:
    run_id = stage.start(plan(node("none"), node("hooks"), node("after", 0, 1)))
    none, hooks = stage.claim_named("none", "hooks")
    stage.turn(expanded(none, plan(result=value(1))), expanded(hooks, plan(node("hook", hook="finally"))))
    assert rounds(stage) == [["hook"], ["after"]]
    retry(stage, run_id, "none")
    assert rounds(stage) == [["none"], ["after"]]
    retry(stage, run_id, "hook")
    assert rounds(stage) == [["hook"], ["after"]]
    retry(stage, run_id, "hooks")
    assert "hook" not in stage.statuses(run_id)
    assert rounds(stage) == [["hooks"], ["after"]]
    assert stage.run(run_id).status == "succeeded"


def test_a_scope_that_is_being_worked(stage: Stage) -> None:
    run_id = stage.start(plan(node("grown"), node("after", 0)))
    grow(stage, "grown", node("x"), node("y"), node("hook", hook="finally"))
    x, y = stage.claim_named("x", "y")
    with pytest.raises(RunStateError, match="reset x, y, but an attempt has not ended yet"):
        retry(stage, run_id, "grown")
    stage.turn(succeeded(x))
    retry(stage, run_id, "x")
    assert names(stage) == ["x"]
    stage.turn(succeeded(y))
    [hook] = stage.claim()
    with pytest.raises(RunStateError, match="reset hook, but an attempt has not ended yet"):
        retry(stage, run_id, "x")
    stage.turn(failed(hook, retryable=False))
    retry(stage, run_id, "grown")
    assert rounds(stage) == [["grown"], ["after"]]
    assert stage.run(run_id).status == "succeeded"


def test_a_hook_that_waits_is_called_again_after_the_new_outcome(stage: Stage) -> None:
    """The run had called its hooks already, and none of them had been begun."""
    run_id = stage.start(plan(node("a"), node("badly", hook="on_failure"), node("always", hook="finally")))
    [a] = stage.claim()
    stage.turn(failed(a, retryable=False))
    assert stage.statuses(run_id)["badly"] == "ready"
    retry(stage, run_id, "a")
    assert stage.statuses(run_id) == {"a": "ready", "badly": "blocked", "always": "blocked"}
    assert rounds(stage) == [["a"], ["always"]]
    assert stage.statuses(run_id)["badly"] == "skipped"
    assert stage.run(run_id).status == "succeeded"


def test_a_hook_alone(stage: Stage) -> None:
    run_id = stage.start(
        plan(
            node("a"), node("well", hook="on_success"), node("then", 1, hook="on_success"),
            node("always", hook="finally"), node("badly", hook="on_failure"),
        )
    )  # fmt: skip
    rounds(stage)
    retry(stage, run_id, "well")
    assert rounds(stage) == [["well"], ["then"]]
    assert stage.run(run_id).status == "succeeded"
    with pytest.raises(RunStateError, match="an on_failure hook, but the steps succeeded"):
        retry(stage, run_id, "badly")


def test_the_finalizer_of_a_cancelled_run_alone(stage: Stage) -> None:
    run_id = stage.start(plan(node("a"), node("always", hook="finally")))
    stage.cancel(run_id)
    stage.work(fails("always"))
    assert stage.run(run_id).status == "failed"
    retry(stage, run_id, "always")
    assert rounds(stage) == [["always"]]
    run = stage.run(run_id)
    assert (run.status, run.error) == ("cancelled", None)


# Steps that went before their parents ---------------------------------------------------------------------------------


def test_early_steps_wait_again_and_late_parents_do_not_count_them_down(stage: Stage) -> None:
    """`early` grew while `late` still ran: that parent was not to count its plan down. Now it waits for it again."""
    run_id = stage.start(plan(node("quick"), node("late"), node("early", 0, 1, rule="any_succeeded"), node("end", 2)))
    quick, late = stage.claim_named("quick", "late")
    stage.turn(succeeded(quick))
    grow(stage, "early", node("inner"))
    assert rounds(stage) == [["inner"], ["end"]]
    retry(stage, run_id, "quick")
    assert stage.statuses(run_id) == {"quick": "ready", "late": "running", "early": "blocked", "end": "blocked"}
    assert stage.step(run_id, "early").waiting_on == 2
    assert stage.step(run_id, "early").rule == "any_succeeded"
    assert names(stage) == ["quick"]
    stage.turn(succeeded(late))
    assert rounds(stage) == [["early"], ["end"]]
    assert stage.run(run_id).status == "succeeded"


def test_a_handler_keeps_its_failure_after_a_retry_of_something_else(stage: Stage) -> None:
    run_id = stage.start(plan(node("a"), node("handler", 0, rule="any_failed"), node("other"), node("after", 2)))
    stage.work(fails("a"))
    assert stage.run(run_id).status == "succeeded"
    retry(stage, run_id, "other")
    assert rounds(stage) == [["other"], ["after"]]
    assert stage.run(run_id).status == "succeeded"
    retry(stage, run_id, "a")
    assert rounds(stage) == [["a"]]
    assert stage.statuses(run_id)["handler"] == "skipped"
    assert stage.run(run_id).status == "succeeded"


def test_joins_and_arguments_take_the_new_results(stage: Stage) -> None:
    members = [node(f"m{number}") for number in range(3)]
    join = node("join", 0, 1, 2, task=None, result=Gather((Ref(0), Ref(1), Ref(2))))
    total = node("total", 3, args="[[null],{}]", holes=(Hole((0, 0), Ref(3)),))
    run_id = stage.start(plan(*members, join, total))
    rounds(stage)
    retry(stage, run_id, "m1")
    [job] = stage.claim()
    stage.turn(succeeded(job, "new"))
    [job] = stage.claim_named("total")
    assert job.values == {3: '["m0","new","m2"]'}
    stage.turn(succeeded(job))
    retry(stage, run_id, "join")
    assert rounds(stage) == [["total"]]
