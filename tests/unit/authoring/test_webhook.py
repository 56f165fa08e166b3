"""Webhooks: what is sent, how an answer is judged, and what never reaches the database."""

from __future__ import annotations

import base64
import hashlib
import hmac
import socket
from typing import Any

import pytest

from segue import Context, Segue, chain, current, errors, task, webhook, workflow
from segue.attempt.outcomes import describe
from segue.authoring import to_plan, use
from segue.authoring.posting import signature
from segue.authoring.webhook import PATIENT, send_webhook
from segue.model import RunStatus, StepStatus
from segue.plan import codec
from tests.servers.receiver import HANG_UP, Receiver

ME = Context("019ab3", 4, 2, "webhook", "segue.webhook", lambda *_: None)


def send(receiver: Receiver, *previous: Any, **options: Any) -> Any:
    with use(ME):
        return send_webhook(*previous, url=f"{receiver.url}/hooks", **options)


def send_as_written(signature: Any) -> Any:
    """Send what a signature says, outside of a step."""
    return send_webhook.fn(**signature.kwargs)


def test_the_previous_result_is_posted_as_json(webhooks: Receiver) -> None:
    assert send(webhooks, {"kind": "run.failed", "naïve": "é"}) == {"status": 200}
    (request,) = webhooks.received
    assert request.path == "/hooks"
    assert request.json == {"kind": "run.failed", "naïve": "é"}
    assert request.headers["Content-Type"] == "application/json"
    assert request.headers["Idempotency-Key"] == "019ab3:4"
    assert request.headers["User-Agent"].startswith("segue/")
    assert "Segue-Signature" not in request.headers


