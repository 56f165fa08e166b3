"""Steps that a person skips, or gives a result."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from segue.engine.pausing import pause_run, resume_run
from segue.errors import RunStateError
from segue.model import Gather, Hole, Ref, Verdict
from tests.contract.by_hand import fails, mark, retry, skip
from tests.contract.stage import Stage, ended, expanded, failed, node, plan, succeeded, value
from tests.contract.test_retry_from import grow, names, rounds


@pytest.fixture
def stage(lasting_stage: Stage) -> Iterator[Stage]:
    lasting_stage.renew()
    yield lasting_stage
    assert lasting_stage.is_sound()


# Skip -----------------------------------------------------------------------------------------------------------------


def test_a_step_that_has_not_begun_is_skipped_and_its_children_are_told(stage: Stage) -> None:
    run_id = stage.start(plan(node("a"), node("b", 0), node("c", 1), node("d", 1, rule="none_failed")))
    assert skip(stage, run_id, "b") == ("pending", True)
    assert skip(stage, run_id, "b") == ("pending", False)
    assert stage.statuses(run_id) == {"a": "ready", "b": "skipped", "c": "skipped", "d": "ready"}
    assert rounds(stage) == [["a", "d"]]
    assert stage.run(run_id).status == "succeeded"


def test_a_run_still_waits_for_the_parents_of_a_step_that_was_skipped(stage: Stage) -> None:
    """The skipped step was the last; nothing else would have told the run that `a` has ended."""
    run_id = stage.start(plan(node("a"), node("b", 0)))
    [a] = stage.claim()
    skip(stage, run_id, "b")
    assert stage.run(run_id).status == "running"
    stage.turn(failed(a, retryable=False))
    assert stage.run(run_id).status == "failed"


def test_a_step_that_is_ready_or_waits_for_its_next_try_is_skipped(stage: Stage) -> None:
    run_id = stage.start(plan(node("a", retries=1, retry_delay=60.0), node("b"), node("end", 0, 1, rule="all_done")))
    a, b = stage.claim_named("a", "b")
    stage.turn(failed(a))
    skip(stage, run_id, "a")
    with pytest.raises(RunStateError, match="it runs now"):
        skip(stage, run_id, "b")
    stage.turn(succeeded(b))
    assert names(stage) == ["end"]
    with pytest.raises(RunStateError, match="it succeeded, and other steps may have used its result"):
        skip(stage, run_id, "end")


def test_a_failed_step_is_skipped_and_what_follows_is_judged_anew(stage: Stage) -> None:
    run_id = stage.start(
        plan(
            node("a"), node("b", 0), node("needs it", 1), node("tolerant", 1, rule="none_failed"),
            node("handler", 1, rule="any_failed"), node("after", 4), node("hook", hook="on_failure"),
        )
    )  # fmt: skip
    stage.work(fails("b", "handler"))
    assert stage.run(run_id).status == "failed"
    assert skip(stage, run_id, "b") == ("running", True)
    assert stage.statuses(run_id) == {
        "a": "succeeded", "b": "skipped", "needs it": "skipped", "tolerant": "ready", "handler": "skipped",
        "after": "skipped", "hook": "blocked",
    }  # fmt: skip
    assert rounds(stage) == [["tolerant"]]
    assert stage.statuses(run_id)["hook"] == "skipped"
    assert stage.run(run_id).status == "succeeded"


def test_skipping_the_last_failure_ends_the_run_at_once(stage: Stage) -> None:
    run_id = stage.start(plan(node("a"), node("b", 0)))
    stage.work(fails("b"))
    assert skip(stage, run_id, "b") == ("succeeded", True)
    run = stage.run(run_id)
    assert (run.status, run.error) == ("succeeded", None)
    assert skip(stage, run_id, "b") == ("succeeded", False)


def test_a_cancelled_run_goes_on_as_a_whole_when_a_step_of_it_is_skipped(stage: Stage) -> None:
    run_id = stage.start(plan(node("a"), node("b", 0), node("c", 0), node("d", 1, rule="none_failed")))
    assert names(stage) == ["a"]
    stage.cancel(run_id)
    assert stage.run(run_id).status == "cancelled"
    skip(stage, run_id, "b")
    assert stage.statuses(run_id) == {"a": "succeeded", "b": "skipped", "c": "ready", "d": "ready"}
    assert rounds(stage) == [["c", "d"]]
    assert stage.run(run_id).status == "succeeded"


def test_a_run_that_is_ending_is_left_alone(stage: Stage) -> None:
    run_id = stage.start(plan(node("a"), node("b", 0), node("hook", hook="finally")))
    [a] = stage.claim()
    stage.cancel(run_id)
    for verb in (skip, mark):
        with pytest.raises(RunStateError, match="being ended as cancelled"):
            verb(stage, run_id, "b")
    stage.turn(ended(a, Verdict.CANCELLED))
    assert stage.run(run_id).status == "running"
    skip(stage, run_id, "hook")  # it was called, and is the last that the run waits for
    assert stage.run(run_id).status == "cancelled"


def test_a_hook_is_skipped_before_it_is_called(stage: Stage) -> None:
    run_id = stage.start(
        plan(
            node("a"), node("one", hook="finally"), node("two", 1, hook="finally"),
            node("three", 2, hook="finally", rule="all_done"), node("four", hook="finally"),
        )
    )  # fmt: skip
    assert skip(stage, run_id, "one") == ("pending", True)
    with pytest.raises(RunStateError, match="Whether it runs is decided when all other steps"):
        mark(stage, run_id, "two")
    assert names(stage) == ["a"]
    assert stage.statuses(run_id) == {
        "a": "succeeded", "one": "skipped", "two": "skipped", "three": "ready", "four": "ready"
    }  # fmt: skip
    rounds(stage)
    assert stage.run(run_id).status == "succeeded"


def test_the_only_hook_is_skipped_before_and_after_it_is_called(stage: Stage) -> None:
    before = stage.start(plan(node("a"), node("hook", hook="finally")))
    skip(stage, before, "hook")
    assert names(stage) == ["a"]
    assert stage.run(before).status == "succeeded"
    after = stage.start(plan(node("a"), node("hook", hook="finally")))
    assert names(stage) == ["a"]
    skip(stage, after, "hook")
    assert stage.run(after).status == "succeeded"
    final = stage.start(plan(node("a"), node("hook", hook="finally")))
    stage.work(fails("hook"))
    assert stage.run(final).status == "failed"
    skip(stage, final, "hook")
    assert stage.run(final).status == "succeeded"


def test_a_running_step_is_stopped_first(stage: Stage) -> None:
    run_id = stage.start(plan(node("a"), node("b", 0, rule="none_failed")))
    [a] = stage.claim()
    for verb in (skip, mark, retry):
        with pytest.raises(RunStateError, match="pause the run with stop_running"):
            verb(stage, run_id, "a")
    stage.engine.act(pause_run, run_id, stop_running=True)
    stage.turn(ended(a, Verdict.CANCELLED))
    assert skip(stage, run_id, "a") == ("paused", True)
    assert stage.claim() == []
    stage.engine.act(resume_run, run_id)
    assert rounds(stage) == [["b"]]
    assert stage.run(run_id).status == "succeeded"


# Mark -----------------------------------------------------------------------------------------------------------------


def test_a_failed_step_is_given_a_result_and_what_was_skipped_comes_back(stage: Stage) -> None:
    total = node("total", 1, args="[[null],{}]", holes=(Hole((0, 0), Ref(1)),))
    run_id = stage.start(plan(node("a"), node("b", 0), total, node("handler", 1, rule="any_failed"), result=Ref(1)))
    stage.work(fails("b", "handler"))
    assert mark(stage, run_id, "b", {"rows": 3}) == ("running", True)
    [job] = stage.claim_named("total")
    assert job.values == {1: '{"rows":3}'}
    stage.turn(succeeded(job))
    assert stage.statuses(run_id)["handler"] == "skipped"
    run = stage.run(run_id)
    assert (run.status, run.error) == ("succeeded", None)
    assert stage.result(run_id) == {"rows": 3}
    step = stage.step(run_id, "b")
    assert (step.error, step.failures) == (None, 0)


def test_the_same_result_twice_and_another_one(stage: Stage) -> None:
    join = node("join", 0, task=None, result=Gather((Ref(0),)))
    run_id = stage.start(plan(node("a"), join))
    mark(stage, run_id, "a", 1.0)
    assert mark(stage, run_id, "a", 1.0) == ("succeeded", False)
    assert mark(stage, run_id, "join", [1.0]) == ("succeeded", False)
    with pytest.raises(RunStateError, match="it succeeded with another result"):
        mark(stage, run_id, "a", 2)


@pytest.mark.parametrize("result", [None, 0, [], "text", {"a": None}])
def test_a_step_that_has_not_begun_is_given_a_result(stage: Stage, result: Any) -> None:
    run_id = stage.start(plan(node("a"), node("b", 0), node("c", 1), result=Ref(1)))
    [a] = stage.claim()
    mark(stage, run_id, "b", result)
    assert names(stage) == ["c"]
    assert stage.run(run_id).status == "running"
    stage.turn(succeeded(a))
    assert stage.run(run_id).status == "succeeded"
    assert stage.result(run_id) == result


def test_a_skipped_step_is_given_a_result(stage: Stage) -> None:
    run_id = stage.start(plan(node("a", when=value(False)), node("b", 0), node("c", 1)))
    rounds(stage)
    assert stage.statuses(run_id) == {"a": "skipped", "b": "skipped", "c": "skipped"}
    mark(stage, run_id, "b", 1)
    assert stage.statuses(run_id) == {"a": "skipped", "b": "succeeded", "c": "ready"}
    assert rounds(stage) == [["c"]]


def test_a_join_is_given_a_result(stage: Stage) -> None:
    join = node("join", 0, 1, task=None, result=Gather((Ref(0), Ref(1))))
    run_id = stage.start(plan(node("a"), node("b"), join, node("c", 2), result=Ref(2)))
    stage.work(fails("b"))
    mark(stage, run_id, "join", "both")
    assert rounds(stage) == [["c"]]
    assert stage.result(run_id) == "both"
    assert stage.run(run_id).status == "failed"  # b still counts
    skip(stage, run_id, "b")
    assert stage.run(run_id).status == "succeeded"
    retry(stage, run_id, "b")
    assert rounds(stage) == [["b"], ["c"]]
    assert stage.result(run_id) == [None, "b"]


def test_a_failed_plan_is_given_a_result(stage: Stage) -> None:
    """Its steps stay as they ended; whoever takes its result gets the one that was given."""
    run_id = stage.start(plan(node("outer"), node("after", 0), result=Ref(0)))
    grow(stage, "outer", node("grown"), result=Ref(0))
    grow(stage, "grown", node("x"), node("y"), result=Ref(0))
    stage.work(fails("x"))
    mark(stage, run_id, "grown", "by hand")
    assert stage.statuses(run_id)["x"] == "failed"
    assert rounds(stage) == [["after"]]
    assert stage.result(run_id) == "by hand"
    assert stage.run(run_id).status == "succeeded"
    retry(stage, run_id, "x")
    assert rounds(stage) == [["x"], ["after"]]
    assert stage.result(run_id) == "x"


def test_a_failed_plan_is_skipped(stage: Stage) -> None:
    run_id = stage.start(plan(node("grown"), node("after", 0, rule="none_failed")))
    grow(stage, "grown", node("x"))
    stage.work(fails("x"))
    skip(stage, run_id, "grown")
    assert rounds(stage) == [["after"]]
    assert stage.run(run_id).status == "succeeded"
    assert retry(stage, run_id) == ("succeeded", False)


def test_a_plan_that_is_being_worked_is_in_the_way(stage: Stage) -> None:
    run_id = stage.start(plan(node("grown"), node("after", 0)))
    grow(stage, "grown", node("x"))
    for verb in (skip, mark):
        with pytest.raises(RunStateError, match="its task returned a plan whose steps have not all ended"):
            verb(stage, run_id, "grown")
    skip(stage, run_id, "x")
    assert stage.statuses(run_id) == {"grown": "succeeded", "after": "ready", "x": "skipped"}
    rounds(stage)


def test_a_step_inside_a_failed_plan_is_given_a_result(stage: Stage) -> None:
    run_id = stage.start(plan(node("grown"), node("after", 0), result=Ref(0)))
    grow(stage, "grown", node("x"), node("y", 0), node("hook", hook="on_success"), result=Gather((Ref(0), Ref(1))))
    stage.work(fails("x"))
    mark(stage, run_id, "x", "given")
    assert rounds(stage) == [["y"], ["hook"], ["after"]]
    assert stage.result(run_id) == ["given", "y"]
    assert stage.run(run_id).status == "succeeded"


def test_what_began_over_the_failure_is_left(stage: Stage) -> None:
    run_id = stage.start(
        plan(node("a"), node("handler", 0, rule="any_failed"), node("grown", 0, rule="all_done"), node("b", 0))
    )
    [a] = stage.claim()
    stage.turn(failed(a, retryable=False))
    handler, grown = stage.claim_named("handler", "grown")
    stage.turn(expanded(grown, plan(node("inner"))))
    mark(stage, run_id, "a", 1)
    assert stage.statuses(run_id) == {
        "a": "succeeded", "handler": "running", "grown": "blocked", "b": "ready", "inner": "ready"
    }  # fmt: skip
    assert names(stage) == ["b", "inner"]
    stage.turn(succeeded(handler))
    assert stage.run(run_id).status == "succeeded"


def test_a_run_that_failed_fast_goes_on_when_its_failure_is_mended(stage: Stage) -> None:
    run_id = stage.start(plan(node("a"), node("b", 0), node("c"), node("d", 2), fail_fast=True))
    a, c = stage.claim_named("a", "c")
    stage.turn(failed(a, retryable=False))
    stage.turn(ended(c, Verdict.CANCELLED))
    assert stage.run(run_id).status == "failed"
    mark(stage, run_id, "a")
    assert rounds(stage) == [["b", "c"], ["d"]]
    assert stage.run(run_id).status == "succeeded"


# Steps that wait for something else -----------------------------------------------------------------------------------


def test_a_step_that_waits_for_an_event_or_sleeps_is_marked_and_skipped(stage: Stage) -> None:
    run_id = stage.start(
        plan(
            node("approval", task="segue.wait_for", args='[["approved"],{"timeout":60}]'),
            node("nap", task="segue.sleep", args='[[60],{}]'), node("a", 0), node("b", 1, rule="none_failed"),
            result=Ref(0),
        )
    )  # fmt: skip
    assert stage.statuses(run_id) == {"approval": "ready", "nap": "ready", "a": "blocked", "b": "blocked"}
    mark(stage, run_id, "approval", {"by": "hand"})
    skip(stage, run_id, "nap")
    assert rounds(stage) == [["a", "b"]]
    assert stage.result(run_id) == {"by": "hand"}
    stage.advance(61)
    retry(stage, run_id, "approval")
    assert stage.statuses(run_id)["approval"] == "ready"
    assert stage.claim() == []
    mark(stage, run_id, "approval", 1)
    assert rounds(stage) == [["a"]]


def test_a_wait_that_had_not_begun_begins_when_its_parents_are_skipped(stage: Stage) -> None:
    run_id = stage.start(
        plan(
            node("a"), node("approval", 0, task="segue.wait_for", args='[["ok"],{}]', rule="none_failed"), node("b", 1)
        )
    )
    stage.work(fails("a"))
    skip(stage, run_id, "a")
    assert stage.statuses(run_id) == {"a": "skipped", "approval": "ready", "b": "blocked"}
    mark(stage, run_id, "approval")
    assert rounds(stage) == [["b"]]
