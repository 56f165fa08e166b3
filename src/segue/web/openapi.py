"""The OpenAPI document of the API, made from the operations: their paths, types, docstrings and roles."""

from __future__ import annotations

import functools
from typing import Any

import msgspec
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from segue.client.records import RENAMED
from segue.jsonable import Jsonable
from segue.web.api.following import Following
from segue.web.api.routes import PREFIX
from segue.web.operations import OPERATIONS, Operation
from segue.web.paths import root_of

Schema = dict[str, Any]

TITLE = "Segue"
VERSION = "1"  # of the API: within it, things are only added
ABOUT = (
    "Start, look at and control durable workflows. Errors are `application/problem+json`. A page of a list has `next`: "
    "give it as the parameter that continues the list, or follow the header `Link`."
)
REF = "#/components/schemas/{name}"
TEXT: Schema = {"type": "string"}
MAYBE_TEXT: Schema = {"anyOf": [TEXT, {"type": "null"}]}

PROBLEM: Schema = {
    "type": "object",
    "description": "What went wrong (RFC 9457). `code` is the name of the error's class.",
    "properties": {
        "type": TEXT, "title": TEXT, "status": {"type": "integer"}, "detail": TEXT, "code": TEXT,
        "problems": {
            "type": "array",
            "items": {"type": "object", "properties": {"node": TEXT, "what": TEXT, "remedy": TEXT}},
        },
    },
    "required": ["type", "title", "status", "detail", "code"],
}  # fmt: skip

REFUSALS = {
    400: "The request is not valid", 401: "The request does not say who makes it", 403: "The role does not allow it",
    404: "There is nothing of this name", 409: "The state does not allow it", 413: "The body is too large",
    415: "The body is not JSON", 422: "The body cannot be understood", 429: "Too many requests",
    503: "The database does not answer now, or the question is too broad",
}  # fmt: skip

KEY: Schema = {
    "name": "Idempotency-Key", "in": "header", "required": False, "schema": {"type": "string", "maxLength": 200},
    "description": "A request that is repeated with the same key is done once.",
}  # fmt: skip
TAKE_KEYS = frozenset({"start_run", "fork_run", "send_message", "apply_selection", "run_schedule"})


def openapi_route() -> Route:
    """The document as JSON."""

    async def answer(request: Request) -> Response:
        shown = document() | {"servers": [{"url": root_of(request.scope) + PREFIX}]}
        return Response(msgspec.json.encode(shown), media_type="application/json")

    return Route(f"{PREFIX}/openapi.json", answer, methods=["GET"])


@functools.cache
def document() -> Schema:
    """The document, without the address of the server."""
    kinds = {kind for each in OPERATIONS.values() for kind in (each.query, each.body, _answered(each)) if kind}
    _, found = msgspec.json.schema_components(kinds, ref_template=REF)
    components = {name: _named(schema) for name, schema in found.items()}
    _as_shown(components)
    paths: dict[str, Schema] = {}
    for each in sorted(OPERATIONS.values(), key=lambda each: (each.path, each.method)):
        paths.setdefault(each.template, {})[each.method.lower()] = _operation(each, components)
    queries = {each.query.__name__ for each in OPERATIONS.values() if each.query is not None}
    used = msgspec.json.encode([paths, {name: each for name, each in components.items() if name not in queries}])
    for name in queries:  # they are written out as parameters
        if REF.format(name=name).encode() not in used:
            del components[name]
    made = {
        "openapi": "3.1.0",
        "info": {"title": TITLE, "version": VERSION, "description": ABOUT, "license": {"name": "Apache-2.0"}},
        "paths": paths,
        "components": {
            "schemas": dict(sorted(components.items())) | {"Problem": PROBLEM},
            "securitySchemes": {
                "token": {"type": "http", "scheme": "bearer", "description": "An access token."},
                "session": {"type": "apiKey", "in": "cookie", "name": "segue", "description": "After a login."},
            },
        },
        "tags": [{"name": name} for name in sorted({tag_of(each) for each in OPERATIONS.values()})],
    }
    plain: Schema = msgspec.json.decode(msgspec.json.encode(made))
    return plain


def tag_of(operation: Operation) -> str:
    """The subject of an operation."""
    return operation.function.__module__.rpartition(".")[2]


