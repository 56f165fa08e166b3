"""Notifications: through Apprise when it is there, with a clear word when it is not."""

from __future__ import annotations

import sys
from typing import Any

import pytest

from segue import Segue, errors, notify, workflow
from segue.authoring import to_plan
from segue.authoring.notify import send_notification, told
from tests.servers.receiver import Receiver

EVENT = {
    "id": "1", "kind": "step.failed", "run_id": "019ab3", "workflow": "shop.orders", "key": "2026-11-20",
    "step": 3, "name": "load", "error": {"type": "OSError", "message": "disk full"},
    "detail": {"lane": None, "late": 4},
}  # fmt: skip
OUTCOME = {
    "run_id": "019ab3", "workflow": "shop.orders", "status": "failed",
    "error": {"step": "load", "type": "OSError", "message": "disk full"},
}  # fmt: skip


def json_url(receiver: Receiver, path: str = "/chat") -> str:
    """The receiver as a service of Apprise's."""
    return receiver.url.replace("http://", "json://") + path


def test_it_goes_through_apprise(webhooks: Receiver, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SEGUE_SECRET_CHAT", "chat")
    written = notify.s(json_url(webhooks, "/${SEGUE_SECRET_CHAT}"), "Orders", "2026-11-20 is done")
    send_notification.fn(**written.kwargs)
    (request,) = webhooks.received
    assert request.path == "/chat"
    assert (request.json["title"], request.json["message"]) == ("Orders", "2026-11-20 is done")


def test_without_words_of_its_own_it_tells_what_it_was_given(webhooks: Receiver) -> None:
    send_notification(EVENT, url=json_url(webhooks))
    (request,) = webhooks.received
    assert (request.json["title"], request.json["message"]) == told(EVENT)


@pytest.mark.parametrize(
    "given, title, body",
    [
        (EVENT, "shop.orders: step.failed", "load: OSError: disk full\nlate: 4\nkey 2026-11-20\nrun 019ab3"),
        (OUTCOME, "shop.orders: run.failed", "load: OSError: disk full\nrun 019ab3"),
        (
            {"run_id": "r", "kind": "step.late_end", "workflow": None, "name": "load", "error": None},
            "segue: step.late_end",
            "step load\nrun r",
        ),
        ({"run_id": "r", "workflow": "w", "status": "succeeded", "error": None}, "w: run.succeeded", "run r"),
        ("plain text", "segue", "plain text"),
        ([1, 2], "segue", "[1,2]"),
        ({"run_id": "no event"}, "segue", '{"run_id":"no event"}'),
    ],
)
def test_what_is_told(given: Any, title: str, body: str) -> None:
    assert told(given) == (title, body)


def test_a_service_that_does_not_take_it_is_tried_again(webhooks: Receiver, sqlite_url: str) -> None:
    webhooks.answers = [500, 500]
    with Segue(sqlite_url) as segue:
        segue.run(notify.s(json_url(webhooks), "Orders", "done", retry_delay=0))
    assert len(webhooks.received) == 3


def test_a_url_that_apprise_does_not_know_is_hopeless() -> None:
    with pytest.raises(errors.Abort, match="Apprise does not understand the nosuchservice:// URL"):
        send_notification(url="nosuchservice://token@host", title="a", body="b")


def test_without_apprise_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "apprise", None)
    with pytest.raises(errors.ConfigError, match=r"python -m pip install .*\[notify\]"):
        send_notification(url="json://localhost", title="a", body="b")


def test_it_is_a_step_in_a_workflow_and_a_signature_elsewhere() -> None:
    @workflow(name="tell", finally_=notify.s("json://localhost", queue="net"))
    def tell() -> None:
        notify("mailto://me:${SEGUE_SECRET_MAIL}@example.org", "Orders", "done", retries=1)

    plan = to_plan(tell)
    assert [(node.task, node.queue, node.policy.retries) for node in plan.nodes] == [
        ("segue.notify", "default", 1), ("segue.notify", "net", 8),
    ]  # fmt: skip


@pytest.mark.parametrize("url", ["example.org", "", 42, "mailto: me"])
def test_mistakes_are_told_where_it_is_written(url: Any) -> None:
    with pytest.raises(errors.DefinitionError, match="give an Apprise URL"):
        notify.s(url)
