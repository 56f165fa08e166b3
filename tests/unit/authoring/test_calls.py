"""Plans of single calls: those that follow the first of their kind are made from it, and come out the same."""

from __future__ import annotations

from datetime import date
from typing import Any

import pytest

from segue import Limit, task
from segue.authoring import calls
from segue.authoring.planning import to_plan
from segue.errors import PlanError
from segue.plan.graph import Plan


@task
def add(first: int, second: int = 0, *, on: date | None = None) -> int:
    return first + second


@task(limits=[Limit(key="customer", concurrency=1)])
def charge(customer: str) -> None: ...


def anew(work: Any, *args: Any, **kwargs: Any) -> Plan:
    """The plan, laid out and checked from the beginning."""
    calls._patterns.clear()
    return to_plan(work, *args, **kwargs)


@pytest.mark.parametrize(
    "args, kwargs", [((2,), {}), ((2, 3), {}), ((2,), {"second": 5}), ((2,), {"on": date(2026, 11, 30)})]
)
def test_a_later_plan_is_what_a_first_one_would_be(args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
    wanted = anew(add, *args, **kwargs)
    calls._patterns.clear()
    to_plan(add, 1, **({"second": 1} if "second" in kwargs else {"on": None} if "on" in kwargs else {}))
    to_plan(add, 1, 1)
    assert calls.like_an_earlier_one(add, args, kwargs) == wanted
    assert to_plan(add, *args, **kwargs) == wanted


@pytest.mark.parametrize("wrong", [float("nan"), object(), "text", {1: "a", "1": "b"}])
def test_what_is_wrong_with_an_argument_is_said_of_later_plans_too(wrong: Any) -> None:
    with pytest.raises(PlanError) as first:
        anew(add, wrong)
    to_plan(add, 1)
    with pytest.raises(PlanError) as later:
        to_plan(add, wrong)
    assert str(later.value) == str(first.value)


def test_another_way_of_calling_is_checked() -> None:
    to_plan(add, 1)
    for args, kwargs in (((1, 2, 3), {}), ((), {}), ((1,), {"third": 3})):
        with pytest.raises(PlanError):
            to_plan(add, *args, **kwargs)


def test_a_copy_with_options_has_plans_of_its_own() -> None:
    to_plan(add, 1)
    assert to_plan(add.options(queue="disk", retries=7), 1).nodes[0].queue == "disk"
    assert to_plan(add, 1).nodes[0].queue == "default"


def test_the_key_of_a_limit_is_that_of_each_call() -> None:
    first, second = to_plan(charge, "ann"), to_plan(charge, "bob")
    assert first.nodes[0].uses != second.nodes[0].uses