def test_headers_and_url_are_filled_from_the_environment(webhooks: Receiver, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SEGUE_SECRET_SHOP", "s3cret")
    headers = {"Authorization": "Bearer ${SEGUE_SECRET_SHOP}"}
    send_as_written(webhook.s(f"{webhooks.url}/${{SEGUE_SECRET_SHOP}}", 1, headers=headers))
    (request,) = webhooks.received
    assert (request.path, request.headers["Authorization"]) == ("/s3cret", "Bearer s3cret")
    assert "Idempotency-Key" not in request.headers  # it was not called in a step


def test_a_user_in_the_url_becomes_a_header(webhooks: Receiver) -> None:
    send_webhook(1, url=webhooks.url.replace("://", "://me:p%40ss@"))
    (request,) = webhooks.received
    assert request.headers["Authorization"] == "Basic " + base64.b64encode(b"me:p@ss").decode()
    assert "@" not in request.headers["Host"]


def test_a_secret_signs_the_time_and_the_body(webhooks: Receiver, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOOK_SECRET", "whsec")
    send(webhooks, {"total": 3}, secret_env="HOOK_SECRET")
    (request,) = webhooks.received
    parts = dict(part.split("=", 1) for part in request.headers["Segue-Signature"].split(","))
    expected = hmac.new(b"whsec", parts["t"].encode() + b"." + request.body, hashlib.sha256).hexdigest()
    assert hmac.compare_digest(parts["v1"], expected)
    assert signature("another", request.body, int(parts["t"])) != request.headers["Segue-Signature"]


def test_a_variable_that_is_not_set_is_named_and_nothing_is_sent(webhooks: Receiver) -> None:
    options: Any
    for options in (
        {"secret_env": "SEGUE_SECRET_NONE"},
        {"headers": {"X": "${SEGUE_SECRET_NONE}"}, "secrets": {"header X": ["SEGUE_SECRET_NONE"]}},
    ):
        with pytest.raises(errors.ConfigError, match="SEGUE_SECRET_NONE is not set"):
            send(webhooks, 1, **options)
    assert webhooks.received == []


@pytest.mark.parametrize("status", [400, 401, 403, 404, 410, 422])
def test_an_answer_that_will_never_change_ends_it(webhooks: Receiver, status: int) -> None:
    webhooks.answers = [status]
    with pytest.raises(errors.Abort, match=rf"http://127\.0\.0\.1:\d+ answered {status}: said {status}"):
        send(webhooks, 1)


@pytest.mark.parametrize("status", [302, 307, 408, 409, 425, 429, 500, 502, 503])
def test_any_other_answer_may_change(webhooks: Receiver, status: int) -> None:
    webhooks.answers = [(status, {"Location": "/elsewhere"})]
    with pytest.raises(errors.DeliveryError, match=f"answered {status}"):
        send(webhooks, 1)
    assert len(webhooks.received) == 1  # a redirect was not followed


def test_the_server_may_say_when_to_come_again(webhooks: Receiver) -> None:
    webhooks.answers = [(503, {"Retry-After": "7"}), (429, {"Retry-After": "999999"}), (503, {"Retry-After": "soon"})]
    for after in (7.0, 3600.0):
        with pytest.raises(errors.Retry) as told:
            send(webhooks, 1)
        assert told.value.after == after
    with pytest.raises(errors.DeliveryError):
        send(webhooks, 1)


def test_no_answer_is_told_without_what_is_secret_in_the_url(webhooks: Receiver) -> None:
    with socket.create_server(("127.0.0.1", 0)) as closed:
        port = closed.getsockname()[1]
    with pytest.raises(errors.DeliveryError, match=rf"^http://127\.0\.0\.1:{port} did not answer: .*refused") as told:
        send_webhook(1, url=f"http://me:pass@127.0.0.1:{port}/token?key=secret")
    assert not {"pass", "token", "secret"} & set(str(told.value).replace("/", " ").split())
    webhooks.answers = [HANG_UP]
    with pytest.raises(errors.DeliveryError, match="did not answer"):
        send(webhooks, 1)


@pytest.mark.parametrize("where", ["url", "header"])
def test_a_secret_that_cannot_be_sent_is_not_told(
    webhooks: Receiver, monkeypatch: pytest.MonkeyPatch, where: str
) -> None:
    monkeypatch.setenv("SEGUE_SECRET_A", "open-sesame\n")  # as a file ends
    url, headers = webhooks.url, {"X-Token": "${SEGUE_SECRET_A}"}
    if where == "url":
        url, headers = webhooks.url + "/${SEGUE_SECRET_A}", {}
    with pytest.raises(errors.DeliveryError, match="an invalid character") as raised:
        send_as_written(webhook.s(url, {}, headers=headers))
    assert "sesame" not in describe(raised.value).traceback
    assert webhooks.received == []


def test_a_server_that_is_silent_is_not_waited_for(webhooks: Receiver) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"http://127.0.0.1:{silent.getsockname()[1]}"
        with pytest.raises(errors.DeliveryError, match="time"):
            send_webhook(1, url=url, timeout=0.05)


# As written ----------------------------------------------------------------------------------------------------------


def test_it_is_a_step_in_a_workflow_and_a_signature_elsewhere() -> None:
    @task(name="extract")
    def extract() -> int: ...

    @workflow(name="tell", on_failure=webhook.s("https://example.org/failed"))
    def tell() -> Any:
        return webhook("https://example.org/done", {"total": extract()}, retries=2, queue="net")

    plan = to_plan(tell)
    assert [node.name for node in plan.nodes] == ["extract", "webhook[0]", "webhook[1]"]
    done, failed = plan.nodes[1:]
    assert (done.task, done.queue, done.policy.retries, done.parents) == ("segue.webhook", "net", 2, (0,))
    assert (failed.policy.retries, failed.policy.timeout) == (PATIENT.retries, 15.0)
    assert repr(webhook("https://example.org/x")) == "webhook.s(url='https://example.org/x')"


def test_what_is_written_down_names_the_secret_and_does_not_hold_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOOK_SECRET", "whsec")
    text = codec.encode(to_plan(webhook.s("https://example.org", secret_env="HOOK_SECRET", timeout=3)))
    assert "whsec" not in text
    assert "HOOK_SECRET" in text
    assert '\\"timeout\\":3.0' in text


@pytest.mark.parametrize(
    "url, options, said",
    [
        ("example.org", {}, "begins with https://"),
        ("file:///etc/passwd", {}, "begins with https://"),
        (42, {}, "begins with https://"),
        ("https://example.org", {"secret_env": "my secret!"}, "name of the environment variable"),
        ("https://example.org", {"headers": "X: 1"}, "is not a mapping"),
        ("https://example.org", {"retires": 3}, "unknown option retires"),
        ("https://example.org", {"timeout": -1}, "timeout=-1 is out of range"),
    ],
)
def test_mistakes_are_told_where_it_is_written(url: Any, options: dict[str, Any], said: str) -> None:
    with pytest.raises(errors.DefinitionError, match=said):
        webhook.s(url, **options)


# As a step -----------------------------------------------------------------------------------------------------------


def test_it_arrives_in_spite_of_failures_and_a_lost_answer_and_says_that_it_is_the_same(
    webhooks: Receiver, sqlite_url: str
) -> None:
    webhooks.answers = [503, HANG_UP, 429]

    @task(name="total")
    def total() -> dict[str, int]:
        return {"total": 3}

    with Segue(sqlite_url) as segue:
        answer = segue.run(chain(total.s(), webhook.s(f"{webhooks.url}/done", retry_delay=0)))
        (run,) = segue.runs()
    assert answer == {"status": 200}
    assert [request.json for request in webhooks.received] == [{"total": 3}] * 4
    assert set(webhooks.keys()) == {f"{run.id}:1"}


def test_a_hook_tells_how_the_run_ended(webhooks: Receiver, sqlite_url: str) -> None:
    @task(name="fail")
    def fail() -> None:
        raise ValueError("no paper")

    @workflow(name="orders", on_failure=webhook.s(webhooks.url))
    def orders() -> None:
        fail()

    with Segue(sqlite_url) as segue:
        with pytest.raises(errors.RunFailedError):
            segue.run(orders)
        (run,) = segue.runs()
    (request,) = webhooks.received
    assert request.json == {
        "run_id": run.id, "workflow": "orders", "status": "failed",
        "error": {"step": "fail", "type": "ValueError", "message": "no paper"}, "key": None, "tags": [], "metadata": {},
    }  # fmt: skip


def test_an_answer_that_will_never_change_is_not_asked_for_again(webhooks: Receiver, sqlite_url: str) -> None:
    webhooks.answers = [404]
    with Segue(sqlite_url) as segue:
        with pytest.raises(errors.RunFailedError, match="answered 404"):
            segue.run(webhook.s(webhooks.url, {"a": 1}))
        (info,) = segue.runs()
        (step,) = segue.get(info.id).steps()
    assert (info.status, step.status, step.attempt) == (RunStatus.FAILED, StepStatus.FAILED, 1)
    assert webhooks.received[0].json == {"a": 1}


def test_the_key_of_idempotency_is_what_any_task_may_ask_for(sqlite_url: str) -> None:
    @task(name="ask")
    def ask() -> str:
        return current().idempotency_key

    with Segue(sqlite_url) as segue:
        key = segue.run(ask)
        assert key == f"{segue.runs()[0].id}:0"
