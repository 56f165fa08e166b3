"""Other arguments for a step that has not begun, or that is to be tried again."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import msgspec
import pytest

from segue.engine.reopening.edit import edit_step, with_new
from segue.errors import PlanError, RunStateError
from segue.model import Gather, Hole, Ref
from segue.plan import codec
from segue.plan.check import MAX_ARGUMENT_BYTES, Parameters
from tests.contract.by_hand import arguments, edit, fails, retry, say, skip, unknown
from tests.contract.stage import Stage, expanded, failed, node, plan, succeeded
from tests.contract.test_retry_from import grow, names, rounds


@pytest.fixture
def stage(lasting_stage: Stage) -> Iterator[Stage]:
    lasting_stage.renew()
    yield lasting_stage
    assert lasting_stage.is_sound()


def given(stage: Stage, name: str) -> Any:
    """What a step is called with; it succeeds."""
    [job] = stage.claim_named(name)
    stage.turn(succeeded(job))
    return msgspec.json.decode(job.args)


def test_a_step_that_has_not_begun(stage: Stage) -> None:
    run_id = stage.start(plan(node("a", args='[[1],{"x":2}]'), node("b", 0, args='[[1],{"x":2}]')))
    assert edit(stage, run_id, "a", 10, 20) == ("pending", True)
    assert edit(stage, run_id, "a", 10, 20) == ("pending", False)
    assert edit(stage, run_id, "b", x=3, y=[None]) == ("pending", True)
    assert given(stage, "a") == [[10, 20], {"x": 2}]
    assert given(stage, "b") == [[1], {"x": 3, "y": [None]}]


def test_a_failed_step_is_retried_with_them(stage: Stage) -> None:
    run_id = stage.start(plan(node("a", args='[["wrong"],{}]'), node("b", 0)))
    stage.work(fails("a"))
    assert edit(stage, run_id, "a", "right") == ("failed", True)
    assert stage.run(run_id).status == "failed"
    retry(stage, run_id)
    assert given(stage, "a") == [["right"], {}]
    assert names(stage) == ["b"]


def test_what_other_steps_fill_in_stays_where_nothing_else_stands(stage: Stage) -> None:
    holes = (Hole((0, 0), Ref(0)), Hole((0, 1, "deep"), Ref(0)), Hole((1, "x"), Ref(0)), Hole((1, "y", 0), Ref(0)))
    fed = node("b", 0, args='[[null,{"deep":null}],{"x":null,"y":[null]}]', holes=holes)
    for new, kept in (
        (arguments(x=1), [(0, 0), (0, 1, "deep"), (1, "y", 0)]),
        (arguments(y=1), [(0, 0), (0, 1, "deep"), (1, "x")]),
        (arguments(1), [(1, "x"), (1, "y", 0)]),
        (arguments(1, x=1, y=1), []),
        (arguments(z=1), [hole.where for hole in holes]),
    ):
        _, text = with_new(fed.args, codec.encode_holes(holes), new, name="b", task="b", parameters=unknown)
        assert [hole.where for hole in codec.decode_holes(text)] == kept
    run_id = stage.start(plan(node("a"), fed))
    edit(stage, run_id, "b", x="mine")
    assert names(stage) == ["a"]
    [job] = stage.claim()
    assert (msgspec.json.decode(job.args)[1]["x"], job.values) == ("mine", {0: '"a"'})
    stage.turn(succeeded(job))


def test_they_must_be_what_the_task_takes(stage: Stage) -> None:
    def takes(_: str) -> Parameters:
        return Parameters(
            ("path",), 0, ("path",), frozenset({"path", "width"}), False, False, "(path: str, *, width=1)"
        )

    run_id = stage.start(plan(node("a", args='[["x"],{}]')))
    for new in (arguments("x", "y"), arguments(depth=2), arguments("x", path="y")):
        with pytest.raises(PlanError, match=r"Call it as work\(path: str, \*, width=1\)"):
            say(stage, edit_step, run_id, step="a", new=new, parameters=takes)
    assert say(stage, edit_step, run_id, step="a", new=arguments(width=2), parameters=takes).changed
    with pytest.raises(PlanError, match="bytes and may be"):
        edit(stage, run_id, "a", "x" * MAX_ARGUMENT_BYTES)
    assert given(stage, "a") == [["x"], {"width": 2}]


def test_steps_that_cannot_be_given_others(stage: Stage) -> None:
    run_id = stage.start(
        plan(
            node("a"), node("b"), node("join", 0, 1, task=None, result=Gather(())), node("grown"),
            node("wait", task="segue.wait_for", args='[["ok"],{}]'),
            node("later", 4, task="segue.wait_for", args='[["ok"],{}]'),
        )
    )  # fmt: skip
    jobs = {job.name: job for job in stage.claim()}
    stage.turn(succeeded(jobs["a"]))
    stage.turn(expanded(jobs["grown"], plan(node("x"))))
    for step, why in (
        ("a", "it succeeded"), ("b", "it runs now"), ("join", "it is a join"), ("grown", "returned a plan"),
        ("wait", "it waits already"),
    ):  # fmt: skip
        with pytest.raises(RunStateError, match=why):
            edit(stage, run_id, step, 1)
    assert edit(stage, run_id, "later", "other").changed
    stage.turn(failed(jobs["b"], retryable=False))
    assert edit(stage, run_id, "b", 1).changed


def test_a_failed_plan_is_made_anew_with_them_by_a_retry_from_its_step(stage: Stage) -> None:
    run_id = stage.start(plan(node("grown", args="[[1],{}]")))
    grow(stage, "grown", node("x"))
    stage.work(fails("x"))
    edit(stage, run_id, "grown", 2)
    retry(stage, run_id, "grown")
    assert given(stage, "grown") == [[2], {}]
    assert stage.run(run_id).status == "succeeded"


def test_a_skipped_step_and_one_of_a_run_that_succeeded(stage: Stage) -> None:
    run_id = stage.start(plan(node("a"), node("b", 0)))
    skip(stage, run_id, "b")
    rounds(stage)
    assert edit(stage, run_id, "b", 1) == ("succeeded", True)
    retry(stage, run_id, "b")
    assert given(stage, "b") == [[1], {}]
