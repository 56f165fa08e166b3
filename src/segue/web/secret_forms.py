"""Forms with secrets, which lie in no cookie and no URL: each answers with a page instead of leading to one.

A new access token is shown once. The target of a subscription may contain a token of another service.
"""

from __future__ import annotations

import functools
from urllib.parse import parse_qsl

from starlette.requests import Request
from starlette.responses import HTMLResponse, Response
from starlette.routing import BaseRoute, Route

from segue.web.api.access import NewToken
from segue.web.api.routes import answering, perform
from segue.web.operations import OPERATIONS
from segue.web.pages.frame import error_page, view_of
from segue.web.pages.subscriptions import subscription_preview
from segue.web.problems import ProblemError
from segue.web.rendering import rendered
from segue.web.requests import call_of, decoded_form
from segue.web.site import Site


def secret_form_routes(site: Site) -> list[BaseRoute]:
    """A route for each. That of a token stands before the route that all forms have, which would lose the token."""
    operation = OPERATIONS["create_token"]

    async def made(request: Request) -> Response:
        call = call_of(site, request)
        text = (await request.body()).decode("utf-8", "replace")
        body = NewToken("") if not operation.is_allowed(call.identity) else decoded_form(NewToken, text)
        answer = await site.in_thread(lambda: perform(operation, call, body=body))
        view = await site.in_thread(view_of, call, request)
        data = {"name": body.name, "token": answer.token}
        return HTMLResponse(rendered("token.html", view, title="New access token", data=data))

    async def previewed(request: Request) -> Response:
        call = call_of(site, request)
        if not OPERATIONS["set_subscription"].is_allowed(call.identity):
            raise ProblemError(403, "Forbidden", "Subscriptions are for admins.")
        given = dict(parse_qsl((await request.body()).decode("utf-8", "replace")))
        view = await site.in_thread(view_of, call, request)
        page = await site.in_thread(lambda: subscription_preview(view, given))
        text = rendered(page.template, view, title=page.title, data={**page.data, **page.also})
        return HTMLResponse(text, page.status)

    refused = functools.partial(error_page, site)
    return [
        Route(path, answering(function, refused, route=path), methods=["POST"])
        for path, function in (("/act/tokens", made), ("/new/subscription", previewed))
    ]
