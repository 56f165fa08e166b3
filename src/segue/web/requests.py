"""From a request to the values of an operation: the path, the query string, JSON bodies and forms."""

from __future__ import annotations

import types
import typing
from collections.abc import Mapping
from enum import Enum
from typing import Any
from urllib.parse import parse_qsl

import msgspec
from starlette.requests import Request

from segue.web.access.guard import address_of, identity_of
from segue.web.operations import Call
from segue.web.problems import ProblemError
from segue.web.site import Site

MOST_FIELDS = 1000


def call_of(site: Site, request: Request) -> Call:
    """Who calls, on which database."""
    return Call(
        segue=site.segue, identity=identity_of(request.scope), settings=site.settings,
        address=address_of(request.scope), request_id=request.scope.get("segue.request_id"),
        headers=request.headers,
    )  # fmt: skip


def decoded_query(kind: type, text: str) -> Any:
    """The query string as a value of this type. Fields that are lists may be repeated. Raises ProblemError."""
    return _converted(kind, _fields(text), "query string")


def decoded_json(kind: type, body: bytes, content_type: str) -> Any:
    """A JSON body as a value of this type; no body is an empty object. Raises ProblemError."""
    if body and content_type.partition(";")[0].strip().lower() != "application/json":
        raise ProblemError(415, "UnsupportedMediaType", "Send JSON, with the header Content-Type: application/json.")
    try:
        return msgspec.json.decode(body or b"{}", type=kind)
    except (msgspec.DecodeError, RecursionError) as error:  # also ValidationError
        raise ProblemError(422, "InvalidBody", f"The body is not valid: {error}") from error


def decoded_form(kind: type, text: str) -> Any:
    """The fields of a form as a value of this type. An empty field was not filled in. Raises ProblemError.

    Lists of texts are lines. Other values than texts, numbers and choices are JSON.
    """
    given: dict[str, Any] = {name: values for name, values in _fields(text).items() if any(values)}
    for field in msgspec.structs.fields(kind):
        values, form = given.get(field.encode_name), form_kind(field.type)[0]
        if values is None:
            continue
        if form == "lines":
            given[field.encode_name] = [line.strip() for each in values for line in each.splitlines() if line.strip()]
        elif form == "json":
            given[field.encode_name] = _json_of(field.encode_name, values[-1])
        else:
            given[field.encode_name] = values[-1]
    try:
        return msgspec.convert(given, kind, strict=False)
    except msgspec.ValidationError as error:
        raise ProblemError(400, "InvalidForm", f"The form is not valid: {error}") from error


def form_kind(annotation: Any) -> tuple[str, tuple[str, ...]]:
    """The kind of field for a type: text, number, checkbox, lines, json, or select with its options."""
    if isinstance(annotation, types.UnionType) or typing.get_origin(annotation) is typing.Union:
        given = [each for each in typing.get_args(annotation) if each not in (type(None), msgspec.UnsetType)]
        annotation = given[0] if len(given) == 1 else Any
    if typing.get_origin(annotation) is typing.Literal:
        return "select", tuple(str(each) for each in typing.get_args(annotation))
    if isinstance(annotation, type) and issubclass(annotation, Enum):
        return "select", tuple(str(each.value) for each in annotation)
    if annotation is bool:
        return "checkbox", ()
    if annotation in (int, float):
        return "number", ()
    if annotation is str:
        return "text", ()
    is_lines = typing.get_origin(annotation) in (list, tuple) and typing.get_args(annotation)[0] is str
    return ("lines" if is_lines else "json"), ()


def _json_of(name: str, text: str) -> Any:
    try:
        return msgspec.json.decode(text)
    except (msgspec.DecodeError, RecursionError) as error:
        raise ProblemError(
            400, "InvalidForm", f'{name} is not JSON: {error}. Write texts with quotes, as "yes", and objects as {{}}.'
        ) from error


def _fields(text: str) -> dict[str, list[str]]:
    try:
        pairs = parse_qsl(text, keep_blank_values=True, max_num_fields=MOST_FIELDS, errors="strict")
    except (ValueError, UnicodeDecodeError) as error:
        raise ProblemError(400, "InvalidQuery", f"The fields cannot be read: {error}") from error
    fields: dict[str, list[str]] = {}
    for name, value in pairs:
        fields.setdefault(name, []).append(value)
    return fields


def _converted(kind: type, given: Mapping[str, list[str]], where: str) -> Any:
    lists = {field.encode_name for field in msgspec.structs.fields(kind) if _is_list(field.type)}
    values = {name: each if name in lists else each[-1] for name, each in given.items()}
    try:
        return msgspec.convert(values, kind, strict=False)
    except msgspec.ValidationError as error:
        raise ProblemError(400, "InvalidQuery", f"The {where} is not valid: {error}") from error


def _is_list(kind: Any) -> bool:
    origin = getattr(kind, "__origin__", kind)
    return origin in (list, tuple)
