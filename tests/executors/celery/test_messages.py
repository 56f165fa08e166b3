"""A step's message is what Celery itself would send: it is compared field by field with that of `apply_async`."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import redis
from celery import Celery, signals
from celery._state import _task_stack

from segue import Segue
from segue.engine.dispatch import SentStep
from segue.executors.celery import install, plan_of
from segue.executors.celery.publish import HEADER, Publisher
from segue.model import Hole, Job, Ref, Span
from segue.plan.codec import encode_holes
from tests.servers.redis import running_redis

NOW = datetime(2026, 11, 30, 12, 0, tzinfo=UTC)
QUEUES = ("celery", "other", "routed")


class Twins(NamedTuple):
    """Two apps that differ in one thing only: one is connected to Segue."""

    plain: Celery
    durable: Celery
    broker: redis.Redis


@pytest.fixture(scope="module")
def redis_url() -> Iterator[str]:
    with running_redis() as url:
        yield url


@pytest.fixture
def twins(redis_url: str, tmp_path: Path) -> Iterator[Twins]:
    client = redis.Redis.from_url(f"{redis_url}/0")
    client.flushall()
    made = [an_app(redis_url), an_app(redis_url)]
    segue = Segue(f"sqlite:///{tmp_path}/segue.db")
    install(made[1], segue)
    yield Twins(*made, client)
    for app in made:
        app.close()
    segue.close()


def an_app(url: str) -> Celery:
    app = Celery("twin", broker=f"{url}/0", backend=f"{url}/1", set_as_current=False)
    app.conf.task_routes = {"routed": {"queue": "routed", "priority": 3}}

    @app.task(name="plain", shared=False)
    def plain(*args: Any, **kwargs: Any) -> None: ...

    @app.task(name="routed", shared=False)
    def routed(*args: Any) -> None: ...

    @app.task(name="limited", shared=False, time_limit=30, soft_time_limit=20, ignore_result=True, queue="other")
    def limited(*args: Any) -> None: ...

    app.finalize()
    return app


def taken(broker: redis.Redis) -> list[dict[str, Any]]:
    """All messages, oldest first, with their bodies decoded, and without what is different in any two messages."""
    found = []
    for key in sorted(broker.keys("*")):
        name, _, _ = key.decode().partition("\x06")
        if name in QUEUES:
            for raw in reversed(broker.lrange(key, 0, -1)):
                message = json.loads(raw)
                message["body"] = json.loads(base64.b64decode(message["body"]))
                del message["properties"]["delivery_tag"]
                if message["properties"]["reply_to"] != "a-queue":
                    del message["properties"]["reply_to"]  # where the app of the sender gets replies
                found.append(message)
            broker.delete(key)
    return found


def step_of(app: Celery, task: str, *args: Any, kwargs: dict[str, Any] | None = None, **options: Any) -> SentStep:
    [node] = plan_of(app.tasks[task].s(*args, **(kwargs or {})).set(**options)).nodes
    job = Job("run", 0, 1, node.name, str(node.task), node.args, encode_holes(node.holes), {}, None, 0)
    return SentStep(job, str(node.queue), node.spec, node.handle, NOW)


def without_ours(message: dict[str, Any]) -> dict[str, Any]:
    assert message["headers"].pop(HEADER) == ["run", 0, 1, NOW.timestamp()]
    return message


ORDINARY: list[tuple[str, dict[str, Any]]] = [
    ("plain", {}),
    ("plain", {"queue": "other", "priority": 6}),
    ("plain", {"headers": {"tenant": "a"}, "shadow": "known as"}),
    ("plain", {"time_limit": 9, "soft_time_limit": 8}),
    ("plain", {"group_id": "a-group", "group_index": 4, "root_id": "the-root", "parent_id": "the-parent"}),
    ("plain", {"reply_to": "a-queue", "ignore_result": True}),
    ("routed", {}),
    ("limited", {}),
]
OTHERS: list[tuple[str, dict[str, Any]]] = [
    ("plain", {"expires": NOW + timedelta(days=900)}),
    ("plain", {"stamped_headers": ["tenant"], "tenant": "b"}),
    ("plain", {"compression": "zlib"}),
]


@pytest.mark.parametrize("task, options", ORDINARY)
@pytest.mark.parametrize("count", [1, 3])
def test_an_ordinary_message_is_that_of_apply_async(
    twins: Twins, monkeypatch: pytest.MonkeyPatch, task: str, options: dict[str, Any], count: int
) -> None:
    arguments = ([1, "é", None], {"day": NOW})
    for number in range(count):
        twins.plain.tasks[task].apply_async(arguments, task_id=f"id-{number}", **options)
    expected = taken(twins.broker)
    assert len(expected) == count
    publisher = Publisher(twins.durable)
    publisher.send([step_of(twins.durable, task)])  # connects, thoroughly
    taken(twins.broker)
    steps = [step_of(twins.durable, task, *arguments, task_id=f"id-{n}", **options) for n in range(count)]
    monkeypatch.setattr(twins.durable, "send_task", None)  # the quick way does without it
    publisher.send(steps)
    assert [without_ours(message) for message in taken(twins.broker)] == expected


@pytest.mark.parametrize("task, options", OTHERS)
def test_so_is_one_that_is_not_ordinary(twins: Twins, task: str, options: dict[str, Any]) -> None:
    if "compression" not in options:
        twins.plain.tasks[task].apply_async((1,), task_id="id", **options)
        Publisher(twins.durable).send([step_of(twins.durable, task, 1, task_id="id", **options)])
        expected, found = taken(twins.broker)
        expected["properties"].pop("expiration", None)  # what is left of the time: it passes
        found["properties"].pop("expiration", None)
        assert without_ours(found) == expected
        return
    Publisher(twins.durable).send([step_of(twins.durable, task, 1, task_id="id", **options)])
    [raw] = twins.broker.lrange("celery", 0, -1)
    assert json.loads(raw)["headers"]["compression"] == "application/x-gzip"


@pytest.mark.parametrize(
    "args, hole, values, expected",
    [
        ("[[null, 2], {}]", Hole((0, 0), Ref(7)), {7: '{"a": [1, "é"]}'}, ([{"a": [1, "é"]}, 2], {})),
        ("[[null], {}]", Hole((0, 0), Span(0, 2)), {0: "1", 1: "null", 2: '"x"'}, ([[1, None, "x"]], {})),
        ("[[1, null], {}]", Hole((0, 1), Ref(7)), {7: "[3]"}, ([1, [3]], {})),
        ('[[], {"day": null}]', Hole((1, "day"), Ref(7)), {7: "5"}, ([], {"day": 5})),
        ("[[null], {}]", Hole((0, 0), Ref(7, ("a",))), {7: '{"a": 4}'}, ([4], {})),
    ],
)  # fmt: skip
@pytest.mark.parametrize("count", [1, 2])
def test_results_go_into_the_arguments(
    twins: Twins, args: str, hole: Hole, values: dict[int, str], expected: tuple[list[Any], dict[str, Any]], count: int
) -> None:
    step = step_of(twins.durable, "plain", task_id="id")
    job = Job("run", 0, 1, "plain", step.job.task, args, encode_holes((hole,)), values, None, 0)
    publisher = Publisher(twins.durable)
    publisher.send([step])
    taken(twins.broker)
    publisher.send([step._replace(job=job)] * count)
    twins.plain.tasks["plain"].apply_async(tuple(expected[0]), expected[1], task_id="id")
    *found, plain = taken(twins.broker)
    assert [without_ours(message) for message in found] == [plain] * count


def test_receivers_of_signals_see_each_message_and_may_change_it(twins: Twins) -> None:
    seen: list[Any] = []

    def before(sender: str, body: Any, headers: dict[str, Any], **_: Any) -> None:
        seen.append((sender, list(body[0])))
        headers["traced"] = "yes"

    steps = [step_of(twins.durable, "plain", number, task_id=str(number)) for number in range(3)]
    publisher = Publisher(twins.durable)
    publisher.send(steps[:1])
    taken(twins.broker)
    signals.before_task_publish.connect(before)
    try:
        publisher.send(steps)
    finally:
        signals.before_task_publish.disconnect(before)
    assert seen == [("plain", [0]), ("plain", [1]), ("plain", [2])]
    assert [message["headers"]["traced"] for message in taken(twins.broker)] == ["yes"] * 3


def test_an_app_with_a_way_to_send_of_its_own_is_asked(redis_url: str, tmp_path: Path) -> None:
    class Tenants(Celery):
        def send_task(self, name: str, *args: Any, **options: Any) -> Any:
            options["headers"] = {**(options.get("headers") or {}), "tenant": "a"}
            return super().send_task(name, *args, **options)

    app = Tenants("tenants", broker=f"{redis_url}/0", backend=f"{redis_url}/1", set_as_current=False)
    with Segue(f"sqlite:///{tmp_path}/segue.db") as segue:
        install(app, segue)

        @app.task(name="plain", shared=False)
        def plain() -> None: ...

        broker = redis.Redis.from_url(f"{redis_url}/0")
        broker.flushall()
        publisher = Publisher(app)
        for _ in range(2):
            publisher.send([step_of(app, "plain")])
        assert [message["headers"]["tenant"] for message in taken(broker)] == ["a", "a"]
    app.close()


@pytest.mark.parametrize("options", [{}, {"expires": NOW + timedelta(days=900)}])
def test_a_step_that_is_sent_inside_a_task_of_another_run_is_not_its_child(
    twins: Twins, options: dict[str, Any]
) -> None:
    step = step_of(twins.durable, "plain", task_id="id", **options)
    running = twins.durable.tasks["routed"]
    running.push_request(id="another", root_id="another-root", delivery_info={})
    _task_stack.push(running)
    try:
        Publisher(twins.durable).send([step])
        Publisher(twins.durable).send([step, step])
    finally:
        _task_stack.pop()
        running.pop_request()
    found = [(message["headers"]["root_id"], message["headers"]["parent_id"]) for message in taken(twins.broker)]
    assert found == [("id", None)] * 3


def test_one_message_that_cannot_be_written_does_not_hold_up_the_others(twins: Twins) -> None:
    steps = [step_of(twins.durable, "plain", number, task_id=str(number)) for number in range(3)]
    broken = steps[1]._replace(job=Job("run", 0, 1, "plain", "celery:plain", "[[null], {}]", "no holes", {}, None, 0))
    [(refused, error)] = Publisher(twins.durable).send([steps[0], broken, steps[2]])
    assert refused is broken
    assert "cannot be read" in str(error)
    assert [message["headers"]["id"] for message in taken(twins.broker)] == ["0", "2"]


def test_a_message_that_cannot_be_sent_does_not_hold_up_the_others(twins: Twins) -> None:
    options: list[dict[str, Any]] = [{"compression": "unknown"}, {}, {"compression": "unknown"}, {"expires": 900}, {}]
    steps = [
        step_of(twins.durable, "plain", number, task_id=str(number), **each) for number, each in enumerate(options)
    ]
    assert Publisher(twins.durable).send(steps) == []
    assert sorted(message["headers"]["id"] for message in taken(twins.broker)) == ["1", "3", "4"]


@pytest.mark.parametrize("is_child", [True, False])
def test_several_messages_go_over_a_new_connection_when_the_old_one_was_lost(twins: Twins, is_child: bool) -> None:
    publisher = Publisher(twins.durable)
    steps = [step_of(twins.durable, "plain", number, task_id=str(number)) for number in range(5)]
    publisher.send(steps[:2], is_child=is_child)
    for client in twins.broker.client_list():
        if client["id"] != str(twins.broker.client_id()):
            twins.broker.client_kill_filter(_id=client["id"])
    publisher.send(steps[2:], is_child=is_child)
    assert [message["headers"]["id"] for message in taken(twins.broker)] == ["0", "1", "2", "3", "4"]


def test_a_child_keeps_its_connection_and_makes_another_when_that_is_lost(twins: Twins) -> None:
    publisher = Publisher(twins.durable)
    steps = [step_of(twins.durable, "plain", number, task_id=str(number)) for number in range(4)]
    publisher.send(steps[:1], is_child=True)
    for client in twins.broker.client_list():
        if client["id"] != str(twins.broker.client_id()):
            twins.broker.client_kill_filter(_id=client["id"])
    publisher.send(steps[1:2], is_child=True)
    publisher.send(steps[2:], is_child=True)
    assert [message["headers"]["id"] for message in taken(twins.broker)] == ["0", "1", "2", "3"]


def test_a_step_without_a_name_gets_one_for_its_message(twins: Twins) -> None:
    """Error callbacks have none, and Celery cannot store the result of a task without."""
    job = Job("run", 3, 1, "plain", "celery:plain", "[[1], {}]", None, {}, None)
    Publisher(twins.durable).send([SentStep(job, "celery", None, None, NOW)])
    [message] = [json.loads(raw) for raw in twins.broker.lrange("celery", 0, -1)]
    assert message["headers"]["id"]
    assert message["properties"]["correlation_id"] == message["headers"]["id"]
