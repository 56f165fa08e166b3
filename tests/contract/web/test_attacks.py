"""What an attacker tries: each test is named after the promise that would be broken."""

from __future__ import annotations

import base64
import json
import re
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import anyio
import pytest
from starlette.testclient import TestClient

from segue import Segue, task
from segue.errors import StoreUnavailableError
from segue.web import Identity, Role, create_app, requests
from segue.web.access.combined import LoginAccess
from segue.web.access.proxy import TrustedProxy
from segue.web.access.roles_by_group import GroupRoles
from segue.web.app import Application
from segue.web.flash import SAID_COOKIE
from segue.web.foreign import Asked, Endpoint, ForeignApi
from segue.web.pages.frame import PAGES
from segue.web.site import Settings, Site

pytestmark = pytest.mark.contract


@task(name="prey.graze")
def nothing() -> None: ...


@task(name="prey.hunt")
def other(value: Any = None) -> None: ...


@pytest.fixture
def segue(tmp_path: Path) -> Iterator[Segue]:
    with Segue(f"sqlite:///{tmp_path}/segue.db") as found:
        yield found


def client(app: Any, *, base: str = "http://localhost", peer: str = "10.1.2.3") -> TestClient:
    return TestClient(app, base_url=base, follow_redirects=False, client=(peer, 50000), raise_server_exceptions=False)


def with_login(segue: Segue, *, base: str = "http://localhost", **options: Any) -> TestClient:
    return client(create_app(segue, access=LoginAccess(segue), **options), base=base)


def bearer(segue: Segue, **options: Any) -> dict[str, str]:
    return {"authorization": f"Bearer {segue.access.create_token('robot', **options)}"}


# Limited tokens ------------------------------------------------------------------------------------------------------


def test_a_token_for_some_operations_opens_no_page_and_no_stream(segue: Segue) -> None:
    web, run = with_login(segue), segue.start(nothing)
    limited = bearer(segue, role="admin", scopes=["start_run"])
    for path in PAGES:
        found = web.get(re.sub(r"\{\w+(:\w+)?\}", run.id, path) + "?format=json", headers=limited)
        assert found.status_code == 403, path
    assert web.get("/live?topic=runs", headers=limited).status_code == 403
    assert web.get("/runs", headers=bearer(segue, scopes=["read_pages"])).status_code == 200


def test_a_limited_token_makes_no_token_that_may_do_more(segue: Segue) -> None:
    web = with_login(segue)
    makers = {
        "scopes": bearer(segue, role="admin", scopes=["create_token", "get_run"]),
        "workflows": bearer(segue, role="admin", workflows=["*"]),
    }
    for limit, mine in makers.items():
        for names in (None, [], ["cancel_run"], ["get_run", "create_schedule"]):
            wanted = {limit: names}
            answer = web.post("/api/v1/tokens", headers=mine, json={"name": "x", "role": "admin", **wanted})
            assert answer.status_code == 403, (limit, wanted)
    fine = {"name": "x", "role": "admin", "scopes": ["get_run"]}
    assert web.post("/api/v1/tokens", headers=makers["scopes"], json=fine).status_code == 201


def test_a_token_for_some_workflows_starts_them_and_changes_nothing_else(segue: Segue) -> None:
    web = with_login(segue)
    mine = bearer(segue, role="admin", workflows=["prey.gra*"])
    segue.schedules.create("hourly", other, schedule="@hourly")
    segue.subscriptions.add("alarm", events=["run.failed"], to="https://alarm.example.org")
    theirs = segue.start(other)
    for name, status in (("prey.graze", 201), ("graze", 201), ("prey.hunt", 403), ("hunt", 403)):
        assert web.post("/api/v1/runs", headers=mine, json={"name": name}).status_code == status, name
        assert (web.post("/act/runs", headers=mine, data={"name": name}).status_code == 403) == (status == 403), name
    ours = {"workflow": "prey.graze"}
    refused = [
        ("PUT", "/subscriptions/alarm", {"events": ["run.*"], "to": "https://evil.example.org", **ours}),
        ("PUT", "/retention", {"max_count": 0, **ours}),
        ("POST", "/schedules/hourly/run", {}),
        ("DELETE", "/schedules/hourly", {}),
        ("POST", "/schedules", {"name": "x", "work": "hunt", "schedule": "@daily"}),
        ("POST", "/selections/apply", {"verb": "cancel", "ids": [theirs.id]}),
        ("POST", "/selections/apply", {"verb": "cancel", "workflow": "prey.*"}),
        ("POST", "/selections/apply", {"verb": "cancel", "workflow": "prey.hunt"}),
        ("POST", f"/runs/{theirs.id[-8:]}/send", {"name": "go"}),
        ("POST", f"/runs/{theirs.id}/fork", {"step": "0"}),
        ("POST", f"/runs/{theirs.id}/reveal", {}),
    ]
    for method, path, body in refused:
        answer = web.request(method, f"/api/v1{path}", headers=mine, json=body)
        assert answer.status_code == 403, (method, path, answer.text)
    assert web.post("/api/v1/schedules", headers=mine, json={
        "name": "ours", "work": "graze", "schedule": "@daily"}).status_code == 201  # fmt: skip
    assert web.post("/api/v1/schedules/ours/run", headers=mine, json={}).status_code == 201
    order = {"verb": "cancel", "ids": [theirs.id], **ours}
    assert web.post("/api/v1/selections/apply", headers=mine, json=order).status_code == 202


