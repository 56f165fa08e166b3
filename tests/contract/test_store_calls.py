"""Tasks that return nothing but a call: the call stands in the place of the step that returned it, however often.

What can be seen from outside stays what it was: the result, the failure, the steps around it, what people do to them.
"""

from __future__ import annotations

from typing import Any

import pytest

from segue.errors import RunStateError
from segue.model import SLEEP, WAIT_FOR, Gather, Job, Ref
from segue.plan.graph import LimitUse, Node, Plan, Sla
from tests.contract import by_hand
from tests.contract.stage import Stage, expanded, failed, node, plan, succeeded, value

DEPTH = 30


@pytest.fixture
def stage(renewed_stage: Stage) -> Stage:
    return renewed_stage


def call(name: str = "again", **fields: Any) -> Plan:
    return plan(node(name, **fields), result=Ref(0))


def called(stage: Stage, times: int, around: Plan | None = None) -> tuple[str, Job]:
    """A run whose step calls itself so often, and the attempt at the last call."""
    run_id = stage.start(around or plan(node("first"), result=Ref(0)))
    [job] = stage.claim_named("first")
    for number in range(times):
        stage.turn(expanded(job, call(f"again{number}")))
        [job] = stage.claim_named(f"again{number}")
    return run_id, job


def levels(stage: Stage, run_id: str) -> int:
    """How many scopes are inside one another."""
    scopes = {step.step: step.scope for step in stage.steps(run_id)}

    def level(step: int) -> int:
        return 0 if scopes[step] < 0 else 1 + level(scopes[step])

    return max(map(level, scopes))


def test_calls_do_not_nest_and_their_result_is_the_callers(stage: Stage) -> None:
    run_id, job = called(stage, DEPTH, plan(node("first"), node("after", 0), result=Gather((Ref(0), Ref(1)))))
    assert levels(stage, run_id) == 1
    statuses = stage.statuses(run_id)
    assert statuses.pop("first") == "blocked"
    assert statuses.pop("after") == "blocked"
    assert statuses.pop(f"again{DEPTH - 1}") == "running"
    assert set(statuses.values()) == {"succeeded"}
    assert stage.codes(run_id) == ["running"]
    [reason] = stage.explain(run_id, "first")
    assert reason.text == f"waits for the plan that its task returned: again{DEPTH - 1} (running)"
    stage.turn(succeeded(job, 7))
    stage.work()
    assert stage.result(run_id)[0] == 7
    assert stage.is_sound()


def test_the_failure_of_a_call_is_the_callers(stage: Stage) -> None:
    run_id, job = called(stage, 3, plan(node("first"), node("handler", 0, rule="any_failed"), node("after", 0)))
    stage.turn(failed(job, "no luck", retryable=False))
    assert stage.statuses(run_id)["first"] == "failed"
    error = stage.step(run_id, "first").error
    assert error is not None
    assert error.message == "in again2: no luck"
    assert stage.statuses(run_id)["after"] == "skipped"
    stage.work()
    assert stage.run(run_id).status == "succeeded"  # the handler took it on
    by_hand.retry(stage, run_id, "again2")
    stage.work()
    assert stage.statuses(run_id)["first"] == "succeeded"


@pytest.mark.parametrize(
    "plan_of_it",
    [
        plan(node("a"), node("b", 0), result=Ref(1)),
        plan(node("a"), result=Ref(0, ("key",))),
        plan(node("a"), result=Gather((Ref(0),))),
        plan(node("a"), result=value(1)),
        plan(node("a"), node("hook", hook="finally"), result=Ref(0)),
    ],
    ids=["several steps", "a part", "a list of it", "another result", "a hook"],
)
def test_anything_else_nests(stage: Stage, plan_of_it: Plan) -> None:
    run_id, job = called(stage, 1)
    stage.turn(expanded(job, plan_of_it))
    assert levels(stage, run_id) == 2
    assert stage.statuses(run_id)["again0"] == "blocked"


@pytest.mark.parametrize("fields", [{"may_fail": True}, {"sla": Sla(end=60.0)}], ids=["may fail", "must end by"])
def test_what_is_said_of_a_call_counts_for_what_it_calls(stage: Stage, fields: dict[str, Any]) -> None:
    run_id = stage.start(plan(node("first"), result=Ref(0)))
    [job] = stage.claim()
    stage.turn(expanded(job, call("one", **fields)))
    [job] = stage.claim()
    stage.turn(expanded(job, call("two")))
    assert stage.statuses(run_id)["one"] == "blocked"
    stage.work(by_hand.fails("two"))
    assert stage.statuses(run_id)["one"] == "failed"
    assert stage.run(run_id).status == ("succeeded" if "may_fail" in fields else "failed")


