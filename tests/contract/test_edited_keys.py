"""Promise 10 where people change an argument that is the key of a limit: from then on the step has the new key."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from segue.engine.reopening.fork import fork_run
from segue.errors import PlanError, RunStateError
from segue.model import Hole, Ref
from segue.plan.graph import KeyPart, LimitUse, Node
from segue.plan.lanes import with_keys
from tests.contract import by_hand
from tests.contract.by_hand import mark, retry, say, unknown
from tests.contract.limiting import define
from tests.contract.stage import Stage, failed, node, plan, succeeded, value

BY_CUSTOMER = (KeyPart("", ((1, "customer"), (0, 0)), ("name",)),)


@pytest.fixture
def stage(renewed_stage: Stage) -> Stage:
    return renewed_stage


@pytest.fixture(autouse=True)
def one_for_each_customer(stage: Stage) -> None:
    define(stage, "customers", concurrency=1)


def keyed(name: str, customer: str, *parents: int, holes: tuple[Hole, ...] = (), **fields: Any) -> Node:
    use = LimitUse("customers", value(""), 1, BY_CUSTOMER)
    return with_keys(node(name, *parents, args=arguments(customer), holes=holes, uses=(use,), **fields))


def arguments(customer: str) -> str:
    return msgspec.json.encode([[{"name": customer}], {}]).decode()


def edit(stage: Stage, run_id: str, step: str, customer: str) -> None:
    by_hand.edit(stage, run_id, step, {"name": customer})


def test_a_waiting_step_moves_to_its_new_key(stage: Stage) -> None:
    run_id = stage.start(plan(keyed("a", "ann"), keyed("b", "bob"), keyed("c", "ann")))
    edit(stage, run_id, "b", "ann")
    (first,) = stage.claim_named("a")
    edit(stage, run_id, "c", "bob")
    stage.claim_named("c")  # nothing idles under the key that is free now
    (second,) = stage.claim_after([succeeded(first)])
    assert second.name == "b"
    assert stage.is_sound()


def test_a_step_that_runs_keeps_its_key(stage: Stage) -> None:
    run_id = stage.start(plan(keyed("a", "ann")))
    stage.claim_named("a")
    with pytest.raises(RunStateError, match="it runs now"):
        edit(stage, run_id, "a", "bob")


def test_a_step_that_failed_is_tried_again_under_its_new_key(stage: Stage) -> None:
    run_id = stage.start(plan(keyed("a", "ann", retries=0)))
    stage.claim_after([failed(job) for job in stage.claim()])
    edit(stage, run_id, "a", "bob")
    other = stage.start(plan(keyed("b", "bob")))
    stage.claim_named("b")
    retry(stage, run_id)
    assert stage.claim() == []
    assert stage.statuses(other)["b"] == "running"


def by_result(parent: str = "p") -> tuple[Node, Node]:
    return node(parent), keyed("a", "", 0, holes=(Hole((0, 0, "name"), Ref(0)),), retries=0)


@pytest.mark.parametrize("when", ["blocked", "ready"])
def test_a_key_that_was_to_be_a_result_is_the_one_that_was_given(stage: Stage, when: str) -> None:
    run_id = stage.start(plan(*by_result()))
    if when == "blocked":
        edit(stage, run_id, "a", "bob")
    (parent,) = stage.claim_named("p")
    stage.turn(succeeded(parent, "ann"))
    if when == "ready":
        edit(stage, run_id, "a", "bob")
    stage.start(plan(keyed("b", "bob")))
    stage.start(plan(keyed("c", "ann")))
    assert sorted(job.name for job in stage.claim()) == ["a", "c"]
    assert stage.is_sound()


def test_a_step_whose_parent_failed_is_edited_and_comes_back_under_its_new_key(stage: Stage) -> None:
    run_id = stage.start(plan(*by_result()))
    stage.claim_after([failed(job) for job in stage.claim()])
    assert stage.statuses(run_id)["a"] == "skipped"
    edit(stage, run_id, "a", "bob")
    stage.start(plan(keyed("b", "bob")))
    stage.claim_named("b")
    retry(stage, run_id)
    (parent,) = stage.claim_named("p")
    assert stage.claim_after([succeeded(parent, "ann")]) == []
    assert stage.is_sound()


def test_a_step_that_was_marked_finds_its_key_again(stage: Stage) -> None:
    """By the result of its parent, which may be another one the next time."""
    run_id = stage.start(plan(*by_result()))
    (parent,) = stage.claim_named("p")
    (step,) = stage.claim_after([succeeded(parent, "ann")])
    stage.turn(failed(step))
    mark(stage, run_id, "a", 1)
    retry(stage, run_id, "p")
    stage.start(plan(keyed("b", "bob")))
    stage.advance(0.1)
    found = {job.name: job for job in stage.claim()}
    assert sorted(found) == ["b", "p"]
    assert stage.claim_after([succeeded(found["p"], "bob")]) == []


def test_a_fork_with_other_arguments_counts_under_their_key(stage: Stage) -> None:
    run_id = stage.start(plan(keyed("a", "ann")))
    stage.claim_named("a")
    forks = {name: stage.engine.new_id() for name in ("ann", "bob")}
    for name, forked in forks.items():
        say(stage, fork_run, run_id, new_id=forked, step="a", new=by_hand.arguments({"name": name}), parameters=unknown)
    (job,) = stage.claim()
    assert job.run_id == forks["bob"]
    assert stage.is_sound()


def test_arguments_without_a_key_are_refused(stage: Stage) -> None:
    run_id = stage.start(plan(keyed("a", "ann")))
    with pytest.raises(PlanError, match=r"the key of its limit.*\.name of 5"):
        by_hand.edit(stage, run_id, "a", 5)
    stage.claim_named("a")
