"""Hooks wait for the outcome; a step whose task returned a plan waits for it. Both also inside one another."""

from __future__ import annotations

import msgspec
import pytest

from segue.model import RUN, Hole, JoinRule, Outcome, Ref, Verdict
from segue.plan.graph import Plan
from tests.contract.stage import Stage, ended, expanded, failed, node, plan, succeeded, value

OUTCOME = (Hole((0, 0), Ref(RUN)),)
HOOKS = (
    node("good", hook="on_success", holes=OUTCOME, args="[[null],{}]"),
    node("bad", hook="on_failure", holes=OUTCOME, args="[[null],{}]"),
    node("always", hook="finally", holes=OUTCOME, args="[[null],{}]"),
)


@pytest.fixture
def stage(renewed_stage: Stage) -> Stage:
    return renewed_stage


UNLABELLED: dict[str, object] = {"key": None, "tags": [], "metadata": {}, "arguments": None}


def told(stage: Stage) -> dict[str, object]:
    """Claim the hooks: what each was told of the outcome."""
    jobs = stage.claim()
    stage.turn(*[succeeded(job) for job in jobs])
    return {job.name: msgspec.json.decode(job.values[RUN]) for job in jobs}


def test_hooks_of_a_run_that_succeeds(stage: Stage) -> None:
    run_id = stage.start(plan(node("a"), *HOOKS, result=Ref(0)))
    [a] = stage.claim()
    assert stage.turn(succeeded(a, 42)).ended == []
    assert stage.statuses(run_id) == {"a": "succeeded", "good": "ready", "bad": "skipped", "always": "ready"}
    assert stage.run(run_id).ending == "succeeded"
    outcome = {"run_id": run_id, "workflow": "flow", "status": "succeeded", "error": None, **UNLABELLED}
    assert told(stage) == {"good": 42, "always": outcome}
    assert stage.run(run_id).status == "succeeded"
    assert stage.result(run_id) == 42


def test_hooks_of_a_run_that_fails(stage: Stage) -> None:
    run_id = stage.start(plan(node("a"), *HOOKS))
    [a] = stage.claim()
    stage.turn(failed(a, "no luck"))
    error = {"step": "a", "type": "Boom", "message": "no luck"}
    outcome = {"run_id": run_id, "workflow": "flow", "status": "failed", "error": error, **UNLABELLED}
    assert told(stage) == {"bad": outcome, "always": outcome}
    assert stage.statuses(run_id)["good"] == "skipped"
    assert stage.run(run_id).status == "failed"


def test_hooks_of_a_run_that_is_cancelled(stage: Stage) -> None:
    run_id = stage.start(plan(node("a"), *HOOKS))
    assert stage.cancel(run_id) != "cancelled"  # its finalizer is still to come
    outcome = {"run_id": run_id, "workflow": "flow", "status": "cancelled", "error": None, **UNLABELLED}
    assert told(stage) == {"always": outcome}
    assert stage.run(run_id).status == "cancelled"


def test_a_hook_that_fails_fails_the_run(stage: Stage) -> None:
    run_id = stage.start(plan(node("a"), node("h", hook="finally", retries=1)))
    stage.work({"h": failed})
    run = stage.run(run_id)
    assert run.status == "failed"
    assert run.error is not None
    assert run.error.step == "h"
    assert stage.step(run_id, "h").attempt == 2


def test_a_hook_that_may_fail_does_not(stage: Stage) -> None:
    run_id = stage.start(plan(node("a"), node("h", hook="finally", may_fail=True)))
    stage.work({"h": failed})
    assert stage.run(run_id).status == "succeeded"


def test_hooks_in_a_chain_run_one_after_the_other(stage: Stage) -> None:
    chain = (node("h1", hook="finally"), node("j", 1, hook="finally", task=None), node("h2", 2, hook="finally"))
    run_id = stage.start(plan(node("a"), *chain))
    stage.work({"h1": lambda job: succeeded(job)})
    assert stage.statuses(run_id) == {"a": "succeeded", "h1": "succeeded", "j": "succeeded", "h2": "succeeded"}
    broken = stage.start(plan(node("a"), *chain))
    stage.work({"h1": failed})
    assert stage.statuses(broken) == {"a": "succeeded", "h1": "failed", "j": "skipped", "h2": "skipped"}
    assert stage.run(broken).status == "failed"


def test_a_hook_may_be_delayed(stage: Stage) -> None:
    run_id = stage.start(plan(node("a"), node("h", hook="finally", delay=5.0)))
    stage.work()
    assert stage.step(run_id, "h").gate == "timer"
    stage.advance(5)
    stage.turn(timers=True)
    stage.work()
    assert stage.run(run_id).status == "succeeded"


