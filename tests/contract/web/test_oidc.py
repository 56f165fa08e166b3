"""A login at an identity provider lets in whom the provider has identified in this browser, and no other."""

from __future__ import annotations

import base64
import hmac
import json
import time
from collections.abc import Iterator
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from joserfc import jwt
from joserfc.jwk import RSAKey
from starlette.testclient import TestClient

from segue import Segue
from segue.errors import ConfigError
from segue.web import create_app
from segue.web.access.combined import LoginAccess
from segue.web.access.oidc import Provider
from segue.web.access.roles_by_group import GroupRoles
from tests.contract.web.provider import CLIENT, SECRET, IdentityProvider

pytestmark = pytest.mark.contract

ROLES = GroupRoles.parsed("ops=operator", default="none")


@pytest.fixture(scope="module")
def shared() -> Iterator[IdentityProvider]:
    found = IdentityProvider()
    yield found
    found.close()


@pytest.fixture
def idp(shared: IdentityProvider) -> IdentityProvider:
    """The provider, as it was at first."""
    shared.claims, shared.header, shared.token, shared.is_away = {}, {}, None, False
    shared.published = [shared.key]
    return shared


@pytest.fixture
def segue(tmp_path: Any) -> Iterator[Segue]:
    """One database is enough: what is asked here does not depend on its kind."""
    with Segue(f"sqlite:///{tmp_path}/segue.db") as found:
        yield found


@pytest.fixture
def web(segue: Segue, idp: IdentityProvider) -> TestClient:
    provider = Provider(idp.issuer, client_id=CLIENT, client_secret=SECRET, roles=ROLES)
    app = create_app(segue, access=LoginAccess(segue, provider=provider))
    return TestClient(app, base_url="http://localhost", follow_redirects=False)


def began(web: TestClient, next_: str = "/runs") -> str:
    answer = web.get(f"/oidc/start?next={next_}")
    assert answer.status_code == 303
    return str(answer.headers["location"])


def came_back(web: TestClient, idp: IdentityProvider, **changed: Any) -> Any:
    address = began(web)
    state = parse_qs(urlsplit(address).query)["state"][0]
    return web.get("/oidc/callback", params={"code": idp.authorize(address), "state": state, **changed})


def test_a_person_whom_the_provider_knows_enters(web: TestClient, idp: IdentityProvider, segue: Segue) -> None:
    assert "/oidc/start" in web.get("/login").text
    answer = came_back(web, idp)
    assert (answer.status_code, answer.headers["location"]) == (303, "/runs")
    me = web.get("/api/v1/me").json()
    assert (me["name"], me["role"], me["how"]) == ("ann (u-17)", "operator", "session")
    [entry] = segue.access.audit()
    assert (entry.action, entry.ok, entry.how) == ("login", True, "oidc")


NOW = int(time.time())
WRONG_CLAIMS: dict[str, dict[str, Any]] = {
    "another issuer": {"iss": "https://evil.example"},
    "another client": {"aud": "other"},
    "another authorized party": {"aud": [CLIENT, "other"], "azp": "other"},
    "several clients": {"aud": [CLIENT, "other"]},
    "another login": {"nonce": "x"},
    "no nonce": {"nonce": None},
    "expired": {"exp": NOW - 3600},
    "no end": {"exp": None},
    "not yet valid": {"nbf": NOW + 3600},
    "no subject": {"sub": None},
    "no groups": {"groups": None},
    "groups that have no role": {"groups": ["OPS", "admin"]},
}


@pytest.mark.parametrize("case", WRONG_CLAIMS)
def test_a_token_that_is_for_something_else_is_refused(
    web: TestClient, idp: IdentityProvider, case: str, segue: Segue
) -> None:
    idp.claims = WRONG_CLAIMS[case]
    assert came_back(web, idp).status_code == 403
    assert web.get("/api/v1/me").status_code == 401
    assert segue.access.sessions() == []
    assert [entry.ok for entry in segue.access.audit()] == [False]


