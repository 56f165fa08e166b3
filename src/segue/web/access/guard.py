"""In front of everything, API, pages and streams alike: it refuses wrong hosts, other sites and unknown callers.

It also bounds the size of requests and sets the headers that every answer has.
"""

from __future__ import annotations

import time
import uuid
from collections.abc import Iterable
from typing import Any
from urllib.parse import urlsplit

import anyio
from starlette.datastructures import Headers, MutableHeaders
from starlette.requests import HTTPConnection
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from segue.observing.harmless_log import get_logger
from segue.observing.metrics.meter import metering
from segue.observing.metrics.registry import HTTP_REQUESTS, HTTP_SECONDS
from segue.web.paths import inner_path
from segue.web.problems import ProblemError, problem_of
from segue.web.roles import Identity
from segue.web.site import Site

MOST_BYTES = 1 << 20
"""The longest body of a request."""

BODY_SECONDS = 30.0
"""How long the whole body of a request may take to come."""

MOST_DIGITS = 20  # of the header Content-Length

OPEN = ("/healthz", "/readyz", "/static/", "/login", "/logout", "/oidc/", "/robots.txt", "/api/v1/openapi.json")
"""Paths that need no login."""

_SAFE = frozenset({"GET", "HEAD", "OPTIONS"})
STREAMS = ("/live", "/api/v1/runs/{run_id}/follow")

_log = get_logger("segue.web")
_requests = get_logger("segue.web.requests")

POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; "
    "form-action 'self'; base-uri 'none'; frame-ancestors 'none'; "
    "require-trusted-types-for 'script'; trusted-types segue"
)
HEADERS = {
    "content-security-policy": POLICY,
    "x-content-type-options": "nosniff",
    "referrer-policy": "same-origin",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
    "permissions-policy": "camera=(), geolocation=(), microphone=()",
}


class Guard:
    """The outermost part of the application. It leaves the caller in `scope["segue.identity"]`."""

    def __init__(self, app: ASGIApp, site: Site) -> None:
        self._app, self._site = app, site

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """One request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        path = inner_path(scope)
        request = HTTPConnection(scope)
        scope["segue.seen"] = {}  # what is known of the request when it has ended; copies of the scope share it
        scope["segue.is_secure"] = (self._site.settings.public_url or str(scope.get("scheme", ""))).startswith("https")
        began = time.monotonic()
        # also for those who are refused: an endpoint may read what they send
        receive = bounded(receive, may_change=scope["method"] not in _SAFE)
        scope["segue.request_id"] = request.headers.get("x-request-id", "")[:64] or uuid.uuid4().hex
        answer = _Answer(send, scope, self._site, keeps=path.startswith("/static/"))
        try:
            check_host(request.headers, self._site.settings.allowed_hosts)
            proxy = self._site.access.proxy
            peer = request.client.host if request.client else None
            scope["segue.address"] = peer if proxy is None else proxy.address_of(request)
            if not path.startswith(OPEN):
                identity = await self._site.in_thread(self._site.access.identify, request)
                if identity is None:
                    raise ProblemError(
                        401, "Unauthorized", "The request does not say who makes it. Log in, or send an access token."
                    )
                scope["segue.identity"] = identity
                if scope["method"] not in _SAFE and identity.is_ambient:
                    self._check_origin(request)
            elif scope["method"] not in _SAFE:
                self._check_origin(request)
            check_length(request.headers)
        except Exception as error:  # noqa: BLE001 - it is logged, or said to the caller
            scope["segue.problem"] = _refusal(error)
        try:
            await self._app(scope, receive, answer)
        finally:
            _note(scope, answer.status, time.monotonic() - began)

    def _check_origin(self, request: HTTPConnection) -> None:
        proxy = self._site.access.proxy
        scheme = str(request.scope.get("scheme", "")) if proxy is None else proxy.scheme_of(request)
        check_origin(request.headers, self._site.settings.public_url, scheme)


def check_host(headers: Headers, allowed: Iterable[str]) -> None:
    """Refuse a request for another host: a name of a stranger that points to this machine (DNS rebinding)."""
    allowed = tuple(allowed)
    if not allowed:
        return
    host = headers.get("host", "").lower()
    name = host.rpartition(":")[0] if host.rpartition(":")[2].isdigit() and ":" in host else host
    if name not in allowed:
        raise ProblemError(
            400, "WrongHost",
            f"This server does not answer for the host {name[:100]!r}. Open it as {allowed[0]}, or name the host with "
            "--public-url.",
        )  # fmt: skip


def check_origin(headers: Headers, public_url: str | None, scheme: str = "") -> None:
    """Refuse a change that a page of another site makes a browser ask for.

    Browsers say from where a request comes: in Sec-Fetch-Site, older ones in Origin. A program that says neither is not
    a browser. `scheme` is that of the request, as far as it is known: a proxy may have ended TLS and not say so. So a
    page of https may always change what the same host shows, but one of http nothing that is shown over https.
    """
    site = headers.get("sec-fetch-site")
    if site in ("same-origin", "none"):
        return
    origin = headers.get("origin")
    if site is None and origin is None:
        return
    if origin is not None and site is None and _is_own(origin, headers.get("host", ""), public_url, scheme):
        return
    raise ProblemError(403, "CrossOrigin", "The request comes from a page of another site, so it is refused.")


def _is_own(text: str, host: str, public_url: str | None, scheme: str) -> bool:
    """Whether an origin is this site's: the one of the public URL, or the host that was asked, by TLS if this is."""
    try:
        origin = urlsplit(text)
    except ValueError:
        return False
    public = urlsplit(public_url or "")
    if not origin.netloc or origin.scheme not in ("http", "https"):
        return False
    if (origin.scheme, origin.netloc) == (public.scheme, public.netloc):
        return True
    is_secure = scheme == "https" or (public.scheme == "https" and public.netloc == host)
    return origin.netloc == host and (origin.scheme == "https" or not is_secure)


