"""Calls operations over HTTP: JSON in, JSON out, problems as `application/problem+json`."""

from __future__ import annotations

import hashlib
from collections.abc import Awaitable, Callable
from typing import Any
from urllib.parse import parse_qsl, urlencode

import msgspec
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route

from segue.client.records import record
from segue.jsonable import Jsonable
from segue.observing.harmless_log import get_logger
from segue.plan.namespaces import EVERY
from segue.web.access.audit import audited, check_reason
from segue.web.access.token_limits import check_workflow
from segue.web.api.following import Following, followed
from segue.web.brief import briefly
from segue.web.operations import OPERATIONS, Call, Operation
from segue.web.paths import fixed_first
from segue.web.problems import ProblemError, problem_of
from segue.web.requests import call_of, decoded_json, decoded_query
from segue.web.site import Site

PREFIX = "/api/v1"
CURSORS = ("cursor", "before", "after")
"""The parameters that name the next page."""

_log = get_logger("segue.web")


def api_routes(site: Site) -> list[BaseRoute]:
    """A route for each operation."""
    operations = fixed_first(OPERATIONS.values())
    return [Route(PREFIX + each.path, _endpoint(site, each), methods=[each.method]) for each in operations]


def _endpoint(site: Site, operation: Operation) -> Callable[[Request], Any]:
    async def performed(request: Request) -> Response:
        call = call_of(site, request)
        arguments: dict[str, Any] = dict(request.path_params)
        if operation.is_allowed(call.identity):  # `perform` refuses the others, whatever they sent
            arguments |= await _decoded(operation, request)
        answer = await site.in_thread(lambda: perform(operation, call, **arguments))
        if isinstance(answer, Following):
            return followed(site, request, answer)
        return _answer(site, operation, request, answer, arguments.get("query"))

    return answering(performed, lambda request, error: problem_answer(error), route=PREFIX + operation.path)


def _answer(site: Site, operation: Operation, request: Request, value: Any, query: Any) -> Response:
    """The answer, with a link to the next page, and with a tag of its contents if it was only read."""
    made = json_answer(value, operation.status, with_namespace=site.segue.namespace == EVERY)
    following = getattr(value, "next", None)
    cursor = next((name for name in CURSORS if hasattr(query, name)), None)
    if isinstance(following, str) and cursor is not None:
        kept = [(name, each) for name, each in parse_qsl(request.url.query) if name != cursor]
        made.headers["link"] = f'<?{urlencode([*kept, (cursor, following)])}>; rel="next"'
    if operation.changes:
        return made
    tag = '"' + hashlib.blake2b(made.body, digest_size=16).hexdigest() + '"'
    made.headers["etag"] = tag
    if tag in (each.strip() for each in request.headers.get("if-none-match", "").split(",")):
        return Response(None, 304, {"etag": tag})
    return made


async def _decoded(operation: Operation, request: Request) -> dict[str, Any]:
    arguments: dict[str, Any] = {}
    if operation.query is not None:
        arguments["query"] = decoded_query(operation.query, request.url.query)
    if operation.body is not None:
        arguments["body"] = decoded_json(operation.body, await request.body(), request.headers.get("content-type", ""))
    return arguments


def perform(operation: Operation, call: Call, **arguments: Any) -> Any:
    """Do an operation for a caller who may. Raises ProblemError for others, and what the operation raises."""

    def performed() -> Any:
        if not operation.is_allowed(call.identity):
            raise ProblemError(
                403, "Forbidden", f"{operation.name} needs the role {operation.role.word}; "
                f"{call.identity.name} is {call.identity.role.word}.",
            )  # fmt: skip
        check_workflow(operation, call, arguments)
        check_reason(operation, call, arguments)
        return operation.function(call, **arguments)

    if operation.changes:
        with call.segue.acting_as(call.actor):
            return audited(operation.name, call, arguments, performed)
    with briefly(call.segue):
        return performed()


def answering(
    function: Callable[[Request], Awaitable[Response]], refused: Callable[[Request, Exception], Response], *, route: str
) -> Callable[[Request], Awaitable[Response]]:
    """An endpoint that always answers: `refused` makes the answer for whatever is raised.

    `route` is its path with the names of its parameters, for the log and the metrics.
    """

    async def endpoint(request: Request) -> Response:
        request.scope["segue.seen"]["route"] = route
        try:
            return await function(request)
        except Exception as error:  # noqa: BLE001 - it is logged, or said to the caller
            return refused(request, error)

    return endpoint


def json_answer(value: Any, status: int = 200, *, with_namespace: bool = False) -> Response:
    """A value as JSON."""
    text = msgspec.json.encode(plain(value, with_namespace=with_namespace))
    return Response(text, status, media_type="application/json")


def problem_answer(error: Exception) -> Response:
    """An error as a problem. One that is not Segue's is logged, and its text is not sent."""
    problem = problem_of(error)
    if problem is None:
        _log.exception("a request failed", exc_info=error)
        problem = ProblemError(500, "InternalError", "The server failed. Its log says why.")
    text = msgspec.json.encode(problem.to_dict())
    return Response(text, problem.status, problem.headers, media_type="application/problem+json")


def plain(value: Any, *, with_namespace: bool = False) -> Any:
    """A value of Segue, or a list or dict of them, in the form in which it is written as JSON.

    This is the form in which the command line prints it: with the namespace only if several are shown.
    """
    if isinstance(value, Jsonable):
        shown = record(value)
        has_one = with_namespace and hasattr(value, "namespace")
        return shown | {"namespace": value.namespace} if has_one else shown  # type: ignore[attr-defined]
    if isinstance(value, dict):
        return {name: plain(each, with_namespace=with_namespace) for name, each in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain(each, with_namespace=with_namespace) for each in value]
    if isinstance(value, msgspec.Struct):
        return {
            field.encode_name: plain(getattr(value, field.name), with_namespace=with_namespace)
            for field in msgspec.structs.fields(value)
        }
    return value