def test_a_call_beside_others_nests_once(stage: Stage) -> None:
    run_id = stage.start(plan(node("first"), result=Ref(0)))
    [job] = stage.claim()
    stage.turn(expanded(job, plan(node("beside"), node("one"), result=Ref(1))))
    beside, job = stage.claim_named("beside", "one")
    for number in range(5):
        stage.turn(expanded(job, call(f"again{number}")))
        [job] = stage.claim()
    assert levels(stage, run_id) == 2
    stage.turn(succeeded(job, 3), succeeded(beside, 4))
    assert stage.result(run_id) == 3


@pytest.mark.parametrize(
    "last", [node("nap", task=SLEEP, args="[[5],{}]"), node("mail", task=WAIT_FOR, args='[["x"],{}]')]
)
def test_a_wait_may_be_called(stage: Stage, last: Node) -> None:
    run_id, job = called(stage, 2)
    stage.turn(expanded(job, plan(last, result=Ref(0))))
    assert levels(stage, run_id) == 1
    assert stage.statuses(run_id)[last.name] == "ready"
    assert stage.is_sound()
    by_hand.mark(stage, run_id, last.name, 9)
    assert stage.result(run_id) == 9


def test_a_call_under_a_condition_and_with_a_limit(stage: Stage) -> None:
    run_id, job = called(stage, 1)
    stage.turn(expanded(job, call("limited", uses=(LimitUse("gpu"),))))
    [job] = stage.claim()
    stage.turn(expanded(job, call("no", when=value(False))))
    stage.work()
    assert stage.statuses(run_id)["no"] == "skipped"
    assert stage.result(run_id) is None
    assert levels(stage, run_id) == 1


def test_a_hook_may_call(stage: Stage) -> None:
    run_id = stage.start(plan(node("a"), node("first", hook="on_success")))
    stage.work({"first": lambda job: expanded(job, call("one")), "one": lambda job: expanded(job, call("two"))})
    assert stage.run(run_id).status == "succeeded"
    assert levels(stage, run_id) == 1


# What people do ----------------------------------------------------------------------------------------------------


def test_a_retry_from_a_call_forgets_the_calls_behind_it(stage: Stage) -> None:
    run_id, job = called(stage, 5)
    with pytest.raises(RunStateError, match="reset again4, but an attempt has not ended yet"):
        by_hand.retry(stage, run_id, "again1")
    stage.turn(failed(job, retryable=False))
    by_hand.retry(stage, run_id, "again1")
    assert stage.statuses(run_id) == {
        "first": "blocked", "again0": "succeeded", "again1": "ready"
    }  # fmt: skip
    [job] = stage.claim()
    stage.turn(expanded(job, call("other")))
    [job] = stage.claim()
    assert levels(stage, run_id) == 1
    stage.turn(succeeded(job, 5))
    assert stage.result(run_id) == 5
    assert stage.is_sound()


def test_a_retry_from_a_call_of_a_run_that_goes_on(stage: Stage) -> None:
    run_id, job = called(stage, 3)
    stage.turn(failed(job, retry_after=60.0))  # it waits for its next try
    by_hand.retry(stage, run_id, "again0")
    assert stage.statuses(run_id) == {"first": "blocked", "again0": "ready"}
    stage.work()
    assert stage.run(run_id).status == "succeeded"


def test_a_retry_runs_the_last_call_again(stage: Stage) -> None:
    run_id, job = called(stage, 5)
    stage.turn(failed(job, retryable=False))
    by_hand.retry(stage, run_id)
    [job] = stage.claim_named("again4")
    stage.turn(succeeded(job, 1))
    assert stage.result(run_id) == 1


@pytest.mark.parametrize("step", ["first", "again0", "again2"])
def test_a_fork_at_a_call(stage: Stage, step: str) -> None:
    run_id, job = called(stage, 4)
    forked = by_hand.fork(stage, run_id, step)
    assert stage.statuses(forked)[step] == "ready"
    stage.turn(succeeded(job, 1))
    [job] = stage.claim()
    stage.turn(succeeded(job, 2))
    assert (stage.result(run_id), stage.result(forked)) == (1, 2)
    assert stage.is_sound()


def test_a_mark_of_the_last_call_is_the_result(stage: Stage) -> None:
    run_id, job = called(stage, 4)
    stage.turn(failed(job, retryable=False))
    by_hand.mark(stage, run_id, "again3", 8)
    assert stage.result(run_id) == 8


def test_a_run_that_is_cancelled_between_calls(stage: Stage) -> None:
    run_id, job = called(stage, 4)
    stage.cancel(run_id)
    stage.turn(expanded(job, call("late")))
    assert stage.run(run_id).status == "cancelled"
    assert stage.statuses(run_id)["first"] == "cancelled"
    assert "late" not in stage.statuses(run_id)
    by_hand.retry(stage, run_id)
    stage.work()
    assert stage.run(run_id).status == "succeeded"
