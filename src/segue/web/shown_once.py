"""Forms whose answer is shown on a page, once: a new access token, and values that are hidden elsewhere.

Such an answer lies in no cookie and in no URL.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

from starlette.requests import Request
from starlette.responses import HTMLResponse, Response
from starlette.routing import BaseRoute, Route

from segue.web.api.routes import answering, perform
from segue.web.forms import arguments_of
from segue.web.operations import OPERATIONS, Operation
from segue.web.pages.frame import error_page, view_of
from segue.web.rendering import rendered
from segue.web.requests import call_of, sent_pairs
from segue.web.site import Site

SHOWN = {
    "create_token": ("token.html", "New access token"),
    "reveal_run": ("revealed.html", "Values of a run"),
    "reveal_step": ("revealed.html", "Values of a step"),
}
"""The operations, with the template and the title of the page."""


def shown_once_routes(site: Site) -> list[BaseRoute]:
    """Instead of the routes that all forms have, which would send the person back without the answer."""
    return [
        Route(f"/act{OPERATIONS[name].path}", _showing(site, OPERATIONS[name], *shown), methods=["POST"])
        for name, shown in SHOWN.items()
    ]


def _showing(site: Site, operation: Operation, template: str, title: str) -> Callable[[Request], Any]:
    async def showing(request: Request) -> Response:
        call = call_of(site, request)
        arguments = arguments_of(operation, call, request, await sent_pairs(request))
        answer = await site.in_thread(lambda: perform(operation, call, **arguments))
        view = await site.in_thread(view_of, call, request)
        return HTMLResponse(rendered(template, view, title=title, data={"answer": answer, **arguments}))

    return answering(showing, functools.partial(error_page, site), route=f"/act{operation.path}")
