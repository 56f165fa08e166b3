"""Canvases, workflows and values inside each other: they work, or are refused with a reason, however deep they are."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from segue import Segue, chain, errors, group, task, workflow
from segue.authoring import Element, to_plan
from segue.authoring.trace import MAX_DEPTH
from segue.model import Gather, Ref
from segue.plan import codec
from segue.plan.check import MAX_NESTING, find_problems
from segue.plan.graph import Node, Plan
from tests.unit.authoring.plan_runner import run_plan

pytestmark = pytest.mark.property


@task(name="nesting.one")
def one(*given: Any) -> int:
    return 1


@workflow(name="nesting.listing")
def listing(inner: Any) -> Any:
    return {"inner": [inner()]}


WRAPPERS: dict[str, Callable[[Element], Any]] = {
    "group": lambda inner: group(inner),
    "wide group": lambda inner: group(one.s(), inner, one.s()),
    "chain": lambda inner: chain(one.s(), inner),
    "pipe": lambda inner: inner | one.s(),
    "chain of group": lambda inner: chain(one.s(), group(inner, one.s()), one.s()),
    "options": lambda inner: inner.options(),
    "listing": lambda inner: listing.si(inner),
    "after": lambda inner: chain(one.s(), listing.si(inner), one.s()),
}


def wrapped(layers: list[tuple[str, int]]) -> Any:
    made: Any = one.s()
    for name, times in layers:
        for _ in range(times):
            made = WRAPPERS[name](made)
    return made


LAYERS = st.lists(st.tuples(st.sampled_from(list(WRAPPERS)),
                            st.sampled_from([1, 2, 3, 50, 99, 201, 1000])), min_size=1, max_size=3)  # fmt: skip


@settings(deadline=None, max_examples=60)
@given(LAYERS)
@example([("group", 1000)])
@example([("pipe", 1000), ("group", MAX_NESTING)])
@example([("listing", MAX_DEPTH), ("group", MAX_NESTING)])
@example([("chain of group", MAX_NESTING), ("listing", MAX_DEPTH)])
@example([("after", 1000)])
def test_however_deep_it_is_a_plan_or_a_reason(layers: list[tuple[str, int]]) -> None:
    try:
        made = wrapped(layers)
        plan = to_plan(made)
    except (errors.DefinitionError, errors.PlanError):
        return
    assert len(repr(made)) < 1_000_000
    moved = codec.shift(codec.decode(codec.encode(plan)), 7)
    assert len(moved.nodes) == len(plan.nodes)
    assert max(len(node.name) for node in plan.nodes) <= 500
    if len(plan.nodes) < 300:
        run_plan(plan)


@pytest.mark.parametrize(
    "layers",
    [[("group", MAX_NESTING)], [("chain of group", MAX_NESTING)], [("pipe", 1000)], [("listing", MAX_DEPTH // 2)]],
)
def test_what_is_accepted_runs(sqlite_url: str, layers: list[tuple[str, int]]) -> None:
    with Segue(sqlite_url) as segue:
        assert segue.run(wrapped(layers)) is not None


def test_workflows_are_nested_a_hundred_deep(sqlite_url: str) -> None:
    @workflow(name="nesting.deeper_and_deeper_and_deeper")
    def deeper(levels: int) -> Any:
        return deeper(levels - 1) if levels else one()

    with Segue(sqlite_url) as segue:
        assert segue.run(deeper, MAX_DEPTH) == 1
        with pytest.raises(errors.DefinitionError, match="100 deep"):
            segue.start(deeper, MAX_DEPTH + 1)


@pytest.mark.parametrize("levels", [1, MAX_NESTING - 1, MAX_NESTING + 1, 700, 5000])
@pytest.mark.parametrize("place", ["result", "argument", "when", "plain result", "plain argument"])
def test_values_inside_values(levels: int, place: str) -> None:
    @workflow(name="nesting.values")
    def values() -> Any:
        value: Any = 1 if "plain" in place else one()
        for level in range(levels):
            value = [value] if level % 2 else {"in": value}
        if place == "when":
            return one.options(when=value)()
        return value if "result" in place else one(value)

    try:
        plan = to_plan(values)
    except (errors.DefinitionError, errors.PlanError, errors.SerializationError):
        assert levels > MAX_NESTING - 1
        return
    codec.shift(codec.decode(codec.encode(plan)), 7)
    assert levels <= MAX_NESTING or "plain" in place


def test_a_function_that_calls_itself_for_ever_is_told_so() -> None:
    def again(level: int) -> Any:
        return again(level + 1)

    @workflow(name="nesting.endless")
    def endless() -> Any:
        return again(0)

    with pytest.raises(errors.DefinitionError, match="calls itself forever"):
        to_plan(endless)


def test_a_plan_made_by_hand_is_checked_and_read_without_recursion() -> None:
    deep: Any = Ref(0)
    for _ in range(100_000):
        deep = Gather((deep,))
    plan = Plan("deep", (Node("a", "nesting.one"), Node("b", None, parents=(0,), result=deep)), deep)
    said = [problem.what for problem in find_problems(plan, lambda _: None)]
    assert said == ["it needs results that are nested 100000 lists deep; the limit is 200"] * 2
    while isinstance(deep, Gather):  # let go of it from the outside in: Python does not
        deep = deep.items[0]
    text = '{"name":"a","nodes":[],"result":' + '["list",[' * 5000 + "]]" * 5000 + "}"
    with pytest.raises(errors.PlanError):
        codec.decode(text)
