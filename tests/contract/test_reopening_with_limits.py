"""Reopened runs keep limits: keys are found anew, places are asked for again."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from segue.model import Ref
from tests.contract.by_hand import edit, fails, fork, retry
from tests.contract.limiting import define, limited, names, use_by_result
from tests.contract.stage import Stage, expanded, failed, node, plan, succeeded


@pytest.fixture
def stage(lasting_stage: Stage) -> Iterator[Stage]:
    lasting_stage.renew()
    yield lasting_stage
    assert lasting_stage.is_sound()


def test_a_key_is_found_anew_from_the_new_result(stage: Stage) -> None:
    define(stage, "customer", concurrency=1)
    run_id = stage.start(plan(node("find"), limited("s", use_by_result("customer", 0), parents=[0])))
    [find] = stage.claim()
    [s] = stage.claim_after([succeeded(find, "x")])
    stage.turn(succeeded(s))
    retry(stage, run_id, "find")
    [find] = stage.claim()
    forked = fork(stage, run_id, "find")
    [again] = stage.claim()
    # Both come to the customer y: only one of them has a place.
    assert names(stage.claim_after([succeeded(find, "y"), succeeded(again, "y")])) == ["s"]
    gates = sorted(str(stage.step(run, "s").gate) for run in (run_id, forked))
    assert gates == ["None", "limit"]


def test_a_failed_step_stays_in_its_lane_and_asks_for_a_place_again(stage: Stage) -> None:
    define(stage, "db", concurrency=1)
    run_id = stage.start(plan(limited("a", "db"), limited("b", "db")))
    [a] = stage.claim()
    [b] = stage.claim_after([failed(a, retryable=False)])
    retry(stage, run_id)
    assert stage.step(run_id, "a").gate == "limit"
    assert stage.claim() == []
    assert names(stage.claim_after([succeeded(b)])) == ["a"]


def test_a_plan_that_a_limited_step_returned(stage: Stage) -> None:
    """It is reopened as a plan, or thrown away with the key that the step had found."""
    define(stage, "customer", concurrency=1)
    grown = limited("grown", use_by_result("customer", 0), parents=[0])
    run_id = stage.start(plan(node("find"), grown, node("after", 1), result=Ref(1)))
    [find] = stage.claim()
    [job] = stage.claim_after([succeeded(find, "x")])
    stage.turn(expanded(job, plan(node("bad"), node("good"))))
    stage.work(fails("bad"))
    retry(stage, run_id)
    assert stage.statuses(run_id)["grown"] == "blocked"
    assert names(stage.claim()) == ["bad"]
    stage.advance(100)
    stage.engine.rescue()
    stage.work()
    assert stage.run(run_id).status == "succeeded"
    retry(stage, run_id, "find")
    assert stage.statuses(run_id) == {"find": "ready", "grown": "blocked", "after": "blocked"}
    assert edit(stage, run_id, "grown", 1).changed  # its key is not known yet, which is no plan
    stage.work()
    assert stage.run(run_id).status == "succeeded"
