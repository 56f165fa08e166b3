"""Promise 7 where an end sets off more than one transaction does: it is done in parts, and a crash loses none of them.

`small` makes every part as small as can be, so that few steps show what a hundred thousand do.
"""

from __future__ import annotations

from datetime import timedelta
from itertools import count

import pytest

from segue.engine import engine as engines
from segue.engine import propagate
from segue.engine.control import pause_run, resume_run
from segue.engine.engine import Engine
from segue.engine.turn import Turn
from segue.engine.turn_memory import TurnMemory
from segue.engine.turn_request import TurnRequest, TurnResult
from segue.engine.views import look
from segue.model import Gather, Job, Outcome, Ref
from segue.plan.graph import Plan
from segue.store.protocol import RELEASED_AT_ONCE
from tests.contract import by_hand
from tests.contract.stage import Stage, expanded, failed, node, plan, succeeded

DEPTH = 12


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    """One look, or one end, in each transaction."""
    monkeypatch.setattr(propagate, "PART", 1)
    monkeypatch.setattr(propagate, "AT_ONCE", 1)
    monkeypatch.setattr(engines, "TURN_SECONDS", 600.0)
    monkeypatch.setattr(engines, "CARRY_SECONDS", 600.0)


def only_turn(stage: Stage, *outcomes: Outcome) -> TurnResult:
    """A turn of a worker that dies right behind it."""
    request = TurnRequest(outcomes=list(outcomes))
    return Turn(stage.store, stage.worker, request, TurnMemory(), stage.engine.watch).take()


def counts(stage: Stage, run_id: str) -> dict[str, int]:
    with stage.engine.reading() as tx:
        return {str(status): found for status, found in look.count_steps(tx, run_id).items()}


def line(length: int = DEPTH) -> Plan:
    return plan(*(node(f"s{at}", *([at - 1] if at else [])) for at in range(length)))


def wrapped(stage: Stage, depth: int = DEPTH) -> tuple[str, Job]:
    """A run whose step returned a plan, whose step returned a plan ...; and the attempt at the innermost one."""
    run_id = stage.start(plan(node("outer"), result=Ref(0)))
    [job] = stage.claim()
    for _ in range(depth):
        stage.turn(expanded(job, plan(node("inner"), result=Gather((Ref(0),)))))
        [job] = stage.claim()
    return run_id, job


@pytest.mark.usefixtures("small")
def test_what_a_failure_sets_off_is_done_in_parts(stage: Stage) -> None:
    run_id = stage.start(line())
    [job] = stage.claim()
    result = stage.turn(failed(job, retryable=False))
    assert result.ended == [run_id]
    assert stage.statuses(run_id) == {"s0": "failed"} | {f"s{at}": "skipped" for at in range(1, DEPTH)}
    assert stage.is_sound()


@pytest.mark.usefixtures("small")
def test_plans_in_plans_are_done_in_parts(stage: Stage) -> None:
    run_id, job = wrapped(stage)
    assert stage.turn(succeeded(job, 7)).ended == [run_id]
    found = stage.result(run_id)
    for _ in range(DEPTH):
        [found] = found
    assert found == 7
    assert stage.is_sound()


