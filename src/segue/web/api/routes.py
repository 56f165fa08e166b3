"""Calls operations over HTTP: JSON in, JSON out, problems as `application/problem+json`."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

import msgspec
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route

from segue.jsonable import Jsonable
from segue.observing.harmless_log import get_logger
from segue.web.operations import OPERATIONS, Call, Operation
from segue.web.problems import ProblemError, problem_of
from segue.web.requests import call_of, decoded_json, decoded_query
from segue.web.site import Site

PREFIX = "/api/v1"
_log = get_logger("segue.web")


def api_routes(site: Site) -> list[BaseRoute]:
    """A route for each operation. Paths with more fixed words come first."""
    ordered = sorted(OPERATIONS.values(), key=lambda each: (each.path.count("{"), -len(each.path)))
    return [Route(PREFIX + each.path, _endpoint(site, each), methods=[each.method]) for each in ordered]


def _endpoint(site: Site, operation: Operation) -> Callable[[Request], Any]:
    async def performed(request: Request) -> Response:
        call = call_of(site, request)
        arguments = await _arguments(operation, request)
        answer = await site.in_thread(lambda: perform(operation, call, **arguments))
        return json_answer(answer, operation.status)

    return answering(performed, lambda request, error: problem_answer(error))


async def _arguments(operation: Operation, request: Request) -> dict[str, Any]:
    arguments: dict[str, Any] = dict(request.path_params)
    if operation.query is not None:
        arguments["query"] = decoded_query(operation.query, request.url.query)
    if operation.body is not None:
        arguments["body"] = decoded_json(operation.body, await request.body(), request.headers.get("content-type", ""))
    return arguments


def perform(operation: Operation, call: Call, **arguments: Any) -> Any:
    """Do an operation for a caller who may. Raises ProblemError for others, and what the operation raises."""
    if not operation.is_allowed(call.identity):
        raise ProblemError(
            403, "Forbidden", f"{operation.name} needs the role {operation.role.word}; "
            f"{call.identity.name} is {call.identity.role.word}.",
        )  # fmt: skip
    return operation.function(call, **arguments)


def answering(
    function: Callable[[Request], Awaitable[Response]], refused: Callable[[Request, Exception], Response]
) -> Callable[[Request], Awaitable[Response]]:
    """An endpoint that always answers: `refused` makes the answer for whatever is raised."""

    async def endpoint(request: Request) -> Response:
        try:
            return await function(request)
        except Exception as error:  # noqa: BLE001 - it is logged, or said to the caller
            return refused(request, error)

    return endpoint


def json_answer(value: Any, status: int = 200) -> Response:
    """A value as JSON."""
    return Response(msgspec.json.encode(plain(value)), status, media_type="application/json")


def problem_answer(error: Exception) -> Response:
    """An error as a problem. One that is not Segue's is logged, and its text is not sent."""
    problem = problem_of(error)
    if problem is None:
        _log.exception("a request failed", exc_info=error)
        problem = ProblemError(500, "InternalError", "The server failed. Its log says why.")
    headers = {"retry-after": "2"} if problem.status == 503 else {}
    return Response(
        msgspec.json.encode(problem.to_dict()), problem.status, headers, media_type="application/problem+json"
    )


def plain(value: Any) -> Any:
    """A value of Segue, or a list or dict of them, in the form in which it is written as JSON."""
    if isinstance(value, Jsonable):
        return value.to_dict()
    if isinstance(value, dict):
        return {name: plain(each) for name, each in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain(each) for each in value]
    if isinstance(value, msgspec.Struct):
        return {field.encode_name: plain(getattr(value, field.name)) for field in msgspec.structs.fields(value)}
    return value
