"""The key that a step has at its start is the one that its new arguments have after an edit: both find it alike."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from segue import Limit, chain, shell, task
from segue.authoring import to_plan
from segue.authoring.compose import Element
from segue.errors import SerializationError
from segue.model import Gather, Hole, Ref
from segue.plan.graph import KeyPart, Node
from segue.plan.key_sources import key_from
from segue.plan.lanes import close, is_open, lane_of, limit_key, needed_steps, read_lane, with_arguments, with_keys

texts = st.text(alphabet='ab/é\U0001f600"\\ ', max_size=60)
values = st.one_of(texts, st.integers(), st.none(), st.booleans(), st.lists(st.integers(), max_size=3))


@task(
    name="keys.keyed", fair_by="{region}", fair_weights={"a": 3},
    limits=[
        Limit("plain", 3), Limit("one", 1, key="customer"), Limit("two", 1, key="{order.customer}-{region}"),
        Limit("default", 1, key="kind"),
    ],
)  # fmt: skip
def keyed(customer: Any, order: dict[str, Any], region: Any = "eu", *, kind: Any = None) -> None: ...


@task(name="keys.made")
def made() -> Any: ...


calls = st.tuples(
    values, values, st.none() | values, st.none() | values, st.booleans(), st.booleans()
)  # customer, order.customer, region, kind, region by position, customer by name


def signature(call: tuple[Any, ...]) -> Element:
    customer, of_order, region, kind, region_by_position, by_name = call
    named: dict[str, Any] = {} if kind is None else {"kind": kind}
    order = {"customer": of_order, "other": 1}
    if by_name:
        named |= {"customer": customer, "order": order} | ({} if region is None else {"region": region})
        return keyed.si(**named)
    if region is not None and not region_by_position:
        named["region"] = region
    rest = (region,) if region is not None and region_by_position else ()
    return keyed.si(customer, order, *rest, **named)


@given(calls, calls)
def test_a_step_with_other_arguments_is_in_the_lane_of_one_started_with_them(
    before: tuple[Any, ...], after: tuple[Any, ...]
) -> None:
    [old], [new] = to_plan(signature(before)).nodes, to_plan(signature(after)).nodes
    moved = with_arguments(lane_of(old) or "", new.args, new.holes)
    assert read_lane(moved).uses == read_lane(lane_of(new) or "").uses
    assert read_lane(moved).share == read_lane(lane_of(new) or "").share
    assert with_keys(old) == old
    assert with_arguments(moved, old.args, old.holes).startswith("[")


@given(calls, st.sampled_from(["customer", "order", "inside"]))
def test_what_another_step_fills_in_is_part_of_the_key(call: tuple[Any, ...], where: str) -> None:
    filled: tuple[str | int, ...] = {"customer": (0, 0), "order": (0, 1), "inside": (0, 1, "customer")}[where]
    [node] = to_plan(signature((*call[:5], False))).nodes
    hole = (Hole(filled, Ref(7)),)
    opened = with_keys(msgspec.structs.replace(node, holes=hole))
    lane = lane_of(opened) or ""
    assert is_open(lane)
    assert needed_steps(lane) == {7}
    result = '{"customer":"late"}' if where == "order" else '"late"'
    closed = read_lane(close(lane, {7: result}))
    by_limit = {use.limit: use.key for use in closed.uses}
    assert by_limit["one"] == "late" if where == "customer" else by_limit["two"].startswith("late-")
    again = with_arguments(lane, node.args, ())  # as an edit, that fills in nothing any more
    assert is_open(again)  # so that it is closed when its turn comes, as it was to be
    assert close(again, {}) == lane_of(node)


def test_a_result_that_is_handed_on_is_found_by_its_place() -> None:
    plan = to_plan(chain(made.s(), keyed.s({"customer": "c"})))
    keys = {use.limit: use.key for use in plan.nodes[1].uses}
    assert keys["one"] == Gather((Ref(0),))
    assert with_keys(plan.nodes[1]) == plan.nodes[1]


def test_a_batch_has_what_all_of_its_items_share() -> None:
    plan = to_plan(keyed.map([1, 2, 3], batch=3, order={"customer": "c"}, region="us", customer="x", kind="k"))
    node = plan.nodes[0]
    assert {use.limit: limit_key(use) for use in node.uses}["two"] == "c-us"
    assert with_keys(node) == node


def test_where_nothing_is_the_key_cannot_be_told() -> None:
    [node] = to_plan(keyed.si("c", {"customer": "d"})).nodes
    lane = lane_of(node) or ""
    with pytest.raises(SerializationError, match=r"\.customer of 5"):
        with_arguments(lane, '[["c",5],{}]', ())
    with pytest.raises(SerializationError, match="no argument is given at customer or 0"):
        with_arguments(lane, '[[],{"order":{"customer":1}}]', ())


def test_keys_that_do_not_come_from_arguments_stay() -> None:
    [node] = to_plan(shell("true").options(limits=[Limit("plain", 3)])).nodes
    lane = lane_of(node) or ""
    assert with_arguments(lane, '[["other"],{}]', ()) == lane
    source = (KeyPart("", ((0, 0),)),)
    assert key_from(source, '[["x"],{}]', ()) == key_from((KeyPart("x"),), "[[],{}]", ())


def test_two_keys_of_one_limit_that_were_the_same_part_again() -> None:
    @task(name="keys.both", limits=[Limit("pair", 1, key="a"), Limit("pair", key="b")])
    def both(a: str, b: str) -> None: ...

    [node] = to_plan(both.si("x", "x")).nodes
    lane = lane_of(node) or ""
    assert [use.key for use in read_lane(lane).uses] == ["x"]
    assert [use.key for use in read_lane(with_arguments(lane, '[["x","y"],{}]', ())).uses] == ["x", "y"]


def test_a_lane_without_sources_is_as_older_versions_wrote_it() -> None:
    assert lane_of(Node("s", "app.t", cost=2)) == '["app.t",2,[],null,1.0]'
