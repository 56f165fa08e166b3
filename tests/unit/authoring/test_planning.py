"""Compositions of other libraries become plans once their planner is registered."""

from __future__ import annotations

from typing import NamedTuple

import pytest
from msgspec.structs import replace

from segue.attempt import outcomes
from segue.authoring import chain, foreign, group, is_plan, register_planner, task, to_plan
from segue.errors import DefinitionError
from segue.model import Verdict
from segue.plan.graph import Plan
from tests.unit.authoring.plan_runner import run_plan


@task
def double(n: int) -> int:
    return n * 2


class Pipeline:
    """A composition as another library has it."""

    def __init__(self, first: int, times: int) -> None:
        self.first = first
        self.times = times


class Wrapped(NamedTuple):
    """A composition around another one."""

    inner: Pipeline


@pytest.fixture(autouse=True)
def planners(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(foreign, "_planners", [])
    register_planner(
        lambda work: isinstance(work, Pipeline),
        lambda work: chain(double.s(work.first), *(double.s() for _ in range(work.times - 1))),
    )
    register_planner(lambda work: isinstance(work, Wrapped), lambda work: to_plan(work.inner))


def test_a_foreign_composition_is_started_like_a_chain() -> None:
    assert run_plan(to_plan(Pipeline(1, times=3))) == 8


def test_a_planner_may_give_a_plan() -> None:
    made = to_plan(Wrapped(Pipeline(1, times=2)))
    assert isinstance(made, Plan)
    assert run_plan(made) == 4


def test_a_task_that_returns_one_is_replaced_by_it() -> None:
    assert is_plan(Pipeline(1, times=2))
    assert not is_plan(1)
    outcome = outcomes.returned(("run", 0, 1), Pipeline(1, times=2), task_name="elsewhere.pipeline")
    assert outcome.verdict == Verdict.EXPANDED


def test_it_has_its_arguments_already() -> None:
    with pytest.raises(DefinitionError, match="has its arguments already"):
        to_plan(Pipeline(1, times=2), 3)


def test_what_no_planner_knows_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(foreign, "_planners", [])
    assert not is_plan(Pipeline(1, times=2))
    with pytest.raises(DefinitionError):
        to_plan(Pipeline(1, times=2))


def test_a_composition_is_a_member_of_a_chain_or_a_group() -> None:
    assert run_plan(to_plan(chain(Pipeline(5, times=1), double.s()))) == 20
    assert run_plan(to_plan(group(Pipeline(5, times=2), double.s(1)))) == [20, 2]


def test_a_plan_is_a_member_that_waits_and_gets_no_result() -> None:
    made = to_plan(chain(double.s(1), Wrapped(Pipeline(5, times=2)), group(double.s(), double.si(3))))
    assert [node.parents for node in made.nodes] == [(), (0,), (1,), (2,), (2,)]
    assert [node.name for node in made.nodes] == [f"double[{number}]" for number in range(5)]
    assert run_plan(made) == [40, 6]


def test_a_plan_inside_is_not_about_a_whole_run() -> None:
    inner = replace(to_plan(double.s(1)), fail_fast=True)
    register_planner(lambda work: work == "inner", lambda _: inner)
    with pytest.raises(DefinitionError, match="fail_fast"):
        to_plan(chain("inner", double.s()))
