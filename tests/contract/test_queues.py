"""Queues and workflows at a glance. On both stores."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from segue.client.limits import Limits
from segue.client.overview import Overview
from segue.engine.views import queues
from segue.engine.views.queues import QueueInfo
from tests.contract.limiting import define, use
from tests.contract.stage import Stage, node, plan


@pytest.fixture
def stage(lasting_stage: Stage) -> Iterator[Stage]:
    lasting_stage.renew()
    yield lasting_stage
    assert lasting_stage.is_sound()


class View(Overview):
    """The part of `Segue` that lists queues, on a stage."""

    def __init__(self, stage: Stage) -> None:
        self.engine = stage.engine


def by_name(stage: Stage) -> dict[str, QueueInfo]:
    return {queue.name: queue for queue in View(stage).queues()}


def start(stage: Stage, *steps: dict[str, Any], name: str = "flow", **fields: Any) -> str:
    return stage.start(plan(*[node(f"s{number}", **step) for number, step in enumerate(steps)], name=name, **fields))


def test_a_queue_says_what_waits_since_when_and_who_works_on_it(stage: Stage) -> None:
    begun = stage.store.now()
    start(stage, {"queue": "net", "priority": 1})
    stage.advance(60)
    start(stage, {"queue": "net", "priority": 9}, {"queue": "net", "delay": 3600.0}, {"queue": "mail"})
    stage.hire("one", queues=("net",))
    found = by_name(stage)
    net = found["net"]
    assert (net.ready, net.oldest_ready_at, net.delayed, net.running) == (2, begun, 1, 0)
    assert (net.workers, net.is_closed, net.concurrency) == (1, False, None)
    assert net.places > 0
    assert (found["mail"].workers, found["mail"].ready) == (0, 1)
    stage.claim(stage.hire("two", queues=("mail",)))
    assert by_name(stage)["mail"].running == 1


def test_a_queue_that_its_limit_closes(stage: Stage) -> None:
    start(stage, {"queue": "net"})
    Limits(stage.engine).set("queue:net", concurrency=0)
    assert by_name(stage)["net"].is_closed
    Limits(stage.engine).set("queue:net", concurrency=3)
    assert (by_name(stage)["net"].is_closed, by_name(stage)["net"].concurrency) == (False, 3)
    Limits(stage.engine).remove("queue:net")


def test_steps_that_wait_for_a_limit_are_counted_up_to_a_number(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    define(stage, "api", concurrency=1)
    start(stage, *[{"uses": (use("api"),)} for _ in range(4)])
    assert by_name(stage)["default"].limited == 4
    monkeypatch.setattr(queues, "COUNTED_TO", 3)
    assert by_name(stage)["default"].limited == 3


def test_workflows_have_their_newest_run(stage: Stage) -> None:
    start(stage, {}, name="a")
    newest, other = start(stage, {}, name="a"), start(stage, {}, name="b")
    found = View(stage).workflows()
    assert [(each.name, each.last and each.last.id) for each in found] == [("a", newest), ("b", other)]
    assert [each.name for each in View(stage).workflows(after="a")] == ["b"]
    assert [each.name for each in View(stage).workflows(limit=1)] == ["a"]
