"""What `@task(transactional=True)` asks of a function, and what its callers see of it."""

from __future__ import annotations

from collections.abc import Callable
from datetime import date
from typing import Any

import pytest

from segue import chain, task, workflow
from segue.authoring import values
from segue.authoring.planning import to_plan
from segue.errors import DefinitionError, PlanError


@task(transactional=True, retries=3)
def pay(connection: Any, order: int, day: date | None = None) -> int:
    return connection.pay(order, day)


@task(transactional=True)
def last(order: int, *, connection: Any) -> Any:
    return order, connection


@task(transactional=True)
def middle(order: int, connection: Any, *more: int, factor: int = 1) -> Any:
    return order, connection, more, factor


@task(transactional=True)
def optional(order: int = 1, connection: Any = None, more: int = 2) -> Any:
    return order, connection, more


def test_it_needs_a_connection() -> None:
    with pytest.raises(DefinitionError, match=r"@task .*none: .*needs a parameter called connection.*def none\(conn"):

        @task(transactional=True, name="none")
        def none(order: int) -> None: ...


def test_an_async_task_cannot_have_one() -> None:
    with pytest.raises(DefinitionError, match="async def"):

        @task(transactional=True, name="waits")
        async def waits(connection: Any) -> None: ...


def test_the_parameter_must_be_an_ordinary_one() -> None:
    def positional(connection: Any, /, order: int) -> None: ...
    def every(*connection: Any) -> None: ...
    def named(**connection: Any) -> None: ...

    for fn in (positional, every, named):
        with pytest.raises(DefinitionError, match="an ordinary one"):
            task(transactional=True, name="odd")(fn)


def test_the_option_is_a_boolean_and_belongs_to_the_task() -> None:
    def fine(connection: Any) -> None: ...

    decorate: Callable[..., Any] = task
    with pytest.raises(DefinitionError, match="transactional='yes' is not a boolean"):
        decorate(transactional="yes", name="fine")(fine)
    with pytest.raises(DefinitionError, match="unknown option transactional"):
        pay.options(transactional=True)  # type: ignore[call-arg]


def test_without_the_option_connection_is_a_parameter_like_any_other() -> None:
    @task(transactional=False, name="plain")
    def plain(connection: str) -> str:
        return connection

    assert not plain.transactional
    assert len(to_plan(plain.s("dsn")).nodes) == 1


def test_callers_never_pass_it() -> None:
    @workflow(name="flow")
    def flow(n: int) -> Any:
        first = pay(n)
        return [pay.map([1, 2]), pay.starmap([[1, date(2026, 11, 20)]]), last(first), middle(first, 2, 3, factor=4)]

    assert len(to_plan(flow, 1).nodes) == 6
    assert len(to_plan(chain(pay.s(1), pay.s(), last.s())).nodes) == 3
    with pytest.raises(PlanError, match=r"given connection, which it does not take. Call it as pay\(order: int, day: "):
        to_plan(pay.s(1, connection=2))
    with pytest.raises(PlanError, match="given 3 positional arguments and takes 2"):
        to_plan(pay.s(1, None, 3))
    with pytest.raises(PlanError, match="not given order"):
        to_plan(last.s())


@pytest.mark.parametrize("mapped", [lambda: pay.map([1], batch=2), lambda: pay.starmap([[1]], batch=2)])
def test_a_batch_is_refused(mapped: Callable[[], object]) -> None:
    with pytest.raises(DefinitionError, match="each item needs a separate transaction, and batch=2 cannot be"):
        mapped()


def test_whoever_runs_it_fills_it_wherever_it_stands() -> None:
    assert last._call_with("C", [1], {}) == (1, "C")
    assert last._call_with("C", [], {"order": 1}) == (1, "C")
    assert middle._call_with("C", [1], {}) == (1, "C", (), 1)
    assert middle._call_with("C", [1, 2, 3], {"factor": 4}) == (1, "C", (2, 3), 4)
    assert middle._call_with("C", [], {"order": 1}) == (1, "C", (), 1)
    assert optional._call_with("C", [], {}) == (1, "C", 2)
    assert optional._call_with("C", [5], {"more": 6}) == (5, "C", 6)
    assert optional._call_with("C", [5, 6], {}) == (5, "C", 6)


def test_values_are_typed_as_if_it_were_not_there() -> None:
    class Till:
        def pay(self, order: int, day: date | None) -> Any:
            return order, day

    args, kwargs = values.decode_arguments(pay, '[[7, "2026-11-20"], {}]', None, {})
    assert pay._call_with(Till(), args, kwargs) == (7, date(2026, 11, 20))
    args, kwargs = values.decode_arguments(pay, '[[], {"order": 7, "day": "2026-11-20"}]', None, {})
    assert pay._call_with(Till(), args, kwargs) == (7, date(2026, 11, 20))


def test_outside_of_a_workflow_it_is_the_plain_function() -> None:
    assert last(1, connection="mine") == (1, "mine")
