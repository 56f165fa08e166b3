"""Plans as text and back, renumbered, and what expressions stand for."""

from __future__ import annotations

import json
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from segue.errors import PlanError
from segue.model import RUN, Expr, Gather, Hole, Hook, JoinRule, Mapping, Policy, Ref, Span, Value
from segue.plan.codec import (
    decode,
    decode_expr,
    decode_holes,
    encode,
    encode_expr,
    encode_holes,
    evaluate,
    shift,
    shift_expr,
    steps_in,
)
from segue.plan.graph import Node, Plan

pytestmark = pytest.mark.unit

RESULTS = {step: json.dumps({"n": step, "list": [step, None]}) for step in range(8)}


def expressions() -> st.SearchStrategy[Expr]:
    steps = st.integers(0, 7)
    leaves: st.SearchStrategy[Any] = st.one_of(
        st.builds(Ref, steps, st.sampled_from([(), ("n",), ("list", 0), ("list", -1)])),
        st.tuples(steps, steps).map(lambda pair: Span(min(pair), max(pair))),
        st.integers().map(lambda n: Value(msgspec.Raw(str(n).encode()))),
    )
    return st.recursive(
        leaves,
        lambda inner: st.one_of(
            st.lists(inner, max_size=3).map(lambda items: Gather(tuple(items))),
            st.dictionaries(st.text(), inner, max_size=3).map(lambda d: Mapping(tuple(d), tuple(d.values()))),
        ),
        max_leaves=8,
    )


def directly(expr: Expr) -> Any:
    match expr:
        case Ref():
            value = json.loads(RESULTS[expr.step])
            for key in expr.path:
                value = value[key]
            return value
        case Span():
            return [json.loads(RESULTS[step]) for step in range(expr.first, expr.last + 1)]
        case Value():
            return json.loads(bytes(expr.json))
        case Gather():
            return [directly(item) for item in expr.items]
        case Mapping():
            return {key: directly(item) for key, item in zip(expr.keys, expr.items, strict=True)}


@given(expressions())
def test_an_expression_stands_for_what_its_parts_say(expr: Expr) -> None:
    assert json.loads(evaluate(expr, RESULTS)) == directly(expr)
    assert json.loads(evaluate(decode_expr(encode_expr(expr)), RESULTS)) == directly(expr)


@given(expressions(), st.integers(0, 1000))
def test_a_shifted_expression_means_the_same_among_shifted_steps(expr: Expr, base: int) -> None:
    moved = shift_expr(expr, base)
    assert json.loads(evaluate(moved, {step + base: text for step, text in RESULTS.items()})) == directly(expr)
    assert list(steps_in(moved)) == [step + base for step in steps_in(expr)]


def test_a_missing_step_counts_as_null() -> None:
    assert evaluate(Span(0, 2), {1: "5"}) == "[null,5,null]"


def full_plan() -> Plan:
    nodes = (
        Node(name="a", task="m.a", args='[[1],{"k":null}]', policy=Policy(retries=2), queue="net", priority=9),
        Node(name="join", task=None, parents=(0,), result=Span(0, 0), rule=JoinRule.ALL_DONE),
        Node(
            name="b",
            task="m.b",
            args="[[null],{}]",
            holes=(Hole((0, 0), Ref(0, ("x", 1))),),
            parents=(0, 1),
            when=Ref(1),
            delay=2.5,
        ),
        Node(name="h", task="m.h", args="[[null],{}]", holes=(Hole((0, 0), Ref(RUN)),), hook=Hook.FINALLY),
    )
    return Plan("p", nodes, Ref(2), fail_fast=True)


def test_a_plan_comes_back_as_it_was() -> None:
    assert decode(encode(full_plan())) == full_plan()
    holes = full_plan().nodes[2].holes
    assert decode_holes(encode_holes(holes)) == holes
    assert (encode_holes(()), decode_holes(None)) == (None, ())


def test_defaults_are_left_out() -> None:
    assert json.loads(encode(Plan("p", (Node(name="a", task="m.a"),)))) == {
        "name": "p",
        "nodes": [{"name": "a", "task": "m.a"}],
    }


def test_a_shifted_plan_refers_to_shifted_steps_and_still_to_the_run() -> None:
    moved = shift(full_plan(), 100)
    assert [node.parents for node in moved.nodes] == [(), (100,), (100, 101), ()]
    assert moved.nodes[1].result == Span(100, 100)
    assert moved.nodes[2].holes[0].what == Ref(100, ("x", 1))
    assert moved.nodes[2].when == Ref(101)
    assert moved.nodes[3].holes[0].what == Ref(RUN)
    assert moved.result == Ref(102)
    assert shift(moved, -100) == full_plan()


@pytest.mark.parametrize(
    "text", ["", "{", "[]", '{"name":"p"}', '{"name":"p","nodes":[{"name":1,"task":null}]}', "\ud800"]
)
def test_text_that_is_no_plan_says_where(text: str) -> None:
    with pytest.raises(PlanError, match="cannot be read"):
        decode(text)
