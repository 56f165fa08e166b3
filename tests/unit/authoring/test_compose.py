"""Chains and groups: what plan they become, and that results keep their shape however they are nested."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from segue.authoring import Chain, Group, Signature, chain, group, task, to_plan
from segue.errors import DefinitionError, PlanError
from segue.model import Gather, Ref, Span
from segue.plan import codec
from tests.unit.authoring.plan_runner import run_plan

pytestmark = pytest.mark.unit


@task
def note(*received: Any) -> list[Any]:
    """What it was given, so that results tell how they came about."""
    return list(received)


@task
def one(x: int) -> int:
    return x


@task
def none() -> None:
    return None


def elements() -> st.SearchStrategy[Any]:
    leaves = st.one_of(
        st.integers(0, 9).map(lambda n: note.s(n)),
        st.integers(0, 9).map(lambda n: note.si(n)),
        st.just(note),
    )
    return st.recursive(
        leaves,
        lambda inner: st.one_of(
            st.lists(inner, min_size=1, max_size=4).map(lambda items: chain(*items)),
            st.lists(inner, max_size=4).map(lambda items: Group(items)),
        ),
        max_leaves=20,
    )


NOTHING = object()


def directly(element: Any, previous: Any = NOTHING) -> Any:
    """What a chain or group means, said as a plain recursion."""
    match element:
        case Signature():
            fed = [] if previous is NOTHING or element.immutable else [previous]
            return [*fed, *element.args]
        case Chain():
            for item in element.elements:
                previous = directly(item, previous)
            return previous
        case Group():
            return [directly(member, previous) for member in element.members]
        case _:
            return directly(element.s(), previous)


@given(elements())
def test_any_nesting_gives_what_direct_evaluation_gives(element: Any) -> None:
    plan = to_plan(chain(element))
    assert run_plan(plan) == directly(element)
    assert run_plan(codec.decode(codec.encode(plan))) == directly(element)


@given(elements(), elements())
def test_an_element_begins_when_all_before_it_is_over(first: Any, second: Any) -> None:
    count = len(to_plan(chain(first)).nodes)
    plan = to_plan(chain(first, second, none.si()))
    before: list[set[int]] = []
    for node in plan.nodes:
        before.append(set(node.parents).union(*(before[parent] for parent in node.parents)))
    for number in range(count, len(plan.nodes)):
        if plan.nodes[number].task is not None:
            assert before[number].issuperset(range(count))


@pytest.mark.parametrize("n", [0, 1, 2, 5])
def test_a_group_of_n_gives_a_list_of_n(n: int) -> None:
    assert run_plan(to_plan(group(one.s(i) for i in range(n)))) == list(range(n))
    assert run_plan(to_plan(chain(group(one.s(i) for i in range(n)), note.s()))) == [list(range(n))]


def test_a_group_after_a_group_goes_through_one_join() -> None:
    plan = to_plan(chain(group(note.s(i) for i in range(30)), group(note.s() for _ in range(40)), note.s()))
    assert len(plan.nodes) == 30 + 1 + 40 + 1
    assert sum(len(node.parents) for node in plan.nodes) == 30 + 40 + 40
    join = plan.nodes[30]
    assert (join.task, join.result) == (None, Span(0, 29))


def test_a_rule_that_must_see_the_steps_themselves_is_not_given_a_join() -> None:
    plan = to_plan(chain(group(note.s(), note.s()), group(note.si().options(rule="any_failed"), note.s())))
    by_rule = {node.rule.value: node for node in plan.nodes if node.parents}
    assert by_rule["any_failed"].parents == (0, 1)


def test_an_empty_group_does_not_break_the_order() -> None:
    plan = to_plan(chain(note.s(1), group(), note.s()))
    assert plan.nodes[1].parents == (0,)
    assert run_plan(plan) == [[]]


def test_results_of_consecutive_members_are_a_span_and_others_a_list() -> None:
    assert to_plan(group(one.s(1), one.s(2))).result == Span(0, 1)
    assert to_plan(group(one.s(1))).result == Gather((Ref(0),))
    assert to_plan(group(one.s(2), chain(one.s(1), one.s()))).result == Gather((Ref(0), Ref(2)))


def test_a_bar_makes_a_chain() -> None:
    made = one.s(3) | note.s() | group(note.s(), note.si())
    assert isinstance(made, Chain)
    assert run_plan(to_plan(made)) == [[[3]], []]


def test_steps_are_named_after_their_tasks_and_numbered_when_there_are_several() -> None:
    plan = to_plan(chain(one.s(1), note.s(), note.s().options(name="last")))
    assert [node.name for node in plan.nodes] == ["one", "note", "last"]
    assert [node.name for node in to_plan(group(one.s(1), one.s(2))).nodes] == ["one[0]", "one[1]"]


def test_an_empty_chain_says_what_to_do() -> None:
    with pytest.raises(DefinitionError, match="at least one signature"):
        chain()


@pytest.mark.parametrize("wrong", [3, "text", print, None, one.fn])
def test_what_is_no_signature_is_refused_with_advice(wrong: object) -> None:
    with pytest.raises(DefinitionError, match=r"task\.s\(|@task"):
        chain(wrong)
    with pytest.raises(DefinitionError, match=r"task\.s\(|@task"):
        group(wrong)


def test_wrong_arguments_of_every_step_are_reported_at_once() -> None:
    with pytest.raises(PlanError) as caught:
        to_plan(chain(one.s(), group(one.s(1), none.s(), one.s(y=2))))
    found = {problem.node: problem.what for problem in caught.value.problems}
    assert found == {
        "one[0]": "it is not given x",
        "one[1]": "it is given 2 positional arguments and takes 1",
        "none": "it is given 1 positional arguments and takes 0",
        "one[2]": "it is given y, which it does not take",
    }
    assert "use .si(...)" in str(caught.value)


def test_values_that_cannot_be_written_are_reported_with_their_step() -> None:
    with pytest.raises(PlanError) as caught:
        to_plan(group(one.s(object()), one.s(1), one.s(x={1j})))
    assert [problem.node for problem in caught.value.problems] == ["one[0]", "one[2]"]
    assert "argument x[0]" in caught.value.problems[1].what


def test_options_of_a_signature_reach_its_step() -> None:
    node = to_plan(one.s(1).options(queue="net", priority=9, delay=5, retries=4, timeout=60, may_fail=True)).nodes[0]
    assert (node.queue, node.priority, node.delay) == ("net", 9, 5.0)
    assert (node.policy.retries, node.policy.timeout, node.policy.may_fail) == (4, 60.0, True)


def test_options_of_a_chain_reach_every_step_and_its_start_only_the_first() -> None:
    nodes = to_plan(chain(one.s(1), note.s()).options(queue="net", delay=5)).nodes
    assert [(node.queue, node.delay) for node in nodes] == [("net", 5.0), ("net", None)]


def test_the_same_signature_may_be_used_twice() -> None:
    same = one.s(4)
    assert run_plan(to_plan(group(same, same))) == [4, 4]


def test_a_large_group_shares_what_its_members_have_in_common() -> None:
    patient = one.options(retries=2)
    plan = to_plan(group(patient.s(i) for i in range(2_000)))
    assert len({id(node.policy) for node in plan.nodes}) == 1
    assert plan.result == Span(0, 1_999)


def test_calling_an_element_outside_of_a_workflow_says_what_to_do() -> None:
    with pytest.raises(DefinitionError, match=r"segue\.start"):
        chain(one.s(1))()
