"""Who gets in, as what, and for how long: tokens, sessions, proxies, and what the guard refuses."""

from __future__ import annotations

import itertools
import re
import sqlite3
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import psycopg
import pytest
from psycopg import sql
from starlette.testclient import TestClient

from segue import Segue, task
from segue.client.access import hashed, is_token
from segue.clock import ManualClock
from segue.errors import ConfigError
from segue.web import Identity, Role, create_app
from segue.web.access.combined import LoginAccess
from segue.web.access.local import LOCAL_HOSTS, LocalAccess
from segue.web.access.proxy import TrustedProxy
from segue.web.access.roles_by_group import GroupRoles
from segue.web.operations import OPERATIONS
from segue.web.pages.frame import PAGES
from segue.web.rendering import file_version

pytestmark = pytest.mark.contract


@task(name="web.nothing")
def nothing(password: str = "") -> None: ...


@pytest.fixture
def one_segue(tmp_path: Path) -> Iterator[Segue]:
    """For what does not depend on the kind of database."""
    with Segue(f"sqlite:///{tmp_path}/segue.db") as found:
        yield found


def client(segue: Segue, *, base: str = "http://localhost", peer: str = "127.0.0.1", **options: Any) -> TestClient:
    app = create_app(segue, **options)
    return TestClient(app, base_url=base, follow_redirects=False, client=(peer, 50000))


def with_login(segue: Segue, **options: Any) -> TestClient:
    return client(segue, access=LoginAccess(segue), **options)


def bearer(token: str) -> dict[str, str]:
    return {"authorization": f"Bearer {token}"}


def test_a_token_is_shown_once_and_stored_as_a_hash(segue: Segue) -> None:
    token = segue.access.create_token("ann", role="operator", created_by="me")
    assert is_token(token)
    [info] = segue.access.tokens()
    assert (info.name, info.role, info.created_by, info.used_at) == ("ann", "operator", "me", None)
    assert token[6:14] == info.id
    with segue.engine.reading() as tx:
        assert len(tx.all("find_token", hash=hashed(token), namespace="")) == 1
        assert tx.all("find_token", hash=token, namespace="") == []


@pytest.mark.parametrize(
    "wrong", [{"name": ""}, {"name": "x" * 300}, {"role": "root"}, {"expires": timedelta(0)}, {"scopes": "start_run"},
              {"workflows": []}],
)  # fmt: skip
def test_a_token_that_makes_no_sense_is_refused(segue: Segue, wrong: dict[str, Any]) -> None:
    with pytest.raises(ConfigError):
        segue.access.create_token(**{"name": "ann", **wrong})
    assert segue.access.tokens() == []


def test_a_program_uses_a_token_until_it_is_revoked(segue: Segue) -> None:
    web = with_login(segue)
    assert web.get("/api/v1/runs").status_code == 401
    token = segue.access.create_token("deploy", role="viewer")
    assert web.get("/api/v1/me", headers=bearer(token)).json()["how"] == "token"
    [info] = segue.access.tokens()
    assert info.used_at is not None
    segue.access.revoke_token(info.id)
    assert web.get("/api/v1/me", headers=bearer(token)).status_code == 401
    with pytest.raises(ConfigError):
        segue.access.revoke_token(info.id)


@pytest.mark.parametrize("header", ["", "Bearer", "Bearer x", "Basic YTpi", "Bearer segue_" + "A" * 49, "bearer \x7f"])
def test_a_wrong_token_is_not_replaced_by_a_session(segue: Segue, header: str) -> None:
    web = with_login(segue)
    logged_in(web, segue)
    assert web.get("/api/v1/me").status_code == 200
    assert web.get("/api/v1/me", headers={"authorization": header}).status_code == 401


def logged_in(web: TestClient, segue: Segue, role: str = "operator") -> str:
    token = segue.access.create_token("ann", role=role)
    answer = web.post("/login", data={"token": token, "next": "/runs?status=failed"})
    assert answer.status_code == 303, answer.text
    assert answer.headers["location"] == "/runs?status=failed"
    return token


def test_a_person_logs_in_with_a_token_and_out_again(segue: Segue) -> None:
    web = with_login(segue)
    assert web.get("/runs").headers["location"] == "/login?next=%2Fruns"
    assert "Access token" in web.get("/login").text
    token = logged_in(web, segue)
    cookie = web.cookies["segue"]
    assert cookie not in token
    assert web.get("/runs").status_code == 200
    [session] = segue.access.sessions()
    assert (session.name, session.how, session.address) == ("ann", "token", "127.0.0.1")
    assert web.post("/logout").status_code == 303
    assert segue.access.sessions() == []
    assert web.get("/runs", headers={"cookie": f"segue={cookie}"}).status_code == 303


