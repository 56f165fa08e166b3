"""The page on which people log in, and what it does: a token, or a login at the identity provider, becomes a session.

Promise: a login makes a new session id; each try is in the audit log; an address that fails often has to wait; the
answer to a wrong token and to an unknown one is the same.
"""

from __future__ import annotations

import base64
from datetime import timedelta
from typing import Any

import msgspec
from starlette.requests import Request
from starlette.responses import HTMLResponse, RedirectResponse, Response
from starlette.routing import BaseRoute, Route

from segue.web.access.combined import PLAIN_COOKIE, SECURE_COOKIE, LoginAccess, session_cookie
from segue.web.access.guard import address_of
from segue.web.api.routes import answering
from segue.web.pages.frame import error_page
from segue.web.paths import own_path, root_of
from segue.web.problems import ProblemError
from segue.web.rendering import rendered
from segue.web.requests import sent_pairs
from segue.web.site import Site

TRIES = ((timedelta(minutes=1), 5), (timedelta(minutes=15), 20))
"""How many logins of one address may fail within a time."""

BEGUN_COOKIE, SECURE_BEGUN_COOKIE = "segue_login", "__Host-segue_login"
WRONG = "This token is not valid. It may have expired, or it was revoked."


def login_routes(site: Site) -> list[BaseRoute]:
    """The routes of a site on which people log in; none if another application does that."""
    access = site.access
    if not isinstance(access, LoginAccess):
        return []
    desk = _Desk(site, access)
    return [
        Route(path, answering(function, desk.refused, route=path), methods=[method])
        for path, function, method in (
            ("/login", desk.page, "GET"), ("/login", desk.log_in, "POST"), ("/logout", desk.log_out, "POST"),
            ("/oidc/start", desk.begin, "GET"), ("/oidc/callback", desk.finish, "GET"),
        )
    ]  # fmt: skip