def test_a_finalizer_is_worked_to_its_end_after_a_cancel(stage: Stage) -> None:
    """Handed back, lost, retried, grown: nothing of that is the last try of a hook, though the run was cancelled."""
    run_id = stage.start(plan(node("a"), node("h", hook="finally", retries=1)))
    stage.cancel(run_id)
    [h] = stage.claim_named("h")
    stage.turn(ended(h, Verdict.RELEASED))
    [h] = stage.claim_named("h")
    stage.turn(failed(h))
    [h] = stage.claim_named("h")
    assert stage.engine.release_unknown(stage.worker.id, set()) == (1, True)
    [h] = stage.claim_named("h")
    stage.turn(expanded(h, plan(node("n1"), node("n2", 0, retries=1))))
    [n1] = stage.claim_named("n1")
    stage.turn(ended(n1, Verdict.RELEASED))
    [n1] = stage.claim_named("n1")
    stage.turn(succeeded(n1))
    [n2] = stage.claim_named("n2")
    stage.turn(failed(n2))
    [n2] = stage.claim_named("n2")
    stage.turn(succeeded(n2))
    assert stage.statuses(run_id) == {"a": "cancelled", "h": "succeeded", "n1": "succeeded", "n2": "succeeded"}
    assert stage.run(run_id).status == "cancelled"


# Plans that tasks return ------------------------------------------------------------------------------------------


def test_a_returned_plan_replaces_its_step(stage: Stage) -> None:
    run_id = stage.start(
        plan(node("a"), node("b", 0, holes=(Hole((0, 0), Ref(0)),), args="[[null],{}]"), result=Ref(1))
    )
    [a] = stage.claim()
    stage.turn(expanded(a, plan(node("x"), node("y", 0), result=Ref(1))))
    assert stage.statuses(run_id) == {"a": "blocked", "b": "blocked", "x": "ready", "y": "blocked"}
    assert [step.scope for step in stage.steps(run_id)] == [-1, -1, 0, 0]
    stage.work({"y": lambda job: succeeded(job, "from y")})
    assert stage.run(run_id).status == "succeeded"
    [b] = [step for step in stage.steps(run_id) if step.name == "b"]
    assert b.status == "succeeded"
    with stage.engine.reading() as tx:
        assert tx.all("run_row", run_id=run_id)[0][6] == 4


def test_the_result_of_the_plan_is_that_of_the_step(stage: Stage) -> None:
    stage.start(plan(node("a"), node("b", 0, holes=(Hole((0, 0), Ref(0)),), args="[[null],{}]")))
    [a] = stage.claim()
    stage.turn(expanded(a, plan(node("x"), result=Ref(0, ("deep",)))))
    [x] = stage.claim()
    stage.turn(succeeded(x, {"deep": [7]}))
    [b] = stage.claim_named("b")
    assert b.values == {0: "[7]"}


def test_an_empty_plan_gives_its_result_at_once(stage: Stage) -> None:
    run_id = stage.start(plan(node("a"), result=Ref(0)))
    [a] = stage.claim()
    assert stage.turn(expanded(a, plan(result=value([])))).ended == [run_id]
    assert stage.result(run_id) == []


def test_a_plan_of_joins_is_passed_at_once(stage: Stage) -> None:
    run_id = stage.start(plan(node("a"), result=Ref(0)))
    [a] = stage.claim()
    nodes = (node("j", task=None, result=value(1)), node("k", 0, task=None, result=Ref(0)))
    assert stage.turn(expanded(a, plan(*nodes, result=Ref(1)))).ended == [run_id]
    assert stage.result(run_id) == 1


def test_a_plan_that_fails_fails_its_step(stage: Stage) -> None:
    run_id = stage.start(plan(node("a"), node("b", 0)))
    [a] = stage.claim()
    stage.turn(expanded(a, plan(node("x"))))
    stage.work({"x": lambda job: failed(job, "inside")})
    assert stage.statuses(run_id) == {"a": "failed", "b": "skipped", "x": "failed"}
    error = stage.run(run_id).error
    assert error is not None
    assert (error.step, error.message) == ("a", "in x: inside")


def test_plans_in_plans_in_plans(stage: Stage) -> None:
    run_id = stage.start(plan(node("s0"), result=Ref(0)))
    depth = 30
    for level in range(1, depth):
        [job] = stage.claim()
        stage.turn(expanded(job, plan(node(f"s{level}"), result=Ref(0))))
    [job] = stage.claim()
    assert stage.turn(succeeded(job, "bottom")).ended == [run_id]
    assert set(stage.statuses(run_id).values()) == {"succeeded"}
    assert stage.result(run_id) == "bottom"


def test_a_plan_may_be_returned_by_a_retry(stage: Stage) -> None:
    run_id = stage.start(plan(node("a", retries=1)))
    [a] = stage.claim()
    stage.turn(failed(a))
    [a] = stage.claim()
    stage.turn(expanded(a, plan(node("x"))))
    assert stage.turn(expanded(a, plan(node("again")))).refused == 1
    stage.work()
    assert stage.statuses(run_id) == {"a": "succeeded", "x": "succeeded"}


