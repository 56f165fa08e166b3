"""Limits and fair shares in the code of Celery tasks, and what else Segue's tasks can say that Celery does not do."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from celery import Celery, chain

import segue
from segue import Limit, Segue
from segue.errors import DefinitionError, SerializationError
from segue.executors.celery import install, plan_of
from segue.executors.celery.codec import encode_result
from segue.model import Gather, Ref
from segue.plan.lanes import close, lane_of, read_lane


@pytest.fixture
def app(tmp_path: Path) -> Celery:
    app = Celery("limits", broker="memory://", backend="cache+memory://")
    install(app, Segue(f"sqlite:///{tmp_path}/segue.db"))

    @app.task(name="plain", shared=False)
    def plain(value: Any = None) -> Any:
        return value

    @app.task(name="fetch", shared=False)
    @segue.task(
        name="limits.fetch", limits=[Limit("api", concurrency=10), Limit("customers", 1, key="customer")], cost=2,
        lost_retries=7, fair_by="customer", fair_weights={"gold": 3},
    )  # fmt: skip
    def fetch(customer: str, page: int = 1) -> str:
        return f"{customer}:{page}"

    return app


def test_a_step_has_the_lane_that_its_arguments_give(app: Celery) -> None:
    fetch = app.tasks["fetch"]
    plan = plan_of(chain(fetch.si("gold", page=2), fetch.si(customer="iron")))
    lanes = [read_lane(lane_of(node) or "") for node in plan.nodes]
    assert [(lane.task, lane.cost, lane.share, lane.weight) for lane in lanes] == [
        ("celery:fetch", 2, "gold", 3.0), ("celery:fetch", 2, "iron", 1.0),
    ]  # fmt: skip
    assert [[(use.limit, use.key, use.cost) for use in lane.uses] for lane in lanes] == [
        [("api", "", 2), ("customers", "gold", 2)], [("api", "", 2), ("customers", "iron", 2)],
    ]  # fmt: skip
    assert [node.policy.lost_retries for node in plan.nodes] == [7, 7]
    assert {terms.name: terms.concurrency for terms in plan.limits} == {"api": 10, "customers": 1}


def test_a_key_may_be_the_result_of_another_step(app: Celery) -> None:
    plan = plan_of(chain(app.tasks["plain"].s("gold"), app.tasks["fetch"].s()))
    share = plan.nodes[1].share
    assert share is not None
    assert share.key in (Ref(0), Gather((Ref(0),)))
    lane = read_lane(close(lane_of(plan.nodes[1]) or "", {0: '"gold"'}))
    assert (lane.share, lane.weight) == ("gold", 3.0)


def test_a_task_made_of_segues_is_called_as_it_is(app: Celery) -> None:
    assert app.tasks["fetch"]("x", page=4) == "x:4"


def test_its_arguments_are_checked_as_those_of_any_task(app: Celery) -> None:
    with pytest.raises(TypeError, match="customer"):
        app.tasks["fetch"].delay(page=1)


@pytest.mark.parametrize(
    "options, named",
    [
        ({"timeout": 5}, "time_limit"),
        ({"retries": 3}, "autoretry_for"),
        ({"queue": "net"}, "task_routes"),
        ({"priority": 9}, "set"),
        ({"metadata": {"a": 1}}, "the run"),
        ({"retry_delay": 3.0}, "autoretry_for"),
        ({"schedule_to_start": 3.0}, "expires"),
        ({"delay": 3.0}, "countdown"),
    ],
)
def test_options_that_celery_does_not_follow_are_refused_by_name(
    app: Celery, options: dict[str, Any], named: str
) -> None:  # fmt: skip
    refuses(app, segue.task(name="limits.refused", **options)(nothing), next(iter(options)), named)


def test_a_transactional_task_is_refused_by_name(app: Celery) -> None:
    def pay(connection: Any, order: int) -> int:
        return order

    refuses(app, segue.task(name="limits.pay", transactional=True)(pay), "transactional", "own workers")


def nothing() -> None: ...


def refuses(app: Celery, task: Callable[..., Any], option: str, remedy: str) -> None:
    app.finalize()
    with pytest.raises(DefinitionError, match=rf"{option}=.*{remedy}"):
        app.task(name="refused", shared=False)(task)


@pytest.mark.parametrize("returned", [segue.wait_for.s("approved"), segue.sleep.s(5), segue.task(nothing).s()])
def test_steps_of_segue_that_a_task_returns_are_refused_by_name(returned: Any) -> None:
    with pytest.raises(SerializationError, match=r"cannot return steps of Segue.*self\.replace"):
        encode_result(returned)