class _Desk:
    def __init__(self, site: Site, access: LoginAccess) -> None:
        self._site, self._access = site, access

    def refused(self, request: Request, error: Exception) -> Response:
        return error_page(self._site, request, error)

    async def page(self, request: Request) -> Response:
        return self._shown(request, own_path(request.query_params.get("next", "/")))

    async def log_in(self, request: Request) -> Response:
        self._check(request)
        fields = dict(await sent_pairs(request))
        next_ = own_path(fields.get("next", "/"))
        return await self._site.in_thread(self._exchange, request, fields.get("token", "").strip(), next_)

    def _exchange(self, request: Request, text: str, next_: str) -> Response:
        records, address = self._access.segue.access, address_of(request.scope)
        self._throttle(address)
        token = records.token(text)
        if token is None:
            records.record("login", ok=False, how="token", reason="the token is not valid", address=address,
                           request_id=request.scope.get("segue.request_id"))  # fmt: skip
            return self._shown(request, next_, WRONG, 403)
        return self._entered(request, token.name, token.role, next_, how="token", token_id=token.id)

    def _throttle(self, address: str | None) -> None:
        now = self._access.segue.engine.store.now()
        for span, most in TRIES:
            if self._access.segue.access.refused_logins(address or "", now - span) >= most:
                raise ProblemError(429, "TooManyLogins", "Too many logins have failed. Wait some minutes.")

    def _entered(
        self, request: Request, name: str, role: str, next_: str, *, how: str, token_id: str | None = None
    ) -> Response:
        records, address = self._access.segue.access, address_of(request.scope)
        old = session_cookie(request)
        if old is not None:
            records.close_session(old)
        value = records.open_session(
            name, role, how=how, token_id=token_id, address=address, agent=request.headers.get("user-agent"),
            lasts=self._access.session_lasts,
        )  # fmt: skip
        records.record("login", ok=True, actor=name, how=how, role=role, address=address,
                       request_id=request.scope.get("segue.request_id"))  # fmt: skip
        answer = RedirectResponse(root_of(request.scope) + next_, 303)
        secure = self._is_secure(request)
        answer.set_cookie(
            SECURE_COOKIE if secure else PLAIN_COOKIE, value, path="/", httponly=True, samesite="lax", secure=secure,
            max_age=int(self._access.session_lasts.total_seconds()),
        )  # fmt: skip
        return answer

    async def log_out(self, request: Request) -> Response:
        self._check(request)
        value = session_cookie(request)
        if value is not None:
            await self._site.in_thread(self._left, request, value)
        answer = RedirectResponse(f"{root_of(request.scope)}/login", 303)
        answer.delete_cookie(SECURE_COOKIE, path="/", secure=True, httponly=True, samesite="lax")
        answer.delete_cookie(PLAIN_COOKIE, path="/", httponly=True, samesite="lax")
        return answer

    def _left(self, request: Request, value: str) -> None:
        records = self._access.segue.access
        found = records.session(value)
        records.close_session(value)
        if found is not None:
            records.record(
                "logout", ok=True, actor=found.session.name, how=found.session.how, role=found.role,
                address=address_of(request.scope), request_id=request.scope.get("segue.request_id"),
            )  # fmt: skip

    async def begin(self, request: Request) -> Response:
        self._check(request)
        provider = self._access.provider
        if provider is None:
            raise ProblemError(404, "NotFound", "No identity provider is set up.")
        next_ = own_path(request.query_params.get("next", "/"))
        address, begun = await self._site.in_thread(provider.begin, self._callback(request), next_)
        answer = RedirectResponse(address, 303)
        answer.set_cookie(
            self._begun_cookie(request), base64.urlsafe_b64encode(msgspec.json.encode(begun)).decode(), max_age=600,
            path="/", httponly=True, samesite="lax", secure=self._is_secure(request),
        )  # fmt: skip
        return answer

    async def finish(self, request: Request) -> Response:
        self._check(request)
        answer = await self._site.in_thread(self._finished, request)
        answer.delete_cookie(self._begun_cookie(request), path="/", secure=self._is_secure(request))
        return answer

    def _finished(self, request: Request) -> Response:
        from segue.web.access.oidc import Begun  # noqa: PLC0415 - it is imported already if there is a provider

        provider, given = self._access.provider, request.query_params
        if provider is None:
            raise ProblemError(404, "NotFound", "No identity provider is set up.")
        self._throttle(address_of(request.scope))
        try:
            if "error" in given:
                raise ProblemError(403, "LoginRefused", f"The provider refused the login: {given['error'][:100]}.")
            try:
                kept = request.cookies.get(self._begun_cookie(request), "")
                begun = msgspec.json.decode(base64.urlsafe_b64decode(kept), type=Begun)
            except (ValueError, msgspec.DecodeError):
                raise ProblemError(403, "LoginRefused", "The login took too long. Log in again.") from None
            person = provider.finish(
                begun, state=given.get("state", ""), code=given.get("code", ""), callback=self._callback(request),
                issuer=given.get("iss"),
            )  # fmt: skip
        except ProblemError as error:
            if error.status == 403:
                self._access.segue.access.record(
                    "login", ok=False, how="oidc", reason=error.detail, address=address_of(request.scope),
                    request_id=request.scope.get("segue.request_id"),
                )  # fmt: skip
            raise
        return self._entered(request, person.name, person.role.word, own_path(begun.next), how="oidc")

    def _check(self, request: Request) -> None:
        """Raise what the guard found: a wrong host, another origin."""
        problem = request.scope.get("segue.problem")
        if problem is not None:
            raise problem

    def _callback(self, request: Request) -> str:
        public = self._site.settings.public_url
        base = (
            public
            if public is not None
            else f"{request.url.scheme}://{request.headers.get('host', '')}{root_of(request.scope)}"
        )
        return f"{base}/oidc/callback"

    def _is_secure(self, request: Request) -> bool:
        return bool(request.scope.get("segue.is_secure"))

    def _begun_cookie(self, request: Request) -> str:
        return SECURE_BEGUN_COOKIE if self._is_secure(request) else BEGUN_COOKIE

    def _shown(self, request: Request, next_: str, problem: str | None = None, status: int = 200) -> Response:
        data: dict[str, Any] = {"next": next_, "problem": problem, "has_provider": self._access.provider is not None}
        return HTMLResponse(
            rendered("login.html", None, title="Log in", root=root_of(request.scope), data=data), status
        )
