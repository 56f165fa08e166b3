"""What a claim cannot make out fails the step that needs it, in every place where the engine composes values.

A path that leads nowhere is the user's mistake and may stand behind anything: an argument, a condition, a hook, a plan
that a task returned, a join that two steps share, the key of a limit, a wait. Whatever it is, one step fails, it says
which path, the turn goes through, and what was reported in it stays as it was.
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import product
from typing import Any

import pytest

from segue.engine.views.look import run_result
from segue.errors import SerializationError
from segue.model import RUN, SLEEP, WAIT_FOR, Gather, Hole, Hook, Mapping, Ref, Span
from segue.plan.graph import LimitUse, Plan
from tests.contract.stage import Stage, connect, expanded, node, plan, succeeded

GONE = Ref(0, ("gone",))
PATHS = {
    "a key": GONE, "an index": Ref(0, (7,)), "deep": Ref(0, ("rows", 0, "x")), "in a list": Gather((Ref(0), GONE)),
    "in an object": Mapping(("a", "b"), (GONE, Ref(0))), "of what is null": Ref(1, ("rows",)),
}  # fmt: skip
RESULTS = {"a dict": {"rows": [1]}, "null": None, "a text": "rows", "a number": 3, "a list": [1, 2]}


def argument(expr: Any) -> dict[str, Any]:
    return {"args": "[[null],{}]", "holes": (Hole((0, 0), expr),)}


DAMAGED = (
    '["ref",2]', '["ref",3]', '["gather",[["ref",2],["ref",3]]]', '["span",0,99999999999]', '["ref",99999999999]', "{",
)  # fmt: skip
"""What may stand where a join says what its value is: itself, each other, more steps than there are, no JSON."""

PLACES: dict[str, Callable[[Any], Plan]] = {
    "behind a join": lambda path: plan(
        node("a"), node("b"), node("join", 0, 1, task=None, result=path), node("use", 2, **argument(Ref(2)))
    ),
    "behind two joins": lambda path: plan(
        node("a"), node("b"), node("j", 0, 1, task=None, result=path), node("k", 2, task=None, result=Ref(2)),
        node("use", 3, **argument(Ref(3))),
    ),
    "in a condition": lambda path: plan(node("a"), node("b"), node("use", 0, 1, when=path)),
    "in a hook": lambda path: plan(
        node("a"), node("b"), node("use", hook=Hook.ON_SUCCESS, **argument(Ref(RUN))), result=path
    ),
    "in a sleep": lambda path: plan(node("a"), node("b"), node("use", 0, 1, task=SLEEP, **argument(path))),
    "in a wait": lambda path: plan(node("a"), node("b"), node("use", 0, 1, task=WAIT_FOR, **argument(path))),
    "in a wait behind a join": lambda path: plan(
        node("a"), node("b"), node("join", 0, 1, task=None, result=path), node("use", 2, task=WAIT_FOR,
        **argument(Ref(2))),
    ),
    "in the key of a limit": lambda path: plan(
        node("a"), node("b"), node("use", 0, 1, uses=(LimitUse("limit", path, 1),))
    ),
}  # fmt: skip


def test_a_path_that_leads_nowhere_fails_the_step_that_needs_it(stage: Stage) -> None:
    """All of them in the same turns, beside a run that is sound."""
    kinds = list(product(PLACES, PATHS, RESULTS))
    ids = stage.engine.start([(PLACES[place](PATHS[path]), None) for place, path, _ in kinds])
    sick = {run_id: (kind, RESULTS[kind[2]]) for run_id, kind in zip(ids, kinds, strict=True)}
    sound = stage.start(plan(node("a"), node("b", 0)))
    for _ in range(6):
        jobs = stage.claim(want=1000)
        stage.turn(
            *[succeeded(job, sick[job.run_id][1] if job.run_id in sick and job.name == "a" else None) for job in jobs]
        )
    assert stage.run(sound).status == "succeeded"
    for run_id, what in sick.items():
        use = stage.step(run_id, "use")
        assert stage.run(run_id).status == "failed", what
        assert {stage.step(run_id, name).status for name in ("a", "b")} == {"succeeded"}  # who reported beside it
        assert use.status == "failed", what
        assert use.error is not None
        assert use.error.type == "SerializationError", use.error


def test_a_plan_that_a_task_returned_may_lead_nowhere(stage: Stage) -> None:
    sick, sound = stage.start(plan(node("a"), node("use", 0, **argument(Ref(0))))), stage.start(plan(node("x")))
    inner = plan(node("f"), result=GONE)
    stage.work({"a": lambda job: expanded(job, inner), "f": lambda job: succeeded(job, {"rows": 1})})
    error = stage.step(sick, "use").error
    assert stage.run(sound).status == "succeeded"
    assert stage.run(sick).status == "failed"
    assert error is not None
    assert "['gone']" in error.message


def test_a_result_that_cannot_be_made_out_says_so_to_who_asks(stage: Stage) -> None:
    run_id = stage.start(plan(node("a"), result=GONE))
    stage.work({"a": lambda job: succeeded(job, {"rows": 1})})
    with stage.engine.reading() as tx, pytest.raises(SerializationError, match="gone"):
        run_result(tx, run_id)


def test_damaged_joins_end_in_an_error_and_not_in_a_circle(stage: Stage) -> None:
    joined = plan(
        node("a"), node("b", 0), node("j", 0, task=None, result=Ref(0)), node("k", 2, task=None, result=Ref(2)),
        node("use", 1, 3, **argument(Span(2, 3))),
    )  # fmt: skip
    ids = [stage.start(joined) for _ in DAMAGED]
    jobs = stage.claim(want=100)
    with connect(stage.store.url) as connection:
        mark = "?" if stage.store.dialect == "sqlite" else "%s"
        change = f"UPDATE segue_steps SET result_expr = {mark} WHERE run_id = {mark} AND name IN ('j', 'k')"
        for run_id, expr in zip(ids, DAMAGED, strict=True):
            connection.execute(change, [expr, run_id])
        connection.commit()
    stage.turn(*[succeeded(job, 1) for job in jobs])
    stage.work({})
    for run_id, expr in zip(ids, DAMAGED, strict=True):
        assert stage.run(run_id).status.is_final
        assert (stage.step(run_id, "use").status == "failed") == (expr != '["ref",99999999999]'), expr