def test_a_login_makes_a_new_session(segue: Segue) -> None:
    web = with_login(segue)
    web.cookies.set("segue", "chosen-by-an-attacker", domain="localhost.local", path="/")
    logged_in(web, segue)
    first = web.cookies["segue"]
    assert first != "chosen-by-an-attacker"
    logged_in(web, segue)
    assert web.cookies["segue"] != first
    assert len(segue.access.sessions()) == 1


def test_a_cookie_over_https_is_bound_to_the_host(segue: Segue) -> None:
    web = with_login(segue, base="https://segue.example.org", public_url="https://segue.example.org")
    token = segue.access.create_token("ann")
    [cookie] = web.post("/login", data={"token": token}).headers.get_list("set-cookie")
    assert cookie.startswith("__Host-segue=")
    assert {"Secure", "HttpOnly", "Path=/", "SameSite=lax"} <= {part.strip() for part in cookie.split(";")}
    assert "strict-transport-security" in web.get("/runs").headers


def test_a_session_ends_with_its_token_and_has_its_role(segue: Segue) -> None:
    web = with_login(segue)
    logged_in(web, segue, role="viewer")
    assert web.get("/api/v1/me").json()["role"] == "viewer"
    [token] = segue.access.tokens()
    segue.access.revoke_token(token.id)
    assert web.get("/runs").status_code == 303
    late = segue.access.open_session("ann", "viewer", how="token", token_id=token.id)  # the login was under way
    assert web.get("/runs", headers={"cookie": f"segue={late}"}).status_code == 303


def test_what_gives_access_ends_when_it_should(database_url: str) -> None:
    clock = ManualClock()
    with Segue(database_url, clock=clock) as segue:
        web = with_login(segue)
        short = bearer(segue.access.create_token("short", expires=timedelta(minutes=10)))
        of_short = segue.access.open_session("a", "viewer", how="token", token_id=segue.access.tokens()[0].id)
        sessions = {
            "of a token": of_short,
            "that is not used": segue.access.open_session("b", "viewer", how="oidc"),
            "that is used": segue.access.open_session("c", "viewer", how="oidc"),
            "that is short": segue.access.open_session("d", "viewer", how="oidc", lasts=timedelta(hours=1)),
        }

        def valid(*names: str) -> set[str]:
            cookies = {name: {"cookie": f"segue={sessions[name]}"} for name in names or sessions}
            return {name for name, cookie in cookies.items() if web.get("/api/v1/me", headers=cookie).is_success}

        assert web.get("/api/v1/me", headers=short).is_success
        assert valid() == set(sessions)
        clock.advance(seconds=601)
        assert web.get("/api/v1/me", headers=short).status_code == 401
        assert valid() == {"that is not used", "that is used", "that is short"}
        clock.advance(seconds=3600)
        assert valid("that is used", "that is short") == {"that is used"}
        clock.advance(seconds=11.5 * 3600)
        assert valid("that is used", "that is not used") == {"that is used"}
        for _ in range(14):
            clock.advance(seconds=11.5 * 3600)
            valid("that is used")
        assert valid() == set()  # a week is the most


def test_a_stolen_database_has_nothing_with_which_to_log_in(one_segue: Segue) -> None:
    web = with_login(one_segue)
    token = logged_in(web, one_segue)
    with sqlite3.connect(one_segue.url.removeprefix("sqlite:///")) as connection:
        everything = "\n".join(connection.iterdump())
    assert one_segue.access.sessions()[0].id in everything
    assert web.cookies["segue"] not in everything
    assert token not in everything
    assert token.removeprefix("segue_")[8:] not in everything  # the first eight characters are its id


def test_pages_of_admins_are_for_nobody_else(one_segue: Segue) -> None:
    refused = {}
    for role in ROLES:
        web = client(one_segue, identify=lambda request, role=role: Identity("ann", role))
        answers = {path: web.get(re.sub(r"\{[^}]*\}", "0", path)).status_code for path in PAGES}
        refused[role] = {path for path, status in answers.items() if status == 403}
        assert refused[role] == {path for path, page in PAGES.items() if role < page.role}
    assert {"/admin", "/admin/access", "/audit"} <= refused[Role.OPERATOR]