def test_an_older_api_has_the_same_limits_and_the_same_audit_log(segue: Segue) -> None:
    def stop(asked: Asked) -> None: ...

    def look(asked: Asked) -> dict[str, str]:
        return {}

    site = Site(segue, LoginAccess(segue), Settings())
    endpoints = [Endpoint("POST", "/stop", Role.OPERATOR, stop), Endpoint("GET", "/look", Role.VIEWER, look)]
    web = client(ForeignApi(site, endpoints))
    for options, status in (
        ({"role": "viewer"}, 403), ({"role": "admin", "scopes": ["get_run"]}, 403),
        ({"role": "admin", "workflows": ["x"]}, 403), ({"role": "operator"}, 204),
    ):  # fmt: skip
        headers = bearer(segue, **options)
        assert web.post("/stop", headers=headers).status_code == status, options
        assert web.get("/look", headers=headers).status_code == (403 if "scopes" in options else 200), options
    assert [entry.ok for entry in segue.access.audit(action="stop")] == [True, False, False, False]


# Strangers -----------------------------------------------------------------------------------------------------------


PATHS = ["/act/runs", "/act/tokens", "/login", "/settings", "/new/subscription", "/api/v1/runs"]


@pytest.mark.parametrize("path", PATHS)
def test_a_stranger_cannot_fill_the_memory(segue: Segue, path: str) -> None:
    """What a request sends is read up to the limit, also if its sender is not known or comes from elsewhere."""
    for headers in ([], [(b"origin", b"https://evil.example"), (b"content-length", b"9" * 5000)]):
        status, read = anyio.run(_flooded, create_app(segue, access=LoginAccess(segue)), path, headers)
        assert 300 <= status < 500
        assert read <= 20


async def _flooded(app: Any, path: str, headers: list[tuple[bytes, bytes]]) -> tuple[int, int]:
    """The status of the answer to a body of 13 MB, and how many of its 200 pieces were read."""
    read, sent = 0, []

    async def receive() -> dict[str, Any]:
        nonlocal read
        read += 1
        return {"type": "http.request", "body": b"a=1&" * 16_000, "more_body": read < 200}

    async def send(message: Any) -> None:
        sent.append(message)

    scope = {
        "type": "http", "http_version": "1.1", "method": "POST", "path": path, "raw_path": path.encode(),
        "query_string": b"", "headers": [(b"host", b"localhost"), *headers], "client": ("192.0.2.1", 1),
        "server": ("localhost", 80), "scheme": "http", "root_path": "",
    }  # fmt: skip
    await app(scope, receive, send)
    return sent[0]["status"], read


def test_a_stranger_does_not_learn_where_the_database_is(segue: Segue) -> None:
    def away(request: Any) -> None:
        raise StoreUnavailableError("cannot connect to db.internal:5432 as segue")

    web = client(create_app(segue, identify=away))
    for path in ("/runs", "/api/v1/runs", "/live?topic=runs"):
        answer = web.get(path)
        assert answer.status_code == 503
        assert "db.internal" not in answer.text


PROXY = TrustedProxy(
    ["10.0.0.0/8"], user_header="x-user", groups_header="x-groups",
    roles=GroupRoles.parsed("ops=operator,platform=admin", default="viewer"),
)  # fmt: skip


def test_a_line_that_the_caller_adds_is_not_the_proxys(segue: Segue) -> None:
    """A proxy may add a line of its own behind that of the caller, as HAProxy does."""
    web = client(create_app(segue, access=LoginAccess(segue, proxy=PROXY)))
    for guess in range(7):
        headers = [("x-forwarded-for", f"198.51.100.{guess}"), ("x-forwarded-for", "203.0.113.5")]
        answer = web.post("/login", data={"token": "wrong"}, headers=headers)
    assert answer.status_code == 429
    assert {entry.address for entry in segue.access.audit()} == {"203.0.113.5"}
    groups = [("x-user", "ann"), ("x-groups", "platform"), ("x-groups", "x")]
    assert web.get("/api/v1/me", headers=groups).status_code == 403


# Sessions and cookies ------------------------------------------------------------------------------------------------


