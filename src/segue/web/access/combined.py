"""The access of `segue web` with a login: tokens of programs, sessions of browsers, and a proxy's headers."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING
from urllib.parse import urlencode

from starlette.requests import HTTPConnection

from segue.client import Segue
from segue.web.access.proxy import TrustedProxy
from segue.web.problems import ProblemError
from segue.web.roles import Identity, role_named

if TYPE_CHECKING:
    from segue.web.access.oidc import Provider

SECURE_COOKIE, PLAIN_COOKIE = "__Host-segue", "segue"


class LoginAccess:
    """Asks each request for a token, a session or the proxy's word."""

    def __init__(
        self, segue: Segue, *, proxy: TrustedProxy | None = None, provider: Provider | None = None,
        session_lasts: timedelta | None = None,
    ) -> None:  # fmt: skip
        self.segue, self.proxy, self.provider = segue, proxy, provider
        self.session_lasts = session_lasts or (timedelta(days=7) if provider is None else timedelta(hours=12))

    def identify(self, request: HTTPConnection) -> Identity | None:
        """Who makes a request. Raises ProblemError for a token that is not valid."""
        given = request.headers.get("authorization")
        if given is not None:
            return self._of_token(given)
        if self.proxy is not None:
            named = self.proxy.identify(request)
            if named is not None:
                return named
        value = session_cookie(request)
        return None if value is None else self._of_session(value)

    def login_url(self, root: str, here: str) -> str | None:
        """The page of this application."""
        return f"{root}/login" + ("" if here == "/" else f"?{urlencode({'next': here})}")

    def _of_token(self, header: str) -> Identity:
        scheme, _, text = header.partition(" ")
        token = self.segue.access.token(text.strip()) if scheme.lower() == "bearer" else None
        if token is None:
            raise ProblemError(401, "Unauthorized", "The access token is not valid, or it has expired or was revoked.")
        return Identity(
            token.name, role_named(token.role), how="token", scopes=_scopes(token.scopes), workflows=token.workflows,
            credential=token.id,
        )  # fmt: skip

    def _of_session(self, value: str) -> Identity | None:
        found = self.segue.access.session(value)
        if found is None:
            return None
        return Identity(
            found.session.name, role_named(found.role), how="session", scopes=_scopes(found.scopes),
            workflows=found.workflows, credential=found.session.id,
        )  # fmt: skip


def session_cookie(request: HTTPConnection) -> str | None:
    """The value of the session's cookie, if there is one.

    Over https only the one that no neighbouring host name can set.
    """
    return request.cookies.get(SECURE_COOKIE if request.scope.get("segue.is_secure") else PLAIN_COOKIE)


def _scopes(names: tuple[str, ...] | None) -> frozenset[str] | None:
    return None if names is None else frozenset(names)
