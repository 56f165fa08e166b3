"""Every problem of a plan, listed at once with its node and its remedy."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from datetime import datetime, timedelta, timezone
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from segue.errors import PlanError
from segue.model import RUN, Hole, Policy, Ref, Span
from segue.plan.check import MAX_NODES, MAX_PROBLEMS, Parameters, check, find_problems
from segue.plan.graph import Node, Plan

pytestmark = pytest.mark.unit
NEW_YORK = timezone(timedelta(hours=-5))


def parameters_of(fn: Callable[..., Any]) -> Parameters:
    return Parameters.of(inspect.signature(fn))


def anything(name: str) -> None:
    return None


def plan_of(*nodes: Node) -> Plan:
    return Plan("p", nodes)


def test_a_sound_plan_passes() -> None:
    plan = Plan("p", (Node(name="a", task="t"), Node(name="b", task=None, parents=(0,), result=Ref(0))), Ref(1))
    check(plan, parameters=anything, is_known=lambda _: True)


@pytest.mark.parametrize(
    "node, what",
    [
        (Node(name="a", task="t"), "the same name"),
        (Node(name="", task="t"), "is empty"),
        (Node(name="b", task="t", priority=10), "priority is 10"),
        (Node(name="b", task="t", queue=""), "queue"),
        (Node(name="b", task="t", delay=-1), "delay is -1"),
        (Node(name="b", task="t", delay=float("nan")), "delay is nan"),
        (Node(name="b", task="t", run_at=datetime(2026, 1, 1)), "time zone"),  # noqa: DTZ001 - that is the mistake
        (Node(name="b", task="t", run_at=datetime(9999, 12, 31, 23, tzinfo=NEW_YORK)), "out of range"),
        (Node(name="b", task="t", policy=Policy(timeout=0)), "timeout"),
        (Node(name="b", task="t", policy=Policy(retries=-1)), "retries"),
        (Node(name="b", task="t", policy=Policy(retry_factor=0.5)), "retry_factor"),
        (Node(name="b", task="t", policy=Policy(retry_jitter=2)), "retry_jitter"),
        (Node(name="b", task="t", parents=(1,)), "waits for itself"),
        (Node(name="b", task="t", parents=(7,)), "step 7, which is later"),
        (Node(name="b", task="t", parents=(RUN,)), "not there"),
        (Node(name="b", task="t", parents=(0, 0)), "twice"),
        (Node(name="b", task="t", when=Ref(5)), "step 5"),
        (Node(name="b", task="t", args="[[null],{}]", holes=(Hole((0, 0), Ref(RUN)),)), "is not a hook"),
        (Node(name="b", task=None, result=Span(0, 1)), "step 1"),
        (Node(name="b", task=None, args="[[1],{}]"), "is a join and has arguments"),
        (Node(name="b", task="t", args="[1]"), "are not JSON"),
        (Node(name="b", task="nobody"), "no task is called 'nobody'"),
    ],
)
def test_each_mistake_is_found(node: Node, what: str) -> None:
    with pytest.raises(PlanError) as caught:
        check(plan_of(Node(name="a", task="t"), node), parameters=anything, is_known=lambda name: name == "t")
    (problem,) = caught.value.problems
    assert what in problem.what
    assert problem.remedy


def test_all_problems_are_listed_together_and_not_without_end() -> None:
    nodes = tuple(Node(name=f"n{i}", task="t", priority=11) for i in range(MAX_PROBLEMS + 50))
    problems = find_problems(Plan("p", nodes, Ref(10_000)), anything)
    assert problems[0].node == "(result)"
    assert len(problems) == MAX_PROBLEMS + 1
    assert problems[-1].what == "and 51 more problems"


def test_a_plan_may_be_too_large() -> None:
    node = Node(name="a", task="t")
    (problem,) = find_problems(Plan("p", (node,) * (MAX_NODES + 1)), anything)
    assert "1,000,001 steps" in problem.what


def test_a_shape_of_arguments_is_compared_once() -> None:
    asked: list[int] = []

    class Counting(msgspec.Struct):
        text: str = "()"
        positional: tuple[str, ...] = ()

        def mistake(self, count: int, names: Any) -> str | None:
            asked.append(count)
            return None

    takes: Any = Counting()
    nodes = tuple(Node(name=f"n{i}", task="t", args=f"[[{i}],{{}}]") for i in range(100))
    assert find_problems(Plan("p", nodes), lambda _: takes) == []
    assert asked == [1]


def positional(a: int, b: int = 2, /) -> None: ...
def mixed(a: int, b: int = 2, *, c: int, d: int = 4) -> None: ...
def open_ended(a: int, *rest: int, **more: int) -> None: ...
def empty() -> None: ...


@given(
    st.sampled_from([positional, mixed, open_ended, empty]),
    st.integers(0, 4),
    st.sets(st.sampled_from("abcdx")),
)
def test_arguments_fit_exactly_when_python_says_so(fn: Callable[..., None], count: int, names: set[str]) -> None:
    try:
        inspect.signature(fn).bind(*range(count), **dict.fromkeys(names, 0))
        fits = True
    except TypeError:
        fits = False
    assert (parameters_of(fn).mistake(count, sorted(names)) is None) == fits