def test_an_address_that_fails_often_has_to_wait(segue: Segue) -> None:
    web = with_login(segue)
    texts = set()
    for _ in range(5):
        answer = web.post("/login", data={"token": "segue_wrong"})
        assert answer.status_code == 403
        texts.add(answer.text)
    assert len(texts) == 1
    assert web.post("/login", data={"token": segue.access.create_token("ann")}).status_code == 429
    other = client(segue, access=LoginAccess(segue), peer="192.0.2.7")
    assert other.post("/login", data={"token": segue.access.create_token("ben")}).status_code == 303
    assert [entry.ok for entry in segue.access.audit(action="login")] == [True, False, False, False, False, False]


@pytest.mark.parametrize(
    "next_",
    ["//evil.example", "https://evil.example", "/\\evil.example", "javascript:alert(1)", "/a\r\nset-cookie: x=1"],
)
def test_nobody_is_sent_to_another_site(segue: Segue, next_: str) -> None:
    web = with_login(segue)
    answer = web.post("/login", data={"token": segue.access.create_token("ann"), "next": next_})
    assert answer.headers["location"] == "/"


ROLES = list(Role)


def test_each_operation_asks_for_its_role(one_segue: Segue) -> None:
    """Every cell of the table of roles and operations, over the API and as a form."""
    clients = {role: client(one_segue, identify=lambda request, role=role: Identity("ann", role)) for role in ROLES}
    for (role, web), operation in itertools.product(clients.items(), OPERATIONS.values()):
        path = re.sub(r"\{\w+(:\w+)?\}", "x", operation.path)
        body = {} if operation.body is not None else None
        answer = web.request(operation.method, f"/api/v1{path}", json=body)
        assert (answer.status_code == 403) == (role < operation.role), (operation.name, role, answer.text)
        form = web.get(f"/act{path}" + ("" if operation.method == "POST" else f"/{operation.method.lower()}"))
        if operation.changes:
            assert (form.status_code == 403) == (role < operation.role), (operation.name, role)
        else:
            assert form.status_code == 404, operation.name


def test_a_refused_change_and_a_done_one_are_in_the_audit_log(segue: Segue) -> None:
    run = segue.start(nothing)
    for role, status in (("viewer", 403), ("operator", 200)):
        web = client(segue, identify=lambda request, role=role: Identity("ann", role))
        answer = web.post(f"/api/v1/runs/{run.id}/cancel", json={"reason": "tidy up"})
        assert answer.status_code == status
    done, refused = segue.access.audit()
    assert (done.action, done.ok, done.reason, done.actor, done.role) == (
        "cancel_run",
        True,
        "tidy up",
        "ann",
        "operator",
    )
    assert (refused.ok, refused.role) == (False, "viewer")
    assert done.target == refused.target == f"run_id={run.id}"
    assert segue.access.audit(actor="ben") == []


def test_a_token_is_limited_to_operations_and_workflows(segue: Segue) -> None:
    web = with_login(segue)
    mine, other = segue.start(nothing), segue.start(nothing, key="2")
    only_pause = bearer(segue.access.create_token("p", role="operator", scopes=["pause_run", "get_me"]))
    assert web.post(f"/api/v1/runs/{mine.id}/pause", headers=only_pause, json={}).status_code == 200
    assert web.post(f"/api/v1/runs/{mine.id}/cancel", headers=only_pause, json={}).status_code == 403
    assert web.get("/api/v1/runs", headers=only_pause).status_code == 403
    elsewhere = bearer(segue.access.create_token("w", role="operator", workflows=["shop.*"]))
    assert web.post(f"/api/v1/runs/{other.id}/cancel", headers=elsewhere, json={}).status_code == 403
    here = bearer(segue.access.create_token("w", role="operator", workflows=["web.*"]))
    assert web.post(f"/api/v1/runs/{other.id}/cancel", headers=here, json={}).status_code == 200


SITES = (None, "same-origin", "none", "same-site", "cross-site")
ORIGINS = (None, "null", "http://localhost", "https://evil.example")


def test_another_site_cannot_make_a_browser_act(one_segue: Segue) -> None:
    run = one_segue.start(nothing)
    local = client(one_segue, access=LocalAccess(), allowed_hosts=LOCAL_HOSTS)
    logged = with_login(one_segue)
    logged_in(logged, one_segue)
    program, token = with_login(one_segue), bearer(one_segue.access.create_token("deploy", role="operator"))
    for site, origin in itertools.product(SITES, ORIGINS):
        headers = {name: value for name, value in (("sec-fetch-site", site), ("origin", origin)) if value is not None}
        is_ours = site in ("same-origin", "none") or (site is None and origin in (None, "http://localhost"))
        for web, path in itertools.product(
            (local, logged), (f"/api/v1/runs/{run.id}/pause", f"/act/runs/{run.id}/pause")
        ):
            answer = web.post(path, headers=headers)
            assert (answer.status_code in (200, 303)) == is_ours, (path, site, origin, answer.text)
            assert web.get("/api/v1/me", headers=headers).status_code == 200
        asked = program.post(f"/api/v1/runs/{run.id}/pause", headers={**headers, **token}, json={})
        assert asked.status_code == 200, (site, origin)


