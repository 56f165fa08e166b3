"""Later steps first: what that is called on each broker."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from celery import Celery, chain, chord

from segue import Segue
from segue.errors import ConfigError
from segue.executors.celery import install, plan_of
from segue.executors.celery.priority import message_priority
from segue.executors.celery.spec import options_of


def make_app(folder: Path, broker: str, **options: Any) -> Celery:
    app = Celery("priorities", broker=broker, backend="cache+memory://")
    app.conf.broker_transport_options = options
    install(app, Segue(f"sqlite:///{folder}/segue.db"), priority="later_first")

    @app.task(name="same", shared=False)
    def same(value: Any = None) -> Any:
        return value

    return app


@pytest.mark.parametrize(
    "broker, options, wanted",
    [
        ("amqp://localhost", {}, [1, 2, 3, 4, 5, 8, 9, 9]),
        ("redis://localhost", {}, [9, 6, 3, 0, 0, 0, 0, 0]),
        ("redis://localhost", {"priority_steps": list(range(10))}, [9, 8, 7, 6, 5, 2, 1, 0]),
    ],
)
def test_a_broker_gets_its_own_numbers(
    tmp_path: Path, broker: str, options: dict[str, Any], wanted: list[int]
) -> None:  # fmt: skip
    app = make_app(tmp_path, broker, **options)
    assert [message_priority(app, position) for position in (1, 2, 3, 4, 5, 8, 9, 10)] == wanted


def test_a_step_stands_behind_the_longest_way_to_it(tmp_path: Path) -> None:
    same = make_app(tmp_path, "amqp://localhost").tasks["same"]
    plan = plan_of(chord([same.s(1), same.s(2) | same.s()], same.s()))
    found = [(node.priority, options_of(node.spec)["priority"]) for node in plan.nodes]
    assert sorted(found) == [(1, 1), (1, 1), (2, 2), (3, 3)]


def test_a_priority_of_the_project_stays(tmp_path: Path) -> None:
    same = make_app(tmp_path, "redis://localhost").tasks["same"]
    plan = plan_of(chain(same.s(1).set(priority=5), same.s()))
    assert [options_of(node.spec)["priority"] for node in plan.nodes] == [5, 6]


def test_a_broker_without_priorities_is_refused(tmp_path: Path) -> None:
    same = make_app(tmp_path, "memory://").tasks["same"]
    with pytest.raises(ConfigError, match="needs Redis or RabbitMQ"):
        plan_of(same.s(1))


def test_an_unknown_order_is_refused(tmp_path: Path) -> None:
    app = Celery("unknown", broker="memory://")
    with pytest.raises(ConfigError, match="later_first"):
        install(app, Segue(f"sqlite:///{tmp_path}/segue.db"), priority="first_come")  # type: ignore[arg-type]
