"""Secrets in URLs: filled where the code wrote their names, and never where a text came from outside."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest

from segue import Segue, errors, notify, task, webhook, workflow
from segue.authoring import to_plan
from segue.authoring.secrets import fill
from segue.authoring.webhook import send_webhook
from tests.servers.receiver import Receiver

SECRET = "${SEGUE_SECRET_A}"
HOOK = "https://ours.example/hooks/${SEGUE_SECRET_A}?x=1"
OURS = "ours.example"
EVIL = [
    "https://evil.example/?a=${SEGUE_SECRET_A}",
    "https://evil.example/7Eme/${SEGUE_SECRET_A}",
    "https://evil.example/hooks/${SEGUE_SECRET_A}?x=1",
]


def marked(signature: Any) -> Any:
    return signature.kwargs.get("secrets")


def row(url: str) -> dict[str, str]:
    """What a database or a request might hold."""
    loaded: dict[str, str] = json.loads(json.dumps({"callback": url}))
    return loaded


def helper(path: str) -> Any:
    return webhook.s(f"https://ours.example/{path}/${{SEGUE_SECRET_A}}", 1)


WRITTEN: list[Callable[[], Any]] = [
    lambda: webhook.s("https://ours.example/${SEGUE_SECRET_A}"),
    lambda: webhook.si("https://ours.example/${SEGUE_SECRET_A}?x=%20y"),
    lambda: webhook("https://ours.example/${SEGUE_SECRET_A}", 1),
    lambda: webhook.s(HOOK),
    lambda: webhook.s(HOOK + "&y=2"),
    lambda: webhook.s(f"https://{OURS}/x?t=${{SEGUE_SECRET_A}}&n={len(OURS)}"),
    lambda: webhook.s("https://{}/x/${{SEGUE_SECRET_A}}".format(OURS)),  # noqa: UP032
    lambda: webhook.s("https://%s/x/${SEGUE_SECRET_A}/y" % OURS),  # noqa: UP031
    lambda: helper("orders"),
    lambda: next(webhook.s(f"https://{host}/${{SEGUE_SECRET_A}}") for host in (OURS,)),
    lambda: notify.s("slack://${SEGUE_SECRET_A}/#ops"),
]  # fmt: skip


@pytest.mark.parametrize("write", WRITTEN, ids=range(len(WRITTEN)))
def test_what_the_code_wrote_is_filled(write: Callable[[], Any]) -> None:
    assert marked(write()) == {"url": ["SEGUE_SECRET_A"]}


DATA: list[Callable[[str], Any]] = [
    lambda url: webhook.s(url),
    lambda url: webhook.s(row(url)["callback"]),
    lambda url: webhook.s(f"{url}&more=1"),
    lambda url: (webhook.s(HOOK), webhook.s("https://ours.example/${SEGUE_SECRET_A}"), webhook.s(url))[-1],
    lambda url: (webhook.s("https://ours.example/%7Eme/${SEGUE_SECRET_A}"), webhook.s(url))[-1],
    lambda url: notify.s(url.replace("https", "json")),
]


@pytest.mark.parametrize("write", DATA, ids=range(len(DATA)))
@pytest.mark.parametrize("url", EVIL)
def test_what_came_from_outside_is_not(write: Callable[[str], Any], url: str) -> None:
    assert marked(write(row(url)["callback"])) is None


@workflow(name="to_customer")
def to_customer(url: str, order: Any = None) -> Any:
    """The code here knows the very text that a customer may give."""
    if url == "https://ours.example/${SEGUE_SECRET_A}":
        return webhook("https://ours.example/${SEGUE_SECRET_A}", 1)
    return webhook(url if order is None else order["url"], 1)


@pytest.mark.parametrize("url", [*EVIL, "https://ours.example/${SEGUE_SECRET_A}"])
def test_the_arguments_of_a_start_are_data(url: str) -> None:
    for arguments in ((url,), ("", {"url": url})):
        (node,) = to_plan(to_customer, *arguments).nodes
        assert "secrets" not in node.args


def test_a_result_of_another_step_is_data_and_what_the_code_wrote_beside_it_is_not() -> None:
    @task(name="callback_of")
    def callback_of() -> str: ...

    @workflow(name="both")
    def both() -> Any:
        return webhook(callback_of(), 1, headers={"X-A": "Bearer ${SEGUE_SECRET_A}", "X-B": callback_of()})

    node = to_plan(both).nodes[-1]
    assert json.loads(node.args)[1]["secrets"] == {"header X-A": ["SEGUE_SECRET_A"]}


def test_data_leaks_nothing_and_the_error_says_why(
    webhooks: Receiver, sqlite_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SEGUE_SECRET_A", "s3cret")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "aws")

    @task(name="told_by_customer")
    def told_by_customer(url: str) -> str:
        return url

    @task(name="returning")
    def returning(url: str) -> Any:
        return webhook.s(url, 1)

    @workflow(name="chained")
    def chained(url: str) -> Any:
        return webhook(told_by_customer(url), 1), returning(url), to_customer(url)

    with Segue(sqlite_url) as segue:
        for name in ("SEGUE_SECRET_A", "AWS_SECRET_ACCESS_KEY"):
            with pytest.raises(errors.RunFailedError, match=rf"Abort: .*\${{{name}}}, which is not filled"):
                segue.run(chained, f"{webhooks.url}/?x=${{{name}}}")
        run = segue.start(returning.s(f"{webhooks.url}/?x={SECRET}"))
        told = [step.error for info in segue.runs() for step in segue.get(info.id).steps() if step.error]
    assert run is not None
    assert webhooks.received == []
    assert not [error for error in told if "s3cret" in str(error) or '"aws"' in str(error)]


def test_what_a_task_returns_is_filled_where_the_task_wrote_it(
    webhooks: Receiver, sqlite_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SEGUE_SECRET_A", "s3cret")

    @task(name="returning")
    def returning(base: str) -> Any:
        return webhook.s(f"{base}/x/${{SEGUE_SECRET_A}}", 1)

    with Segue(sqlite_url) as segue:
        segue.run(returning, webhooks.url)
    assert [request.path for request in webhooks.received] == ["/x/s3cret"]


@pytest.mark.parametrize("write", [lambda: webhook.s("https://a.example/${TOKEN}"), lambda: notify.s("slack://${TOKEN}/x"),
                                   lambda: webhook.s("https://a.example", headers={"X": "${TOKEN}"})])  # fmt: skip
def test_another_name_is_refused_where_it_is_written_and_the_rule_is_told(write: Callable[[], Any]) -> None:
    with pytest.raises(errors.DefinitionError, match=r"\$\{TOKEN\}.*Write \$\{SEGUE_SECRET_TOKEN\} there, and set"):
        write()


def test_what_an_older_version_wrote_down_is_refused_with_the_rule(webhooks: Receiver) -> None:
    with pytest.raises(errors.Abort, match="SEGUE_SECRET_TOKEN"):
        send_webhook.fn(1, url=f"{webhooks.url}/${{TOKEN}}")
    with pytest.raises(errors.Abort, match="not filled"):  # whoever writes the database cannot ask for more
        fill("the URL", "https://a.example/${HOME}", ["HOME"])
    assert webhooks.received == []


def test_subscriptions_are_filled_where_the_code_wrote_them(sqlite_url: str) -> None:
    with Segue(sqlite_url) as segue:
        segue.upgrade()
        segue.subscriptions.add("ours", events=["run.failed"], to="slack://${SEGUE_SECRET_A}/#ops")
        segue.subscriptions.add("theirs", events=["run.failed"], to=row(EVIL[0])["callback"])
        targets = {each.name: each.target for each in segue.subscriptions.list()}
    assert "secrets" in targets["ours"]
    assert "secrets" not in targets["theirs"]


@pytest.mark.parametrize("filled", ["file:///etc/passwd", "", "http://", "https://a b", "http://a\r\nX: y", "ftp://a"])
def test_a_filled_url_is_looked_at_again(monkeypatch: pytest.MonkeyPatch, filled: str) -> None:
    monkeypatch.setenv("SEGUE_SECRET_A", filled or " ")
    for url in ("http://${SEGUE_SECRET_A}", "http://x${SEGUE_SECRET_A}"):
        with pytest.raises((errors.DeliveryError, errors.ConfigError)) as told:
            send_webhook.fn(1, url=url, secrets={"url": ["SEGUE_SECRET_A"]}, timeout=1)
        assert "passwd" not in str(told.value)


@pytest.mark.parametrize("url", ["file:///etc/passwd", "gopher://a/", "http://", "//x", "", "http://[", "javascript:1"])
def test_a_url_from_outside_that_leads_to_no_web_server_is_hopeless(url: str) -> None:
    with pytest.raises(errors.Abort, match="is not the URL of a web server"):
        send_webhook.fn(1, url=url)


@pytest.mark.parametrize(
    "headers", [{"X Y": "1"}, {"X": "a\r\nY: b"}, {"X": 1}, {"Content-Length": "5"}, {"": "a"}, {"X": "€"}]
)
def test_headers_that_cannot_be_sent_are_refused_where_they_are_written(headers: dict[str, Any]) -> None:
    with pytest.raises(errors.DefinitionError, match="header"):
        webhook.s("https://a.example", headers=headers)