@pytest.mark.parametrize(
    "base, options, forwarded, origin, is_ours",
    [
        ("https://localhost", {}, None, "http://localhost", False),
        ("https://localhost", {}, None, "https://localhost", True),
        ("http://localhost", {}, None, "https://localhost", True),  # a proxy that ends TLS and says nothing
        ("http://localhost", {"public_url": "https://localhost"}, None, "http://localhost", False),
        ("http://localhost", {"public_url": "https://localhost"}, None, "https://localhost", True),
        ("http://inside:8042", {"public_url": "https://localhost/segue"}, None, "https://localhost", True),
        ("http://inside:8042", {"public_url": "https://localhost/segue"}, None, "http://localhost", False),
        ("http://localhost", {}, "https", "http://localhost", False),
        ("http://localhost", {}, "http, https", "https://localhost", True),
        ("http://localhost", {}, None, "http://localhost", True),
        ("http://localhost", {}, None, "null", False),
        ("http://localhost", {}, None, "http://[", False),
        ("http://localhost", {}, None, "ftp://localhost", False),
    ],
)
def test_a_page_without_tls_changes_nothing_behind_tls(
    one_segue: Segue, base: str, options: dict[str, Any], forwarded: str | None, origin: str, is_ours: bool
) -> None:
    proxy = TrustedProxy(["10.0.0.0/8"])
    app = create_app(one_segue, access=LoginAccess(one_segue, proxy=proxy), **options)
    web = TestClient(app, base_url=base, follow_redirects=False, client=("10.1.2.3", 1), raise_server_exceptions=False)
    headers = {"origin": origin} | ({} if forwarded is None else {"x-forwarded-proto": forwarded})
    assert ("another site" not in web.post("/login", data={"token": "x"}, headers=headers).text) == is_ours


@pytest.mark.parametrize(
    "host", ["evil.example", "evil.example:80", "", "localhost.evil.example", "127.0.0.2", "[::2]:1"]
)
def test_a_strangers_name_for_this_machine_is_refused(segue: Segue, host: str) -> None:
    web = client(segue, access=LocalAccess(), allowed_hosts=LOCAL_HOSTS)
    for path in ("/runs", "/api/v1/runs", "/live?topic=runs"):
        assert web.get(path, headers={"host": host}).status_code == 400
    for good in ("localhost", "LOCALHOST:8042", "127.0.0.1:1", "[::1]:8042", "[::1]"):
        assert web.get("/runs", headers={"host": good}).status_code == 200


def test_a_mounted_application_without_a_login_shows_the_line_to_add(segue: Segue) -> None:
    web = client(segue)
    for path in ("/", "/runs", "/api/v1/runs", "/live?topic=runs", "/act/runs/x/pause"):
        answer = web.get(path)
        assert answer.status_code == 403
        assert "identify=" in answer.text
    assert web.get("/healthz").status_code == 200


def test_identify_may_only_return_an_identity(segue: Segue) -> None:
    answer = client(segue, identify=lambda request: "ann").get("/api/v1/me")  # type: ignore[arg-type, return-value]
    assert answer.status_code == 500

    def broken(request: Any) -> None:
        raise RuntimeError("the session store is away, password=s3cret")

    answer = client(segue, identify=broken).get("/api/v1/me")
    assert answer.status_code == 500
    assert "s3cret" not in answer.text


PROXY = TrustedProxy(
    ["10.0.0.0/8"], user_header="x-user", groups_header="x-groups",
    roles=GroupRoles.parsed("ops=operator, platform = admin", default="none"),
)  # fmt: skip


def behind(segue: Segue, peer: str) -> TestClient:
    return client(segue, access=LoginAccess(segue, proxy=PROXY), peer=peer)


@pytest.mark.parametrize(
    "groups, role", [("ops", "operator"), ("x,platform,ops", "admin"), ("x", None), ("", None), ("OPS", None)]
)
def test_a_proxy_names_the_person_and_the_groups(segue: Segue, groups: str, role: str | None) -> None:
    answer = behind(segue, "10.1.2.3").get("/api/v1/me", headers={"x-user": "ann", "x-groups": groups})
    assert answer.status_code == (403 if role is None else 200)
    assert role is None or (answer.json()["role"], answer.json()["how"]) == (role, "proxy")


