"""Another HTTP API over a database of Segue, behind the same guard: for the paths and the JSON of an older system."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import msgspec
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route
from starlette.types import Receive, Scope, Send

from segue.web.access.audit import audited
from segue.web.access.guard import Guard
from segue.web.api.routes import answering, problem_answer
from segue.web.brief import briefly
from segue.web.operations import Call
from segue.web.paths import fixed_first
from segue.web.problems import ProblemError
from segue.web.requests import call_of, check_depth
from segue.web.roles import Identity, Role
from segue.web.site import Site


class Asked(NamedTuple):
    """A request: by whom, and with which values."""

    call: Call
    path: Mapping[str, str]
    query: Mapping[str, str]
    body: Any  # JSON; {} if there is none


class Endpoint(NamedTuple):
    """What is done at a path. The function returns what is written as JSON; None for an answer without content."""

    method: str
    path: str
    role: Role
    function: Callable[[Asked], Any]
    status: int = 200


class _NoStreams:
    def stop(self) -> None:
        """There are none."""


class ForeignApi:
    """An ASGI application with these endpoints."""

    def __init__(self, site: Site, endpoints: Sequence[Endpoint]) -> None:
        self.site = site
        self.bells = _NoStreams()
        routes = [Route(each.path, _answered(site, each), methods=[each.method]) for each in fixed_first(endpoints)]
        self._guarded = Guard(Starlette(routes=routes, exception_handlers={404: _missing, 405: _missing}), site)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """One request."""
        await self._guarded(scope, receive, send)


def _answered(site: Site, endpoint: Endpoint) -> Callable[[Request], Any]:
    async def answer(request: Request) -> Response:
        call = call_of(site, request)
        asked = Asked(call, request.path_params, dict(request.query_params), _json(await request.body()))
        found = await site.in_thread(_done, endpoint, asked)
        if found is None:
            return Response(None, 204)
        return Response(msgspec.json.encode(found), endpoint.status, media_type="application/json")

    return answering(answer, lambda request, error: problem_answer(error), route=endpoint.path)


def _done(endpoint: Endpoint, asked: Asked) -> Any:
    segue = asked.call.segue

    def done() -> Any:
        _check(endpoint, asked.call.identity)
        return endpoint.function(asked)

    if endpoint.method == "GET":
        with briefly(segue):
            return done()
    with segue.acting_as(asked.call.actor):
        return audited(endpoint.function.__name__, asked.call, asked.path, done)


def _check(endpoint: Endpoint, identity: Identity) -> None:
    """Refuse who may not do it. A limited token is for the operations of Segue's own API. Raises ProblemError."""
    if identity.role < endpoint.role:
        raise ProblemError(403, "Forbidden", f"This is for the role {endpoint.role.word}.")
    if identity.scopes is not None or (identity.workflows is not None and endpoint.method != "GET"):
        raise ProblemError(403, "Forbidden", "This token is limited; its limits are not about this API.")


def _json(body: bytes) -> Any:
    check_depth(body)
    try:
        return msgspec.json.decode(body or b"{}")
    except (msgspec.DecodeError, RecursionError) as error:
        raise ProblemError(400, "InvalidBody", f"The body is not JSON: {error}") from error


async def _missing(request: Request, error: Exception) -> Response:
    status = getattr(error, "status_code", 404)
    refused = request.scope.get("segue.problem")
    return problem_answer(refused or ProblemError(status, "NotFound", f"There is nothing at {request.url.path[:200]}."))
