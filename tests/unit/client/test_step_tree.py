"""Steps become a tree: by scope, by name, large groups folded, however deep it goes."""

from __future__ import annotations

from typing import Any

from segue.client.step_tree import FOLD_FROM, MOST_LEVELS, Branch, grow
from segue.engine.views.look import StepInfo
from segue.model import RUN, StepStatus


def step(number: int, name: str, *, scope: int = RUN, status: str = "succeeded", **fields: Any) -> StepInfo:
    values: dict[str, Any] = dict.fromkeys(StepInfo.__struct_fields__)
    values |= {
        "step": number, "name": name, "scope": scope, "status": StepStatus(status), "task": "t", "is_join": False,
        "children": (), "queue": "default", "priority": 5, "attempt": 1, "failures": 0, "losses": 0, "waiting_on": 0,
        "cancel_requested": False,
    }  # fmt: skip
    return StepInfo(**values | fields)


def outline(branches: list[Branch], indent: int = 0) -> list[str]:
    lines = []
    for branch in branches:
        lines += [" " * indent + branch.label, *outline(branch.below, indent + 1)]
    return lines


def test_what_a_task_returned_stands_under_it() -> None:
    steps = [step(0, "extract"), step(1, "count.map"), step(2, "total"), step(3, "count[0]", scope=1)]
    assert outline(grow(steps)) == ["extract", "count.map", " count[0]", "total"]


def test_a_sub_workflow_is_a_branch_of_its_name() -> None:
    steps = [step(0, "day[0]/a"), step(1, "day[0]/b"), step(2, "day[1]/a"), step(3, "end")]
    assert outline(grow(steps)) == ["day[0]", " a", " b", "day[1]", " a", "end"]


def test_large_groups_are_folded_unless_all_is_wanted() -> None:
    steps = [step(number, f"parse[{number}]") for number in range(FOLD_FROM)]
    [folded] = grow(steps)
    assert folded.label == f"parse[0] … parse[{FOLD_FROM - 1}]"
    assert folded.counts() == {"succeeded": FOLD_FROM}
    assert len(grow(steps, fold=False)) == FOLD_FROM
    assert len(grow(steps[1:])) == FOLD_FROM - 1


def test_two_groups_side_by_side_are_folded_apart() -> None:
    names = [f"{name}[{number}]" for name in ("a", "b") for number in range(FOLD_FROM)]
    assert [branch.label for branch in grow(step(i, name) for i, name in enumerate(names))] == [
        f"a[0] … a[{FOLD_FROM - 1}]",
        f"b[0] … b[{FOLD_FROM - 1}]",
    ]


def test_a_folded_group_shows_what_most_needs_to_be_seen() -> None:
    statuses = ["succeeded"] * FOLD_FROM + ["ready", "running"]
    [folded] = grow(step(number, f"x[{number}]", status=status) for number, status in enumerate(statuses))
    assert folded.status is StepStatus.RUNNING
    statuses.append("failed")
    [folded] = grow(step(number, f"x[{number}]", status=status) for number, status in enumerate(statuses))
    assert folded.status is StepStatus.FAILED


def test_joins_that_nobody_runs_are_left_out() -> None:
    assert outline(grow([step(0, "a"), step(1, "join", task=None, is_join=True), step(2, "b")])) == ["a", "b"]


def test_ten_thousand_plans_in_plans_are_drawn() -> None:
    steps = [step(0, "loop")] + [step(number, "loop", scope=number - 1) for number in range(1, 10_000)]
    branches = grow(steps)
    depth = 0
    while branches:
        depth += 1
        branches = branches[0].below
    assert depth == MOST_LEVELS + 1
    assert sum(1 for branch in grow(steps) for _ in branch.steps()) == 10_000


def test_steps_whose_origin_was_not_looked_at_are_not_lost() -> None:
    assert outline(grow([step(7, "late", scope=3)])) == ["late"]
