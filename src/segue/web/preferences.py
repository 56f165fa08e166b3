"""What a person chooses for their own browser lies in cookies. This form sets them, also without JavaScript."""

from __future__ import annotations

import functools
from typing import Any
from urllib.parse import quote

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import BaseRoute, Route

from segue.web.access.guard import identity_of
from segue.web.api.routes import answering
from segue.web.flash import leave
from segue.web.pages.frame import error_page
from segue.web.paths import root_of
from segue.web.requests import sent_pairs
from segue.web.site import Site
from segue.web.zones import ZONE_COOKIE, zone_named

A_YEAR = 31_536_000
CHOICES = {
    "theme": ("segue_theme", ("light", "dark")), "density": ("segue_density", ("compact",)),
    "keys": ("segue_keys", ("off",)),
}  # fmt: skip
"""The fields: the cookie of each, and what it may hold. Another value is the default, without a cookie."""


def preference_routes(site: Site) -> list[BaseRoute]:
    """The route to which the form of the settings is sent."""

    async def chosen(request: Request) -> Response:
        identity_of(request.scope)
        fields = dict(await sent_pairs(request))
        answer = RedirectResponse(f"{root_of(request.scope)}/settings", 303)
        is_secure = request.url.scheme == "https"
        options: dict[str, Any] = {"path": "/", "samesite": "lax", "secure": is_secure}
        for field, (cookie, known) in CHOICES.items():
            value = fields.get(field, "")
            if value in known:
                answer.set_cookie(cookie, value, max_age=A_YEAR, **options)
            else:
                answer.delete_cookie(cookie, **options)
        zone = zone_named(fields.get("zone", "").strip())
        if zone is None:
            leave(answer, "This time zone is unknown. Write a name such as Europe/Paris or UTC.", is_error=True)
        else:
            answer.set_cookie(ZONE_COOKIE, quote(zone.key, safe=""), max_age=A_YEAR, **options)
            leave(answer, f"Times are shown in {zone.key}.")
        return answer

    path = "/settings"
    return [Route(path, answering(chosen, functools.partial(error_page, site), route=path), methods=["POST"])]
