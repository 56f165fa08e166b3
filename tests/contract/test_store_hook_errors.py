"""What a run or a returned plan says of its failure when hooks run after it."""

from __future__ import annotations

import pytest

from segue.authoring import to_plan
from segue.errors import PlanError
from segue.model import Hook, Job, Outcome
from segue.plan.graph import Plan
from tests.contract.stage import Stage, expanded, failed, node, plan


def test_a_failing_finalizer_does_not_hide_why_the_run_failed(stage: Stage) -> None:
    run_id = stage.start(plan(node("a"), node("f", hook=Hook.FINALLY)))

    def fails(job: Job) -> Outcome:
        return failed(job)

    stage.work({"a": fails, "f": fails})
    run = stage.run(run_id)
    assert run.status == "failed"
    assert run.error is not None
    assert run.error.step == "a"


def test_a_returned_plan_with_hooks_says_why_it_failed(stage: Stage) -> None:
    run_id = stage.start(plan(node("outer")))
    inner = plan(node("x"), node("f", hook=Hook.FINALLY))
    stage.work({"outer": lambda job: expanded(job, inner), "x": failed})
    error = stage.step(run_id, "outer").error
    assert stage.run(run_id).status == "failed"
    assert error is not None
    assert error.message.startswith("in x:")


def test_a_plan_made_by_hand_is_checked_before_it_is_started() -> None:
    hook = node("f", 0, hook=Hook.FINALLY)
    with pytest.raises(PlanError, match="a hook waits for the outcome"):
        to_plan(Plan("p", (node("a"), hook)))
