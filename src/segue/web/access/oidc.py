"""Login with an identity provider: OpenID Connect, the authorization code flow with PKCE.

Promise: a person enters only with an ID token that this provider signed for this client, in answer to a login that this
browser began. The person is the provider's name for them (`iss` and `sub`), never an e-mail address. It needs
`pip install "segue[oidc]"`.
"""

from __future__ import annotations

import base64
import hashlib
import secrets
import threading
import time
from typing import Any
from urllib.parse import urlencode, urlsplit

import httpx2
import msgspec
from joserfc import jwt
from joserfc.errors import JoseError
from joserfc.jwk import KeySet

from segue.errors import ConfigError
from segue.web.access.roles_by_group import GroupRoles
from segue.web.problems import ProblemError
from segue.web.roles import Role

ALGORITHMS = ["RS256", "ES256", "EdDSA"]
LEEWAY = 60
"""Seconds by which clocks may differ."""

KEYS_KEPT = 300
"""Seconds after which the keys of the provider may be read again."""

AGAIN_AFTER = 1.0
"""Seconds after which they may be read again for a token whose key is unknown."""

SECONDS = 10
"""How long the provider may take."""


class Begun(msgspec.Struct, frozen=True):
    """A login that a browser began; its cookie holds it until the provider sends the person back."""

    state: str
    nonce: str
    verifier: str
    next: str


class Person(msgspec.Struct, frozen=True):
    """Whom the provider has identified."""

    name: str
    role: Role


class Provider:
    """An identity provider, by its issuer.

    Example::

        Provider("https://login.example.org", client_id="segue", client_secret=secret,
                 roles=GroupRoles.parsed("ops=admin"))
    """

    def __init__(
        self, issuer: str, *, client_id: str, client_secret: str | None, roles: GroupRoles,
        groups_claim: str = "groups", name_claim: str = "preferred_username", scope: str = "openid profile email",
    ) -> None:  # fmt: skip
        parts = urlsplit(issuer)
        if parts.scheme != "https" and parts.hostname not in ("localhost", "127.0.0.1", "::1"):
            raise ConfigError(f"--oidc-issuer {issuer} is not an https address.")
        self.issuer = issuer.rstrip("/")
        self._id, self._secret, self._roles = client_id, client_secret, roles
        self._groups, self._name, self._scope = groups_claim, name_claim, scope
        self._lock = threading.Lock()
        self._found: dict[str, Any] | None = None
        self._keys: KeySet | None = None
        self._keys_at = 0.0

    def begin(self, callback: str, next_: str) -> tuple[str, Begun]:
        """The address of the provider to which the browser goes, and what it keeps in the meantime."""
        begun = Begun(secrets.token_urlsafe(32), secrets.token_urlsafe(32), secrets.token_urlsafe(48), next_)
        challenge = base64.urlsafe_b64encode(hashlib.sha256(begun.verifier.encode()).digest()).rstrip(b"=").decode()
        query = urlencode(
            {
                "response_type": "code", "client_id": self._id, "redirect_uri": callback, "scope": self._scope,
                "state": begun.state, "nonce": begun.nonce, "code_challenge": challenge,
                "code_challenge_method": "S256",
            }
        )  # fmt: skip
        address = str(self._metadata()["authorization_endpoint"])
        return f"{address}{'&' if '?' in address else '?'}{query}", begun

    def finish(self, begun: Begun, *, state: str, code: str, callback: str, issuer: str | None = None) -> Person:
        """Whom the provider has identified. Raises ProblemError for anything that does not fit."""
        if not secrets.compare_digest(begun.state.encode(), state.encode()):
            raise _refused("The login was not begun in this browser, or it was begun twice. Log in again.")
        if issuer is not None and issuer.rstrip("/") != self.issuer:
            raise _refused("The answer comes from another provider.")
        form = {
            "grant_type": "authorization_code", "code": code, "redirect_uri": callback, "client_id": self._id,
            "code_verifier": begun.verifier,
        }  # fmt: skip
        if self._secret is not None:
            form["client_secret"] = self._secret
        answer = self._fetched("POST", str(self._metadata()["token_endpoint"]), data=form)
        claims = self._claims(str(answer.get("id_token", "")))
        if claims.get("nonce") != begun.nonce:
            raise _refused("The ID token belongs to another login.")
        return self._person(claims)

    def _claims(self, id_token: str) -> dict[str, Any]:
        try:
            try:
                token = jwt.decode(id_token, self._key_set(), algorithms=ALGORITHMS)
            except (JoseError, ValueError):  # its key may be newer than ours
                token = jwt.decode(id_token, self._key_set(again=True), algorithms=ALGORITHMS)
            claims = dict(token.claims)
            jwt.JWTClaimsRegistry(
                leeway=LEEWAY, iss={"essential": True, "values": [self.issuer, self.issuer + "/"]},
                aud={"essential": True, "value": self._id}, exp={"essential": True}, sub={"essential": True},
                iat={"essential": True},
            ).validate(claims)  # fmt: skip
        except (JoseError, ValueError) as error:
            raise _refused("The ID token is not valid.") from error
        audiences = claims["aud"] if isinstance(claims["aud"], list) else [claims["aud"]]
        if (len(audiences) > 1 or "azp" in claims) and claims.get("azp") != self._id:
            raise _refused("The ID token is for another client.")
        return claims

    def _person(self, claims: dict[str, Any]) -> Person:
        groups = claims.get(self._groups, [])
        named = [groups] if isinstance(groups, str) else [str(each) for each in groups or []]
        shown = str(claims.get(self._name) or claims["sub"])
        role = self._roles.role_of(named)
        if role is None:
            raise ProblemError(403, "Forbidden", f"{shown[:100]} is in no group that may enter.")
        return Person(f"{shown[:100]} ({str(claims['sub'])[:100]})" if shown != claims["sub"] else shown[:200], role)

    def _metadata(self) -> dict[str, Any]:
        with self._lock:
            if self._found is None:
                found = self._fetched("GET", f"{self.issuer}/.well-known/openid-configuration")
                if str(found.get("issuer", "")).rstrip("/") != self.issuer:
                    raise _refused("The provider calls itself by another name than --oidc-issuer.")
                self._found = found
            return self._found

    def _key_set(self, *, again: bool = False) -> KeySet:
        address = str(self._metadata()["jwks_uri"])
        with self._lock:
            age = time.monotonic() - self._keys_at
            if self._keys is None or age > KEYS_KEPT or (again and age > AGAIN_AFTER):
                self._keys = KeySet.import_key_set(self._fetched("GET", address))  # type: ignore[arg-type]
                self._keys_at = time.monotonic()
            return self._keys

    def _fetched(self, method: str, address: str, **others: Any) -> dict[str, Any]:
        try:
            answer = httpx2.request(method, address, timeout=SECONDS, follow_redirects=False, **others)
            answer.raise_for_status()
            found = answer.json()
        except (httpx2.HTTPError, ValueError) as error:
            raise ProblemError(
                503, "ProviderUnavailable", "The identity provider does not answer as it should."
            ) from error
        if not isinstance(found, dict):
            raise ProblemError(503, "ProviderUnavailable", "The identity provider does not answer as it should.")
        return found


def _refused(text: str) -> ProblemError:
    return ProblemError(403, "LoginRefused", text)
