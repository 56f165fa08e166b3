"""A task leaves out steps below its own, with whatever end."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from segue.engine.engine import Engine
from segue.model import SLEEP, WAIT_FOR, Detour, Hole, Ref, Span
from segue.plan.graph import Plan
from tests.contract import by_hand
from tests.contract.stage import Stage, expanded, failed, node, plan, succeeded
from tests.crash.faults import Died, FaultyStore, die, lose


@pytest.fixture
def stage(lasting_stage: Stage) -> Iterator[Stage]:
    lasting_stage.renew()
    yield lasting_stage
    assert lasting_stage.is_sound()


def takes(name: str, parent: int, **fields: Any) -> Any:
    return node(name, parent, args="[[null],{}]", holes=(Hole((0, 0), Ref(parent)),), **fields)


def chain() -> Plan:
    return plan(node("a"), takes("b", 0), takes("c", 1), takes("d", 2), result=Ref(3))


def test_what_is_cut_is_skipped_with_all_below_it_and_the_run_succeeds(stage: Stage) -> None:
    run_id = stage.start(chain())
    [a] = stage.claim_named("a")
    stage.turn(succeeded(a, 1, detour=Detour(skip=(1,))))
    stage.work()
    assert stage.statuses(run_id) == {"a": "succeeded", "b": "skipped", "c": "skipped", "d": "skipped"}
    assert stage.run(run_id).status == "succeeded"


@pytest.mark.parametrize("task,args", [(WAIT_FOR, '[["ok"],{}]'), (SLEEP, "[[3600],{}]")])
def test_a_wait_that_is_cut_is_skipped_when_its_turn_comes(stage: Stage, task: str, args: str) -> None:
    run_id = stage.start(plan(node("a"), node("b", 0, task=task, args=args), takes("c", 1), result=Ref(2)))
    [a] = stage.claim_named("a")
    stage.turn(succeeded(a, 1, detour=Detour(skip=(1,))))
    assert stage.statuses(run_id) == {"a": "succeeded", "b": "skipped", "c": "skipped"}
    assert stage.run(run_id).status == "succeeded"


def test_what_is_passed_by_hands_on_the_result_of_its_parent(stage: Stage) -> None:
    run_id = stage.start(chain())
    [a] = stage.claim_named("a")
    stage.turn(succeeded(a, "from a", detour=Detour(pass_by=((1, 0), (2, 1)))))
    [d] = stage.claim_named("d")
    assert list(d.values.values()) == ['"from a"']
    stage.turn(succeeded(d, "done"))
    assert (stage.run(run_id).status, stage.result(run_id)) == ("succeeded", "done")


def test_a_member_that_cuts_its_chain_takes_the_body_with_it_and_the_run_ends(stage: Stage) -> None:
    body = node("body", 1, 2, args="[[null],{}]", holes=(Hole((0, 0), Span(1, 2)),))
    run_id = stage.start(plan(node("a"), takes("b", 0), node("other"), body))
    a, other = stage.claim_named("a", "other")
    stage.turn(succeeded(a, 1, detour=Detour(skip=(1,))))
    stage.work()
    stage.turn(succeeded(other))
    assert stage.statuses(run_id) == {"a": "succeeded", "b": "skipped", "other": "succeeded", "body": "skipped"}
    assert stage.run(run_id).status == "succeeded"


def test_a_failure_may_leave_out_what_watches_it(stage: Stage) -> None:
    run_id = stage.start(plan(node("a"), node("errback", 0, rule="some_failed")))
    [a] = stage.claim_named("a")
    stage.turn(failed(a, retryable=False, detour=Detour(skip=(1,))))
    stage.work()
    assert stage.statuses(run_id) == {"a": "failed", "errback": "skipped"}
    assert stage.run(run_id).status == "failed"


def test_a_task_that_returns_a_plan_may_cut_what_is_behind_it(stage: Stage) -> None:
    run_id = stage.start(chain())
    [a] = stage.claim_named("a")
    outcome = expanded(a, plan(node("x"), node("y"), result=Ref(0)))
    outcome.detour = Detour(skip=(1,))
    stage.turn(outcome)
    assert stage.run(run_id).status == "running"
    stage.work()
    assert stage.statuses(run_id)["b"] == "skipped"
    assert stage.run(run_id).status == "succeeded"


def test_a_failed_try_that_is_repeated_leaves_nothing_out(stage: Stage) -> None:
    run_id = stage.start(plan(node("a", retries=1), takes("b", 0)))
    [a] = stage.claim_named("a")
    stage.turn(failed(a, detour=Detour(skip=(1,))))
    stage.work()
    assert stage.statuses(run_id) == {"a": "succeeded", "b": "succeeded"}


def test_a_retry_by_a_person_does_what_was_passed_by(stage: Stage) -> None:
    run_id = stage.start(chain())
    [a] = stage.claim_named("a")
    stage.turn(succeeded(a, "from a", detour=Detour(pass_by=((1, 0),))))
    stage.work({"d": lambda job: failed(job, retryable=False)})
    assert stage.statuses(run_id)["d"] == "failed"
    by_hand.retry(stage, run_id, "a")
    stage.work()
    assert [step.attempt for step in stage.steps(run_id)] == [2, 1, 2, 2]
    assert stage.run(run_id).status == "succeeded"


@pytest.mark.parametrize("strike", [die, lose], ids=["dead", "lost"])
def test_a_detour_is_taken_with_the_end_or_not_at_all(stage: Stage, strike: Callable[[Any], None]) -> None:
    detour = Detour(pass_by=((1, 0),), skip=(3,))

    def report(engine: Engine, a: Any) -> None:
        engine.report([succeeded(a, 1, detour=detour)], by="w")

    counting = FaultyStore(stage.store)
    run_id = stage.start(chain())
    report(Engine(counting, ids=stage.engine.ids), *stage.claim_named("a"))
    stage.work()
    for number in range(1, len(counting.points) + 1):
        run_id = stage.start(chain())
        [a] = stage.claim_named("a")
        faulty = FaultyStore(stage.store, strike, number)
        try:
            report(Engine(faulty, ids=stage.engine.ids), a)
        except Died:
            assert strike is die
        assert faulty.has_struck
        stage.engine.report([succeeded(a, 1, detour=detour)], by="w")
        stage.work()
        assert stage.statuses(run_id) == {"a": "succeeded", "b": "succeeded", "c": "succeeded", "d": "skipped"}
        assert [step.attempt for step in stage.steps(run_id)][1] == 0
        assert stage.is_sound()
