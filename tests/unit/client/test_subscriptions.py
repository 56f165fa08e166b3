"""`segue.subscriptions` and `segue.on`, as users write them."""

from __future__ import annotations

from typing import Any

import pytest

import segue as door
from segue import Segue, chain, errors, task, webhook, workflow
from segue.client.subscriptions import target_plan
from segue.engine.subscriptions import NOTIFICATION
from segue.model import RUN, Ref
from segue.observing.observers import observers
from segue.worker.inline import work_run
from tests.servers.receiver import Receiver


@pytest.fixture
def lone(sqlite_url: str) -> Any:
    with Segue(sqlite_url) as segue:
        yield segue


def test_a_url_says_what_it_is_for() -> None:
    for url, sends in (
        ("https://example.org/x", "segue.webhook"), ("HTTP://example.org", "segue.webhook"),
        ("mailto://me@example.org", "segue.notify"),
    ):  # fmt: skip
        (node,) = target_plan(url).nodes
        assert (node.task, node.hook) == (sends, None)
        assert [(hole.where, hole.what) for hole in node.holes] == [((0, 0), Ref(RUN))]


def test_a_task_a_chain_and_a_workflow_are_given_the_event() -> None:
    @task(name="look")
    def look(event: dict[str, Any]) -> str: ...

    @task(name="say")
    def say(text: str) -> None: ...

    @workflow(name="both")
    def both(event: Any) -> Any:
        return say(look(event))

    for target, names in (
        (look, ["look"]),
        (chain(look, say.s()), ["look", "say"]),
        (both.s(), ["both/look", "both/say"]),
        (webhook.s("https://example.org", {"text": "done"}), ["webhook"]),
    ):
        plan = target_plan(target)
        assert plan.name == NOTIFICATION
        assert [node.name for node in plan.nodes] == names


def test_a_target_that_cannot_be_run_is_refused_before_anything_is_written(lone: Segue) -> None:
    @task(name="takes_nothing")
    def takes_nothing() -> None: ...

    with pytest.raises(errors.PlanError, match="takes_nothing"):
        lone.subscriptions.add("sub", events=["run.failed"], to=takes_nothing)
    for to in (42, "example.org", print):
        with pytest.raises(errors.DefinitionError):
            lone.subscriptions.add("sub", events=["run.failed"], to=to)
    for name, events in (
        ("", ["run.failed"]),
        ("x" * 201, ["run.failed"]),
        ("a", []),
        ("a", "run.failed"),
        ("a", ["x"]),
    ):
        with pytest.raises(errors.ConfigError):
            lone.subscriptions.add(name, events=events, to="https://example.org")
    assert lone.subscriptions.list() == []


def test_a_chat_is_told_through_apprise(lone: Segue, webhooks: Receiver) -> None:
    @task(name="fail")
    def fail() -> None:
        raise ValueError("no paper")

    lone.subscriptions.add("chat", events=["run.failed"], to=webhooks.url.replace("http", "json"))
    with pytest.raises(errors.RunFailedError):
        lone.run(fail)
    (told,) = lone.runs(workflow=NOTIFICATION)
    work_run(lone.engine, told.id)
    (request,) = webhooks.received
    assert request.json["title"] == "fail: run.failed"
    assert "ValueError: no paper" in request.json["message"]


def test_an_observer_hears_of_what_happens_in_this_process(lone: Segue) -> None:
    heard: list[door.Event] = []

    @lone.on("run.succeeded")
    def hear(event: door.Event) -> None:
        heard.append(event)
        assert lone.get(event.run_id or "").result() == 4

    @task(name="four")
    def four() -> int:
        return 4

    try:
        lone.run(four, key="once")
        lone.close()  # which waits a moment for observers
    finally:
        observers.remove(hear)
    (event,) = heard
    assert (event.kind, event.workflow, event.key, event.step) == ("run.succeeded", "four", "once", None)
    assert door.on is Segue.on