def check_length(headers: Headers) -> None:
    """Refuse a body whose header says that it is too long. Raises ProblemError."""
    length = headers.get("content-length", "0")
    if length.isdigit() and (len(length) > MOST_DIGITS or int(length) > MOST_BYTES):
        raise ProblemError(413, "TooLarge", f"The body is longer than {MOST_BYTES:,} bytes.")


def bounded(receive: Receive, *, may_change: bool = True) -> Receive:
    """Refuse a body that is too long, whatever its header says, or that does not come in time.

    A request that only reads ends like one whose client has left, because no endpoint reads its body.
    """
    seen = 0
    ends: float | None = anyio.current_time() + BODY_SECONDS  # None: the body is there

    async def counted() -> Message:
        nonlocal seen, ends
        if ends is None:  # what comes now is that the client leaves
            return await receive()
        try:
            with anyio.fail_after(max(0.0, ends - anyio.current_time())):
                message = await receive()
        except TimeoutError:
            return refused(ProblemError(408, "TooSlow", f"The body did not come within {BODY_SECONDS:g} s."))
        seen += len(message.get("body", b""))
        if seen > MOST_BYTES:
            return refused(ProblemError(413, "TooLarge", f"The body is longer than {MOST_BYTES:,} bytes."))
        if not message.get("more_body", False):
            ends = None
        return message

    def refused(problem: ProblemError) -> Message:
        if may_change:
            raise problem
        return {"type": "http.disconnect"}

    return counted


def _refusal(error: Exception) -> ProblemError:
    """What a stranger learns of an error: not where the database is, nor what it says."""
    if isinstance(error, ProblemError):
        return error
    problem = problem_of(error)
    if problem is not None and problem.status == 503:
        _log.error("a request could not be identified: %s", error)
        return ProblemError(503, problem.code, "The database does not answer now. Try again later.")
    _log.error("a request could not be identified", exc_info=error)
    return ProblemError(500, "InternalError", "The caller could not be identified.")


class _Answer:
    """Sends an answer with the headers that all have."""

    def __init__(self, send: Send, scope: Scope, site: Site, *, keeps: bool) -> None:
        self._send, self._scope, self._site, self._keeps = send, scope, site, keeps
        self.status = 0

    async def __call__(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self.status = message["status"]
            headers = MutableHeaders(scope=message)
            for name, value in HEADERS.items():
                headers.setdefault(name, value)
            if not self._keeps:
                headers.setdefault("cache-control", "no-store")
            if (self._site.settings.public_url or "").startswith("https:"):
                headers.setdefault("strict-transport-security", "max-age=31536000")
            headers.setdefault("x-request-id", self._scope["segue.request_id"])
        await self._send(message)


def _note(scope: Scope, status: int, seconds: float) -> None:
    """Write a line about a request that has ended, and count it. The route, not the path: that may have secrets."""
    route = scope["segue.seen"].get("route", "other")
    identity = scope.get("segue.identity")
    _requests.info(
        "%s %s %d %.0f ms %s", scope["method"], route, status, seconds * 1000, identity.name if identity else "-",
        extra={"route": route, "method": scope["method"], "status": status, "seconds": round(seconds, 4),
               "actor": identity.name if identity else None, "request_id": scope["segue.request_id"]},
    )  # fmt: skip
    metering.add(HTTP_REQUESTS, route, scope["method"], f"{status // 100}xx")
    if route not in STREAMS:
        metering.observe(HTTP_SECONDS, route, amount=seconds)


def address_of(scope: Any) -> str | None:
    """The address of the caller, behind a trusted proxy."""
    found: str | None = scope.get("segue.address")
    return found


def identity_of(scope: Any) -> Identity:
    """The caller of a request that passed the guard. Raises ProblemError for one that did not."""
    problem = scope.get("segue.problem")
    if problem is not None:
        raise problem
    identity = scope.get("segue.identity")
    if identity is None:
        raise ProblemError(
            401, "Unauthorized", "The request does not say who makes it. Log in, or send an access token."
        )
    found: Identity = identity
    return found
