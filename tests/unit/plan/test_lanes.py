"""Lanes: the same needs give the same text, whatever the order; keys are bounded; open lanes are closed by results."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from segue.errors import SerializationError
from segue.model import RUN, SLEEP, Gather, Ref, Value
from segue.plan.graph import FairShare, LimitUse, Node
from segue.plan.lanes import (
    LONGEST_KEY_BYTES,
    Lane,
    Use,
    bounded,
    close,
    is_open,
    lane_of,
    lane_problem,
    needed_steps,
    read_lane,
)


def value(thing: Any) -> Value:
    return Value(msgspec.Raw(msgspec.json.encode(thing)))


def step(*uses: LimitUse, **fields: Any) -> Node:
    return Node("s", "app.work", uses=uses, **fields)


def read(node: Node) -> Lane:
    text = lane_of(node)
    assert text is not None
    return read_lane(text)


def test_a_step_without_limits_has_no_lane() -> None:
    assert lane_of(step()) is None
    assert lane_of(Node("j", None, cost=3)) is None
    assert lane_of(Node("s", SLEEP, cost=3)) is None


def test_a_lane_says_what_the_step_needs() -> None:
    node = step(LimitUse("b", value("x"), 2), LimitUse("a"), share=FairShare(value(7), 3.0), cost=4)
    assert read(node) == Lane("app.work", 4, (Use("a", "", 1), Use("b", "x", 2)), "7", 3.0)


def test_the_order_in_which_limits_are_named_makes_no_difference() -> None:
    a, b = LimitUse("a"), LimitUse("b", value("x"))
    assert lane_of(step(a, b)) == lane_of(step(b, a))
    assert lane_of(step(a, a)) == lane_of(step(a))


@pytest.mark.parametrize(
    "given, text", [("x", "x"), (7, "7"), (True, "true"), (None, "null"), ({"b": 1, "a": [2]}, '{"a":[2],"b":1}')]
)
def test_keys_are_text(given: object, text: str) -> None:
    assert read(step(LimitUse("a", value(given)))).uses[0].key == text


@pytest.mark.parametrize("key", ["x" * 500, "é" * 90, '"' * 60, "a\0b", "\n" * 99])
def test_long_and_odd_keys_are_shortened_and_told_apart(key: str) -> None:
    assert len(msgspec.json.encode(bounded(key))) <= LONGEST_KEY_BYTES
    assert "\0" not in bounded(key)
    assert bounded(key) == bounded(key) != bounded(key + "x")
    assert bounded(bounded(key)) == bounded(key)


def test_short_keys_stay_as_they_are() -> None:
    assert bounded("customer 7/é") == "customer 7/é"
    assert bounded("") == ""


def test_a_lane_that_depends_on_results_is_open_until_these_are_there() -> None:
    key = Gather((Ref(1, ("id",)), value("/"), Ref(2)))
    turns = FairShare(Gather((Ref(2),)), 1.0, {"gold": 3.0})
    text = lane_of(step(LimitUse("a", key), share=turns))
    assert text is not None
    assert is_open(text)
    assert needed_steps(text) == {1, 2}
    closed = close(text, {1: '{"id":7}', 2: '"gold"'})
    assert not is_open(closed)
    assert read_lane(closed) == Lane("app.work", 1, (Use("a", "7/gold", 1),), "gold", 3.0)
    assert read_lane(close(text, {1: '{"id":7}', 2: "5"})).weight == 1.0
    with pytest.raises(SerializationError, match="id"):
        close(text, {1: "[]", 2: "1"})


def test_steps_of_a_plan_that_a_task_returned_inherit_its_turn_and_nothing_else() -> None:
    above = lane_of(step(LimitUse("a"), share=FairShare(value("tenant"), 2.0), cost=3))
    inherited = lane_of(Node("s", "app.other"), above)
    assert inherited is not None
    assert read_lane(inherited) == Lane("app.other", 1, (), "tenant", 2.0)
    own = lane_of(Node("s", "app.other", share=FairShare(value("mine"))), above)
    assert own is not None
    assert read_lane(own).share == "mine"
    assert lane_of(Node("s", "app.other"), lane_of(step(LimitUse("a")))) is None


@pytest.mark.parametrize(
    "node, wrong",
    [
        (step(cost=0), "less than 1"),
        (step(LimitUse("a", None, 0)), "less than 1"),
        (step(*[LimitUse(f"l{number}") for number in range(6)]), "6 limits; the maximum is 5"),
        (step(LimitUse("")), "is empty"),
        (step(LimitUse("x" * 101)), "may have 100"),
        (step(share=FairShare(value("a"), 0.0)), "its weight is 0.0"),
        (step(LimitUse("a", Gather((Ref(RUN),)))), "depends on the outcome of the run"),
        (Node("s", "t" * 1900, uses=(LimitUse("a"),)), "bytes too long"),
    ],
)
def test_what_makes_no_sense_is_found(node: Node, wrong: str) -> None:
    found = lane_problem(node)
    assert found is not None
    assert wrong in found


def test_what_makes_sense_has_no_problem() -> None:
    assert lane_problem(step(LimitUse("a"), LimitUse("task:" + "t" * 200), share=FairShare(value("x")))) is None
