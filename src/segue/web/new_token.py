"""A new access token is shown once, as the answer to the form: it lies in no cookie and no URL."""

from __future__ import annotations

import functools

from starlette.requests import Request
from starlette.responses import HTMLResponse, Response
from starlette.routing import BaseRoute, Route

from segue.web.api.access import NewToken
from segue.web.api.routes import answering, perform
from segue.web.operations import OPERATIONS
from segue.web.pages.frame import error_page, view_of
from segue.web.rendering import rendered
from segue.web.requests import call_of, decoded_form
from segue.web.site import Site


def new_token_routes(site: Site) -> list[BaseRoute]:
    """Instead of the route that all forms have, which would send the person back without the token."""
    operation = OPERATIONS["create_token"]

    async def made(request: Request) -> Response:
        call = call_of(site, request)
        text = (await request.body()).decode("utf-8", "replace")
        body = NewToken("") if not operation.is_allowed(call.identity) else decoded_form(NewToken, text)
        answer = await site.in_thread(lambda: perform(operation, call, body=body))
        view = await site.in_thread(view_of, call, request)
        data = {"name": body.name, "token": answer.token}
        return HTMLResponse(rendered("token.html", view, title="New access token", data=data))

    path = "/act/tokens"
    return [Route(path, answering(made, functools.partial(error_page, site), route=path), methods=["POST"])]