def test_a_returned_plan_has_hooks_of_its_own(stage: Stage) -> None:
    inner = Plan("inner", (node("x"), *HOOKS), Ref(0))
    run_id = stage.start(plan(node("a"), node("b", 0), result=Ref(0)))
    [a] = stage.claim()
    stage.turn(expanded(a, inner))
    [x] = stage.claim_named("x")
    stage.turn(succeeded(x, 3))
    outcome = {"run_id": run_id, "workflow": "a", "status": "succeeded", "error": None, **UNLABELLED}
    assert told(stage) == {"good": 3, "always": outcome}
    stage.work()
    assert stage.statuses(run_id) == {
        "a": "succeeded", "b": "succeeded", "x": "succeeded", "good": "succeeded", "bad": "skipped",
        "always": "succeeded",
    }  # fmt: skip
    assert stage.result(run_id) == 3


def test_a_failing_hook_of_a_returned_plan_fails_its_step(stage: Stage) -> None:
    run_id = stage.start(plan(node("a"), node("b", 0)))
    [a] = stage.claim()
    stage.turn(expanded(a, plan(node("x"), node("h", hook="finally"))))
    stage.work({"h": failed})
    assert stage.statuses(run_id) == {"a": "failed", "b": "skipped", "x": "succeeded", "h": "failed"}
    assert stage.run(run_id).status == "failed"


def test_a_returned_plan_of_hooks_only(stage: Stage) -> None:
    run_id = stage.start(plan(node("a")))
    [a] = stage.claim()
    stage.turn(expanded(a, plan(node("h", hook="finally"), node("bad", hook="on_failure"))))
    stage.claim_named("h")
    assert stage.statuses(run_id) == {"a": "blocked", "h": "running", "bad": "skipped"}


@pytest.mark.parametrize("busy", [True, False])
def test_a_cancel_takes_the_hooks_of_a_returned_plan_with_it(stage: Stage, busy: bool) -> None:
    run_id = stage.start(plan(node("a"), node("outer", hook="finally")))
    [a] = stage.claim()
    stage.turn(expanded(a, plan(node("x"), node("h", hook="finally"))))
    jobs = stage.claim_named("x") if busy else []
    stage.cancel(run_id)
    stage.turn(*[ended(job, Verdict.CANCELLED) for job in jobs])
    assert stage.statuses(run_id) == {"a": "cancelled", "x": "cancelled", "h": "cancelled", "outer": "ready"}
    stage.work()
    assert stage.run(run_id).status == "cancelled"


def test_a_cancel_ends_a_running_hook_of_a_returned_plan(stage: Stage) -> None:
    run_id = stage.start(plan(node("a")))
    [a] = stage.claim()
    stage.turn(expanded(a, plan(node("h", hook="finally", retries=5))))
    [h] = stage.claim_named("h")
    assert stage.cancel(run_id) == "running"
    assert stage.turn(cancels=True).cancels == [(run_id, h.step, 1)]
    stage.turn(ended(h, Verdict.RELEASED))
    assert stage.run(run_id).status == "cancelled"


@pytest.mark.parametrize("rule, end", [("any_succeeded", succeeded), ("any_failed", failed)])
def test_a_plan_of_an_early_step_is_not_cut_short_by_a_late_parent(stage: Stage, rule: str, end: object) -> None:
    run_id = stage.start(plan(node("p0"), node("p1"), node("early", 0, 1, rule=JoinRule(rule)), node("after", 2)))
    p0, p1 = stage.claim_named("p0", "p1")
    stage.turn(end(p0))
    [early] = stage.claim_named("early")
    stage.turn(expanded(early, plan(node("x"), node("y", 0))))
    stage.turn(succeeded(p1))
    assert stage.statuses(run_id)["early"] == "blocked"
    [x] = stage.claim_named("x")
    stage.turn(succeeded(x))
    assert stage.statuses(run_id)["early"] == "blocked"
    stage.work()
    assert stage.statuses(run_id) | {"p0": ""} == {
        "p0": "", "p1": "succeeded", "early": "succeeded", "after": "succeeded", "x": "succeeded", "y": "succeeded",
    }  # fmt: skip


@pytest.mark.parametrize("is_late", [True, False])
def test_a_handler_that_returns_a_plan_takes_the_failure_on(stage: Stage, is_late: bool) -> None:
    rule = JoinRule.ANY_SUCCEEDED if is_late else JoinRule.ANY_FAILED
    run_id = stage.start(plan(node("a"), node("b"), node("handler", 0, 1, rule=rule)))
    a, b = stage.claim_named("a", "b")
    stage.turn(succeeded(a) if is_late else failed(a))
    [handler] = stage.claim_named("handler")
    stage.turn(expanded(handler, plan(node("x"))))
    stage.turn(failed(b) if is_late else succeeded(b))
    stage.work()
    assert stage.statuses(run_id)["handler"] == "succeeded"
    assert stage.run(run_id).status == "succeeded"
    assert [step.children for step in stage.steps(run_id)][:2] == [(2, -1), (2, -1)]


def test_a_text_that_is_no_plan_is_refused_before_anything_is_written(stage: Stage) -> None:
    run_id = stage.start(plan(node("a"), node("b")))
    a, b = stage.claim_named("a", "b")
    bad = Outcome(run_id, a.step, a.attempt, Verdict.EXPANDED, result="{nonsense")
    with pytest.raises(ValueError, match="cannot be read"):
        stage.turn(succeeded(b), bad)
    assert stage.statuses(run_id) == {"a": "running", "b": "running"}