def test_the_error_of_plans_in_plans_does_not_grow_without_end(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(propagate, "LONGEST_PATH", 100)
    run_id, job = wrapped(stage, 60)
    stage.turn(failed(job, "no luck", retryable=False))
    while stage.engine.carry_on():
        pass
    error = stage.run(run_id).error
    assert error is not None
    assert error.step == "outer"
    assert error.message.startswith("in inner: ... ")
    assert error.message.endswith("in inner: no luck")
    assert len(error.message) < 130


@pytest.mark.usefixtures("small")
def test_anybody_does_the_rest_when_the_process_died(stage: Stage) -> None:
    run_id = stage.start(line())
    [job] = stage.claim()
    assert only_turn(stage, failed(job, retryable=False)).unfinished == [run_id]
    assert stage.run(run_id).status == "running"
    assert "unfinished" in stage.codes(run_id)
    assert stage.is_sound()
    assert Engine(stage.store).carry_on() == 1
    assert stage.run(run_id).status == "failed"
    assert Engine(stage.store).carry_on() == 0
    assert stage.is_sound()


@pytest.mark.usefixtures("small")
def test_an_edit_has_the_rest_done_before(stage: Stage) -> None:
    """Or it would edit a step that waits, and is about to be skipped."""
    run_id = stage.start(line())
    [job] = stage.claim()
    only_turn(stage, failed(job, retryable=False))
    assert stage.run(run_id).status == "running"
    assert by_hand.edit(stage, run_id, f"s{DEPTH - 1}", 5) == ("failed", True)
    assert Engine(stage.store).carry_on() == 0
    assert stage.is_sound()


@pytest.mark.usefixtures("small")
def test_a_rescue_does_the_rest_too(stage: Stage) -> None:
    run_id, job = wrapped(stage)
    only_turn(stage, succeeded(job, 7))
    Engine(stage.store).rescue()
    assert stage.run(run_id).status == "succeeded"
    assert stage.is_sound()


@pytest.mark.usefixtures("small")
def test_a_worker_goes_on_from_turn_to_turn(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(engines, "TURN_SECONDS", 0.0)
    run_id = stage.start(line())
    [job] = stage.claim()
    result = stage.turn(failed(job, retryable=False))
    turns = count()
    while not result.ended:
        assert result.again
        assert next(turns) < 3 * DEPTH
        result = stage.turn()
    assert next(turns) > 1
    assert result.ended == [run_id]
    assert not stage.turn().again
    assert stage.is_sound()


@pytest.mark.usefixtures("small")
@pytest.mark.parametrize("verb", ["cancel", "pause", "retry", "skip", "fork", "none"])
def test_verbs_between_two_parts(stage: Stage, verb: str) -> None:
    """Whatever a person says meanwhile, nothing is done twice or left undone."""
    run_id = stage.start(plan(*line(6).nodes, node("other"), node("hook", hook="finally")))
    first, other = stage.claim()
    only_turn(stage, failed(first, retryable=False))
    if verb == "cancel":
        assert stage.cancel(run_id) == "running"
    elif verb == "pause":
        by_hand.say(stage, pause_run, run_id)
        stage.engine.carry_on()
        assert stage.claim() == []
        by_hand.say(stage, resume_run, run_id)
    elif verb == "retry":
        by_hand.retry(stage, run_id)
        assert stage.statuses(run_id) == {
            "s0": "ready", **{f"s{at}": "blocked" for at in range(1, 6)}, "other": "running", "hook": "blocked"
        }  # fmt: skip
    elif verb == "skip":
        by_hand.skip(stage, run_id, "s0")
    elif verb == "fork":
        forked = by_hand.fork(stage, run_id, "s1")
        assert stage.statuses(forked)["s0"] == "ready"
        stage.cancel(forked)
    stage.engine.carry_on()
    assert stage.is_sound()
    stage.turn(succeeded(other))
    stage.work()
    ends = {"cancel": "cancelled", "retry": "succeeded", "skip": "succeeded"}
    assert stage.run(run_id).status == ends.get(verb, "failed")
    assert stage.statuses(run_id)["hook"] == "succeeded"
    assert stage.is_sound()


@pytest.mark.usefixtures("small")
def test_a_run_that_is_cancelled_between_two_parts_ends_once(stage: Stage) -> None:
    run_id, job = wrapped(stage)
    only_turn(stage, succeeded(job, 7))
    assert stage.cancel(run_id) == "cancelled"
    stage.engine.carry_on()
    assert stage.run(run_id).status == "cancelled"
    assert set(stage.statuses(run_id).values()) == {"cancelled", "succeeded"}
    assert stage.is_sound()
    by_hand.retry(stage, run_id)
    stage.work()
    assert stage.run(run_id).status == "succeeded"


@pytest.mark.usefixtures("small")
def test_a_run_is_pruned_when_nothing_is_left_to_do_of_it(stage: Stage) -> None:
    run_id, job = wrapped(stage)
    only_turn(stage, succeeded(job, 7))
    stage.cancel(run_id)
    stage.advance(10)
    assert stage.engine.prune(older_than=timedelta(seconds=1)) == 0
    stage.engine.carry_on()
    assert stage.engine.prune(older_than=timedelta(seconds=1)) == 1
    assert stage.is_sound()


@pytest.mark.parametrize("ends", ["well", "badly", "well and the process dies"])
def test_a_step_tells_many_children_in_parts(stage: Stage, ends: str) -> None:
    width = 2 * RELEASED_AT_ONCE + 5
    members = [node(f"m{at}", 0) for at in range(width)]
    run_id = stage.start(plan(node("first"), *members, node("last", *range(1, width + 1))))
    [job] = stage.claim()
    if ends == "badly":
        stage.turn(failed(job, retryable=False))
        while stage.engine.carry_on():
            pass
        assert counts(stage, run_id) == {"failed": 1, "skipped": width + 1}
        return
    if ends == "well":
        stage.turn(succeeded(job))
    else:
        only_turn(stage, succeeded(job))
        assert stage.is_sound()
    while stage.engine.carry_on():
        pass
    assert counts(stage, run_id) == {"succeeded": 1, "ready": width, "blocked": 1}
    assert stage.is_sound()