def _answered(operation: Operation) -> Any:
    return None if operation.answer in (Following, None, type(None)) else operation.answer


def _operation(each: Operation, components: dict[str, Schema]) -> Schema:
    parameters = [{"name": name, "in": "path", "required": True, "schema": TEXT} for name in each.parameters]
    if each.query is not None:
        parameters += _parameters(components[each.query.__name__])
    if each.name in TAKE_KEYS:
        parameters.append(KEY)
    told: Schema = {
        "operationId": each.name, "summary": each.summary, "description": each.description, "tags": [tag_of(each)],
        "parameters": parameters, "security": [{"token": [each.role.word]}, {"session": [each.role.word]}],
        "responses": {str(each.status): _success(each)} | {
            str(status): {
                "description": text,
                "content": {"application/problem+json": {"schema": {"$ref": REF.format(name="Problem")}}},
            }
            for status, text in REFUSALS.items()
        },
    }  # fmt: skip
    if each.body is not None:
        content = {"application/json": {"schema": {"$ref": REF.format(name=each.body.__name__)}}}
        required = bool(components[each.body.__name__].get("required"))
        told["requestBody"] = {"required": required, "content": content}
    return told


def _success(each: Operation) -> Schema:
    if each.answer is Following:
        lines: Schema = {"type": "string", "description": "Objects {run}, one for each change."}
        kinds = ("application/x-ndjson", "text/event-stream")
        return {"description": "A stream", "content": {kind: {"schema": lines} for kind in kinds}}
    (schema,), _ = msgspec.json.schema_components([each.answer], ref_template=REF)
    return {"description": "Done", "content": {"application/json": {"schema": schema}}}


def _parameters(schema: Schema) -> list[Schema]:
    """The fields of a query as parameters; what may be null may be left out."""
    required = schema.get("required", [])
    return [
        {"name": name, "in": "query", "required": name in required, "schema": _not_null(each)}
        for name, each in schema["properties"].items()
    ]


def _not_null(schema: Schema) -> Schema:
    kept = {name: value for name, value in schema.items() if name != "default" or value is not None}
    kinds = [each for each in schema.get("anyOf", []) if each != {"type": "null"}]
    if len(kinds) == 1:
        del kept["anyOf"]
        return {**kinds[0], **kept}
    return kept


def _named(schema: Schema) -> Schema:
    """The schema of a struct with the names of its JSON form, without the namespace."""
    names = _RENAMED.get(schema.get("title", ""))
    if names is None:
        return schema
    others = _SHOWN_AS[schema["title"]]
    told = {
        names.get(name, name): msgspec.json.schema(others[name], ref_template=REF) if name in others else each
        for name, each in schema["properties"].items()
        if name != "namespace"
    }
    required = [names.get(name, name) for name in schema.get("required", []) if name != "namespace"]
    return schema | {"properties": told, "required": required}


def _as_shown(components: dict[str, Schema]) -> None:
    """Change the schemas of what is shown in another form than it has as a value."""
    run, schedule = components["RunInfo"], components["ScheduleInfo"]
    detail = components["RunDetail"]["properties"]
    del detail["run"]
    components["RunDetail"] |= {"properties": run["properties"] | detail, "required": [*run["required"], "counts"]}
    schedule["properties"]["next_tick_local"] = MAYBE_TEXT
    ticks = {"type": "array", "items": {"$ref": REF.format(name="TickInfo")}}
    coming = {"type": "array", "items": {"$ref": REF.format(name="NextTick")}}
    components["ScheduleDetail"] |= {
        "properties": schedule["properties"] | {"next": coming, "ticks": ticks},
        "required": [*schedule["required"], "next", "ticks"],
    }
    subscription = components["SubscriptionInfo"]
    kept = {
        name: subscription["properties"][name] for name in ("name", "events", "workflow", "is_active", "created_at")
    }
    subscription |= {"properties": kept | {"to": TEXT}, "required": [*kept, "to"]}


def _jsonables(kind: Any = Jsonable) -> list[type]:
    return [each for child in kind.__subclasses__() for each in (child, *_jsonables(child))]


_SHOWN_AS: dict[str, dict[str, Any]] = {kind.__name__: getattr(kind, "shown_as", {}) for kind in _jsonables()}
_RENAMED = {kind.__name__: RENAMED.get(kind, {}) for kind in _jsonables()}