def forged(idp: IdentityProvider, case: str) -> str:
    claims = {"iss": idp.issuer, "aud": CLIENT, "sub": "u-17", "iat": NOW, "exp": NOW + 900, "groups": ["ops"]}
    if case == "not signed":
        return "eyJhbGciOiJub25lIn0.eyJzdWIiOiJ1LTE3In0."
    if case == "by another key":
        return jwt.encode({"alg": "RS256", "kid": "one"}, claims, RSAKey.generate_key(2048, {"kid": "one"}))
    if case == "by the public key as a password":
        parts = [_part({"alg": "HS256", "kid": "one"}), _part(claims)]
        signature = hmac.digest(idp.key.as_pem(private=False), ".".join(parts).encode(), "sha256")
        return ".".join([*parts, base64.urlsafe_b64encode(signature).rstrip(b"=").decode()])
    return case


def _part(value: Any) -> str:
    return base64.urlsafe_b64encode(json.dumps(value).encode()).rstrip(b"=").decode()


@pytest.mark.parametrize(
    "case", ["not signed", "by another key", "by the public key as a password", "", "a.b", "a.b.c"]
)
def test_a_token_that_the_provider_did_not_sign_is_refused(web: TestClient, idp: IdentityProvider, case: str) -> None:
    idp.token = forged(idp, case) or " "
    assert came_back(web, idp).status_code == 403
    assert web.get("/api/v1/me").status_code == 401


@pytest.mark.parametrize(
    "changed", [{"state": "x"}, {"state": ""}, {"iss": "https://evil.example"}, {"error": "access_denied"}]
)
def test_an_answer_to_another_login_is_refused(web: TestClient, idp: IdentityProvider, changed: dict[str, str]) -> None:
    assert came_back(web, idp, **changed).status_code == 403
    assert web.get("/api/v1/me").status_code == 401


def test_a_login_that_another_browser_began_is_refused(web: TestClient, idp: IdentityProvider, segue: Segue) -> None:
    address = began(web)
    state = parse_qs(urlsplit(address).query)["state"][0]
    code = idp.authorize(address)
    web.cookies.clear()
    assert web.get("/oidc/callback", params={"code": code, "state": state}).status_code == 403


def test_a_code_is_good_once(web: TestClient, idp: IdentityProvider) -> None:
    address = began(web)
    cookies = dict(web.cookies)
    answer = {"code": idp.authorize(address), "state": parse_qs(urlsplit(address).query)["state"][0]}
    assert web.get("/oidc/callback", params=answer).status_code == 303
    web.cookies.clear()
    web.cookies.update(cookies)
    assert web.get("/oidc/callback", params=answer).status_code == 503


def test_keys_may_change(web: TestClient, idp: IdentityProvider, monkeypatch: pytest.MonkeyPatch) -> None:
    assert came_back(web, idp).status_code == 303
    old = idp.key
    idp.key = RSAKey.generate_key(2048, {"kid": "two"})
    idp.published = [idp.key]
    monkeypatch.setattr("segue.web.access.oidc.AGAIN_AFTER", 0.0)
    try:
        assert came_back(web, idp).status_code == 303
    finally:
        idp.key = old


def test_a_provider_that_is_away_is_no_refusal(web: TestClient, idp: IdentityProvider, segue: Segue) -> None:
    idp.is_away = True
    assert web.get("/oidc/start").status_code == 503
    idp.is_away = False
    assert came_back(web, idp).status_code == 303


@pytest.mark.parametrize("issuer", ["http://login.example.org", "login.example.org", "ftp://x"])
def test_a_provider_has_an_https_address(issuer: str) -> None:
    with pytest.raises(ConfigError):
        Provider(issuer, client_id="x", client_secret=None, roles=ROLES)


@pytest.mark.parametrize("text", ["ops", "=admin", "ops=root", "ops=admin,x"])
def test_roles_of_groups_that_cannot_be_read_are_an_error(text: str) -> None:
    with pytest.raises(ConfigError):
        GroupRoles.parsed(text)