def test_the_headers_of_others_are_refused(segue: Segue) -> None:
    headers = {"x-user": "ann", "x-groups": "platform"}
    for peer in ("192.0.2.1", "::1", "testclient"):
        assert behind(segue, peer).get("/api/v1/me", headers=headers).status_code == 403
    two = behind(segue, "10.1.2.3").get(
        "/api/v1/me", headers=[("x-user", "ann"), ("x-user", "root"), ("x-groups", "ops")]
    )
    assert two.status_code == 403
    assert behind(segue, "10.1.2.3").get("/api/v1/me").status_code == 401


def test_the_address_behind_a_proxy_is_the_callers(segue: Segue) -> None:
    web = behind(segue, "10.1.2.3")
    headers = {"x-forwarded-for": "198.51.100.9, 203.0.113.5, 10.9.9.9"}
    web.post("/login", data={"token": "wrong"}, headers=headers)
    spoofed = behind(segue, "192.0.2.1")
    spoofed.post("/login", data={"token": "wrong"}, headers=headers)
    assert [entry.address for entry in segue.access.audit()] == ["192.0.2.1", "203.0.113.5"]


def test_a_body_that_is_too_long_is_refused(segue: Segue) -> None:
    web = client(segue, access=LocalAccess())
    run = segue.start(nothing)
    big = b'{"reason": "' + b"x" * (1 << 20) + b'"}'
    assert web.post(f"/api/v1/runs/{run.id}/pause", content=big).status_code == 413

    def pieces() -> Iterator[bytes]:
        for _ in range(40):
            yield b"x" * 40_000

    headers = {"content-type": "application/json"}
    assert web.post(f"/api/v1/runs/{run.id}/pause", content=pieces(), headers=headers).status_code == 413
    assert run.status.value == "pending"


def test_every_answer_has_the_headers_that_protect(segue: Segue) -> None:
    web = with_login(segue)
    for path in ("/", "/runs", "/login", "/nothing", "/api/v1/runs", "/healthz", "/static/app.js"):
        headers = web.get(path).headers
        assert "default-src 'none'" in headers["content-security-policy"], path
        assert "unsafe" not in headers["content-security-policy"]
        for part in ("frame-ancestors 'none'", "base-uri 'none'", "form-action 'self'", "script-src 'self'"):
            assert part in headers["content-security-policy"]
        assert "require-trusted-types-for 'script'; trusted-types segue" in headers["content-security-policy"]
        assert headers["x-content-type-options"] == "nosniff"
        assert (headers.get("cache-control") == "no-store") == (not path.startswith("/static"))
    kept = "public, max-age=31536000, immutable"
    url = f"/static/app.js?v={file_version('app.js')}"
    assert web.get(url).headers["cache-control"] == kept
    assert "cache-control" not in web.get("/static/app.js?v=of-another-version").headers
    assert web.get("/runs", headers={"x-request-id": "abc"}).headers["x-request-id"] == "abc"


def test_a_site_may_ask_for_reasons(one_segue: Segue) -> None:
    run = one_segue.start(nothing)
    web = client(one_segue, identify=lambda request: Identity("ann", "operator"), requires_reason=True)
    assert web.post(f"/api/v1/runs/{run.id}/pause", json={}).status_code == 200
    refused = web.post(f"/api/v1/runs/{run.id}/cancel", json={})
    assert (refused.status_code, refused.json()["code"]) == (400, "ReasonRequired")
    assert web.post(f"/api/v1/runs/{run.id}/cancel", json={"reason": "tidy up"}).status_code == 200


def test_people_look_at_a_database_that_takes_no_more(postgres_url: str) -> None:
    with Segue(postgres_url) as segue:
        run, token = segue.start(nothing), segue.access.create_token("ann", role="operator")
    for word, status in (("SET default_transaction_read_only = on", 503), ("RESET default_transaction_read_only", 200)):
        with psycopg.connect(postgres_url, autocommit=True) as connection:
            connection.execute("SET default_transaction_read_only = off")
            name = sql.Identifier(connection.info.dbname)
            connection.execute(sql.SQL(f"ALTER DATABASE {{}} {word}").format(name))
        with Segue(postgres_url) as segue:
            web = with_login(segue)
            assert web.get("/api/v1/runs", headers=bearer(token)).status_code == 200
            assert web.get(f"/runs/{run.id}", headers=bearer(token)).status_code == 200
            asked = web.post(f"/api/v1/runs/{run.id}/cancel", headers=bearer(token), json={})
            assert asked.status_code == status, asked.text
            assert ("retry-after" in asked.headers) == (status == 503)
