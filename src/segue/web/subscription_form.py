"""The form of a new subscription. It is sent as POST, because its target may contain a secret of another service."""

from __future__ import annotations

import functools

from starlette.requests import Request
from starlette.responses import HTMLResponse, Response
from starlette.routing import BaseRoute, Route

from segue.web.api.routes import answering
from segue.web.operations import OPERATIONS
from segue.web.pages.frame import error_page, view_of
from segue.web.pages.subscriptions import subscription_preview
from segue.web.problems import ProblemError
from segue.web.rendering import rendered
from segue.web.requests import call_of, sent_pairs
from segue.web.site import Site


def subscription_form_routes(site: Site) -> list[BaseRoute]:
    """The route that shows what will be sent where. It changes nothing: the page has the button that does."""

    async def previewed(request: Request) -> Response:
        call = call_of(site, request)
        if not OPERATIONS["set_subscription"].is_allowed(call.identity):
            raise ProblemError(403, "Forbidden", "Subscriptions are for admins.")
        given = dict(await sent_pairs(request))
        view = await site.in_thread(view_of, call, request)
        page = await site.in_thread(lambda: subscription_preview(view, given))
        text = rendered(page.template, view, title=page.title, data={**page.data, **page.also})
        return HTMLResponse(text, page.status)

    path = "/new/subscription"
    return [Route(path, answering(previewed, functools.partial(error_page, site), route=path), methods=["POST"])]
