"""What all pages share: how they are registered, rendered and answered, as HTML or, with `?format=json`, as JSON.

A page is one short look at the database. It is complete without JavaScript. Its URL holds all its state.

Example::

    @page("/queues", Role.VIEWER)
    def queues(view: View) -> Page:
        return Page("queues.html", "Queues", {"queues": ...})
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any
from zoneinfo import ZoneInfo

from starlette.requests import Request
from starlette.responses import HTMLResponse, PlainTextResponse, RedirectResponse, Response
from starlette.routing import BaseRoute, Route

from segue.observing.harmless_log import get_logger
from segue.web.access.token_limits import check_pages
from segue.web.api.routes import answering, json_answer, problem_answer
from segue.web.brief import briefly
from segue.web.flash import SAID_COOKIE, taken
from segue.web.operations import Call
from segue.web.paths import fixed_first, inner_path, root_of
from segue.web.problems import ProblemError, problem_of
from segue.web.rendering import rendered
from segue.web.requests import call_of
from segue.web.roles import Role
from segue.web.site import Site
from segue.web.zones import zone_of

PAGES: dict[str, _Entry] = {}
"""Every page, by path. `segue.web.pages` imports the modules that define them."""

_log = get_logger("segue.web")


@dataclass(frozen=True, slots=True)
class Page:
    """What a page shows. `data` is what the template gets, and what `?format=json` returns."""

    template: str
    title: str
    data: Mapping[str, Any]
    live: str | None = None  # the topic whose changes it shows, as "run:ID"; None: it does not change
    status: int = 200
    also: Mapping[str, Any] = field(default_factory=dict)  # what only the template gets


@dataclass(frozen=True, slots=True)
class Redirect:
    """Another page instead."""

    to: str  # a path of this application, as "/runs/..."


@dataclass(frozen=True, slots=True)
class Download:
    """A plain text instead of a page, which browsers save."""

    text: str
    name: str  # of the file: letters, digits, - and .


Answer = Page | Redirect | Download


@dataclass(slots=True)
class View:
    """One view of a page."""

    call: Call
    path: Mapping[str, str]  # the parameters in the path
    query: str
    now: datetime  # by the database's clock
    zone: ZoneInfo  # in which times are shown
    theme: str | None  # "light", "dark" or None: that of the system
    root: str  # the path at which the application is mounted, without a slash at its end
    here: str  # the path and the query of this page, below root
    said: dict[str, Any] | None = None  # the outcome of what was done just before
    is_json: bool = False  # a program asks, with ?format=json
    settings: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class _Entry:
    path: str
    role: Role
    function: Callable[[View], Answer]


def page(path: str, role: Role = Role.VIEWER) -> Callable[[Callable[[View], Answer]], Callable[[View], Answer]]:
    """Make a function a page at this path."""

    def registered(function: Callable[[View], Answer]) -> Callable[[View], Answer]:
        if path in PAGES:
            raise ValueError(f"There are two pages at {path}.")
        PAGES[path] = _Entry(path, role, function)
        return function

    return registered


def page_routes(site: Site) -> list[BaseRoute]:
    """A route for each page."""
    return [Route(each.path, _endpoint(site, each), methods=["GET"]) for each in fixed_first(PAGES.values())]


def _endpoint(site: Site, entry: _Entry) -> Callable[[Request], Any]:
    async def endpoint(request: Request) -> Response:
        call = call_of(site, request)
        return await site.in_thread(lambda: _answered(entry, call, request, as_json=_as_json(request)))

    def refused(request: Request, error: Exception) -> Response:
        return problem_answer(error) if _as_json(request) else error_page(site, request, error)

    return answering(endpoint, refused, route=entry.path)


def _as_json(request: Request) -> bool:
    return request.query_params.get("format") == "json"


def _answered(entry: _Entry, call: Call, request: Request, *, as_json: bool) -> Response:
    if call.identity.role < entry.role:
        raise ProblemError(403, "Forbidden", f"This page is for the role {entry.role.word}.")
    check_pages(call.identity)
    with briefly(call.segue):
        view = view_of(call, request)
        view.is_json = as_json
        shown = entry.function(view)
    if isinstance(shown, Redirect):
        return RedirectResponse(view.root + shown.to, 303)
    if isinstance(shown, Download):
        headers = {"content-disposition": f'attachment; filename="{shown.name}"'}
        return PlainTextResponse(shown.text, headers=headers)
    if as_json:
        return json_answer(dict(shown.data), shown.status)
    text = rendered(shown.template, view, title=shown.title, live=shown.live, data={**shown.data, **shown.also})
    tag = '"' + hashlib.blake2b(text.encode(), digest_size=12).hexdigest() + '"'
    if request.headers.get("if-none-match") == tag and view.said is None:
        return Response(None, 304, {"etag": tag})
    answer = HTMLResponse(text, shown.status, {"etag": tag, "vary": "Cookie, X-Segue-Fragment"})
    if view.said is not None:
        answer.delete_cookie(SAID_COOKIE, path="/")
    return answer


def view_of(call: Call, request: Request) -> View:
    """A view, from a request."""
    path = inner_path(request.scope)
    query = "&".join(part for part in request.url.query.split("&") if not part.startswith("format="))
    return View(
        call=call, path=request.path_params, query=query, now=call.segue.engine.store.now(),
        zone=zone_of(request.cookies), theme=_theme(request.cookies.get("segue_theme")), root=root_of(request.scope),
        here=path + (f"?{query}" if query else ""), said=taken(request.cookies),
        settings={
            "fragment": request.headers.get("x-segue-fragment", ""),
            "density": request.cookies.get("segue_density", ""), "keys": request.cookies.get("segue_keys", ""),
        },
    )  # fmt: skip


def error_page(site: Site, request: Request, error: Exception) -> Response:
    """An error as a page; a stranger learns no more than that."""
    problem = problem_of(error)
    if problem is None:
        _log.exception("a page failed", exc_info=error)
        problem = ProblemError(500, "InternalError", "The server failed. Its log says why.")
    root = root_of(request.scope)
    if problem.status == 401:
        here = inner_path(request.scope) + (f"?{request.url.query}" if request.url.query else "")
        login = site.access.login_url(root, here if request.method == "GET" else "/")
        if login is not None:
            return RedirectResponse(login, 303)
    text = rendered("problem.html", None, title=problem.to_dict()["title"], root=root, data={"problem": problem})
    return HTMLResponse(text, problem.status, problem.headers)


def _theme(word: str | None) -> str | None:
    return word if word in ("light", "dark") else None