def test_a_neighbouring_host_cannot_log_a_person_in(segue: Segue) -> None:
    """A page of another host of the same domain can set cookies, but none whose name begins with __Host-."""
    secure = {"base": "https://segue.example.org", "public_url": "https://segue.example.org"}
    web = with_login(segue, **secure)
    token = segue.access.create_token("mallory", role="operator")
    web.post("/login", data={"token": token})
    value = web.cookies["__Host-segue"]
    victim = with_login(segue, **secure)
    assert victim.get("/api/v1/me", headers={"cookie": f"segue={value}"}).status_code == 401
    assert victim.get("/api/v1/me", headers={"cookie": f"__Host-segue={value}"}).status_code == 200
    web.post("/logout")
    assert [entry.action for entry in segue.access.audit(actor="mallory")] == ["logout", "login"]


@pytest.mark.parametrize(
    "said",
    [{"text": "Hello", "undo": "/runs/RUN/cancel"}, {"text": "Hello", "undo": "//evil.example/activate"},
     {"text": "Hello", "undo": {"a": 1}}, {"text": "Hello", "undo": "/tokens?name=x&a=/activate"}, {"text": 1}, [], 1],
)  # fmt: skip
def test_a_forged_cookie_makes_no_button_that_harms(segue: Segue, said: Any) -> None:
    web = client(create_app(segue, identify=lambda request: Identity("ann", "admin")))
    forged = base64.urlsafe_b64encode(json.dumps(said).encode()).decode()
    answer = web.get("/runs", headers={"cookie": f"{SAID_COOKIE}={forged}"})
    assert answer.status_code == 200
    assert "Undo" not in answer.text


def test_a_revoked_token_ends_the_streams(segue: Segue, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(requests, "ASKED_AGAIN", 0.0)
    run = segue.start(nothing)
    app = Application(Site(segue, LoginAccess(segue), Settings()))
    for path in (f"/api/v1/runs/{run.id}/follow", "/live?topic=runs"):
        headers = bearer(segue)
        ends: list[int] = []

        def follow(path: str = path, headers: dict[str, str] = headers, ends: list[int] = ends) -> None:
            ends.append(client(app).get(path, headers=headers).status_code)

        follower = threading.Thread(target=follow, daemon=True)
        follower.start()
        segue.access.revoke_token(segue.access.tokens()[-1].id)
        for number in range(20):
            segue.annotate(run, tags=[f"t{number}"])
            segue.start(nothing)
            follower.join(0.5)
            if not follower.is_alive():
                break
        assert ends, path


# Values --------------------------------------------------------------------------------------------------------------


def test_a_form_takes_no_deeper_json_than_the_api(segue: Segue) -> None:
    web = client(create_app(segue, identify=lambda request: Identity("ann", "operator")))
    deep = "[" * 900 + "]" * 900
    for field, value in (("args:json:0", deep), ("kwargs:json:value", deep), ("args", f"[{deep}]"), ("metadata", deep)):
        web.post("/act/runs", data={"name": "prey.hunt", field: value})
    assert segue.runs() == []
    assert web.post("/act/runs", data={f"f{number}": "x" for number in range(5000)}).status_code == 400


SPELLINGS = (
    "/runs/a%00b", "/runs/..%2f..%2fadmin", "//runs", "/runs/%2e%2e/admin", "/act//runs", "/static/..%2f..%2fapp.py",
    "/static/%2e%2e/app.py", "/login/../runs", "/static/../runs", "/healthz/../admin", "/%2fruns", "/loginx",
)  # fmt: skip


def test_no_spelling_of_a_path_leads_around_the_guard(segue: Segue) -> None:
    stranger = with_login(segue)
    named = client(create_app(segue, identify=lambda request: Identity("ann", "viewer")))
    for path in SPELLINGS:
        for method in ("GET", "HEAD", "POST", "OPTIONS", "PUT", "get", "TRACE"):
            answer = stranger.request(method, f"http://localhost{path}")
            assert 300 <= answer.status_code < 500, (method, path, answer.status_code)
            assert "workflow" not in answer.text
        assert named.get(f"/api/v1{path}").status_code < 500, path


def test_what_no_database_can_store_is_in_the_audit_log_nevertheless(segue: Segue) -> None:
    web = client(create_app(segue, identify=lambda request: Identity("ann", "admin")))
    assert web.post("/api/v1/runs/a%00b/cancel", json={"reason": "a\x00b"}).status_code in (400, 404)
    run = segue.start(nothing)
    assert web.post(f"/api/v1/runs/{run.id}/cancel", json={"reason": "a\x00b"}).status_code == 400
    assert [entry.action for entry in segue.access.audit()] == ["cancel_run"] * 2
    assert not any(entry.ok for entry in segue.access.audit())


def test_the_audit_log_says_what_was_made(segue: Segue) -> None:
    web = client(create_app(segue, identify=lambda request: Identity("ann", "admin")))
    made = web.post("/api/v1/tokens", json={"name": "deploy", "role": "admin"})
    assert made.status_code == 201
    web.post("/api/v1/runs", json={"name": "prey.hunt", "args": ["hunter2"]})
    started, token = segue.access.audit()
    assert (started.target, token.target) == ("name=prey.hunt", "name=deploy/role=admin")
    assert "hunter2" not in str(segue.access.audit())
    assert made.json()["token"] not in str(segue.access.audit())
