"""The application: API, pages and streams behind one guard.

It needs no lifespan: everything is made when it is first used, so it can be mounted anywhere.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path
from urllib.parse import quote, unquote, urlsplit

from starlette.applications import Starlette
from starlette.convertors import Convertor, register_url_convertor
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Mount
from starlette.staticfiles import StaticFiles
from starlette.types import ASGIApp, Receive, Scope, Send

from segue.client import Segue
from segue.errors import ConfigError
from segue.web import api, operator_probes, pages, probes
from segue.web.access.guard import Guard
from segue.web.access.host import HostAccess, Identify, NoAccess
from segue.web.access.login import login_routes
from segue.web.api.routes import PREFIX, api_routes, problem_answer
from segue.web.forms import form_routes
from segue.web.health import health_routes
from segue.web.live import Bells, live_route
from segue.web.openapi import openapi_route
from segue.web.pages.frame import error_page, page_routes
from segue.web.paths import inner_path
from segue.web.preferences import preference_routes
from segue.web.problems import ProblemError
from segue.web.rendering import FOLDER, file_version
from segue.web.shown_once import shown_once_routes
from segue.web.site import Access, Settings, Site
from segue.web.subscription_form import subscription_form_routes

PARTS = (*api.MODULES, *pages.MODULES, probes, operator_probes)
"""The modules that define operations, pages and topics."""

SLASH = "\x00"
"""Stands for a slash inside a name, between the server and the routes."""


class _NamePart(Convertor[str]):
    """A name in a path, which may itself contain slashes if they are written as %2F: `{name:name}`."""

    regex = "[^/]+"

    def convert(self, value: str) -> str:
        return value.replace(SLASH, "/")

    def to_string(self, value: str) -> str:
        return value.replace("/", "%2F")


register_url_convertor("name", _NamePart())


def create_app(
    segue: Segue | str | None = None, *, identify: Identify | None = None, access: Access | None = None,
    login: str | None = None, public_url: str | None = None, allowed_hosts: Iterable[str] = (),
    allow_shell: bool = False, live: str = "stream", requires_reason: bool = False,
) -> ASGIApp:  # fmt: skip
    """The web pages and the HTTP API of a database, as an ASGI application to mount or to serve.

    `identify` says who makes a request: a function from a Starlette request to an `Identity`, or None for a
    stranger. Without it, and without `access`, every request is refused. `login` is the path to which a stranger
    is sent. `public_url` is the address that browsers use, if a proxy stands in between. `live="poll"` is for servers
    that cannot hold connections open, as WSGI.

    Example::

        app.mount("/segue", create_app(Segue(url), identify=lambda request: Identity(request.user.name, "viewer")))
    """
    if live not in ("stream", "poll"):
        raise ConfigError(f'live={live!r} is neither "stream" nor "poll".')
    found = segue if isinstance(segue, Segue) else Segue(segue)
    chosen: Access = access or (HostAccess(identify, login=login) if identify is not None else NoAccess())
    settings = Settings(
        public_url=public_url, allowed_hosts=tuple(allowed_hosts), allow_shell=allow_shell, live=live,
        requires_reason=requires_reason,
    )  # fmt: skip
    return Application(Site(found, chosen, settings))


class Application:
    """The ASGI application over one site. `bells` are its streams, which a server stops before it stops."""

    def __init__(self, site: Site) -> None:
        self.site = site
        self.bells = Bells(site)
        routes: list[BaseRoute] = [
            Mount("/static", _Files(directory=FOLDER / "static"), name="static"),
            *health_routes(site),
            live_route(site, self.bells), openapi_route(), *api_routes(site), *shown_once_routes(site),
            *form_routes(site), *subscription_form_routes(site), *login_routes(site),
            *preference_routes(site), *page_routes(site),
        ]  # fmt: skip
        inner = Starlette(routes=routes, exception_handlers={404: self._missing, 405: self._missing})
        self._root = urlsplit(site.settings.public_url or "").path.rstrip("/")
        self._guarded = Guard(_whole_names(inner), site)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """One request."""
        if self._root and scope["type"] == "http" and not scope.get("root_path"):
            scope = _below(scope, self._root)
        await self._guarded(scope, receive, send)

    async def _missing(self, request: Request, error: Exception) -> Response:
        refused = request.scope.get("segue.problem")
        status = getattr(error, "status_code", 404)
        code = "NotFound" if status == 404 else "MethodNotAllowed"
        text = f"There is nothing at {request.url.path[:200]} for {request.method}."
        problem = refused or ProblemError(status, code, text)
        if inner_path(request.scope).startswith(PREFIX):
            return problem_answer(problem)
        return error_page(self.site, request, problem)


class _Files(StaticFiles):
    """Our files. Under the name that pages give it, with the digest of its content, a file never changes."""

    def file_response(
        self, full_path: str | os.PathLike[str], stat_result: os.stat_result, scope: Scope, status_code: int = 200
    ) -> Response:  # fmt: skip
        """The file, or that it has not changed."""
        answer = super().file_response(full_path, stat_result, scope, status_code)
        if scope["query_string"] == f"v={file_version(Path(full_path).name)}".encode():
            answer.headers["cache-control"] = "public, max-age=31536000, immutable"
        return answer


def _below(scope: Scope, root: str) -> Scope:
    """The scope of a request whose path a proxy has cut: as ASGI has it, the path begins with the root."""
    path, raw = str(scope["path"]), scope.get("raw_path") or b""
    if path != root and not path.startswith(root + "/"):
        path, raw = root + path, quote(root).encode() + raw if raw else b""
    return {**scope, "root_path": root, "path": path, "raw_path": raw or None}


def _whole_names(app: ASGIApp) -> ASGIApp:
    """Keep a %2F in the path apart from a slash: servers decode both to the same."""

    async def routed(scope: Scope, receive: Receive, send: Send) -> None:
        raw = scope.get("raw_path")
        if scope["type"] == "http" and raw and b"%2f" in raw.lower():
            parts = raw.decode("ascii", "replace").partition("?")[0].split("/")
            scope = {**scope, "path": "/".join(unquote(part).replace("/", SLASH) for part in parts)}
        await app(scope, receive, send)

    return routed
