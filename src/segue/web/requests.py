"""From a request to the values of an operation: the path, the query string, JSON bodies and forms."""

from __future__ import annotations

import typing
from collections.abc import Mapping
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

    A list of texts is a field with a line for each. Objects and other lists are JSON; a value of any type is JSON, or
    the text itself.
    """
    types = {field.encode_name: field.type for field in msgspec.structs.fields(kind)}
    values = {
        name: _of_field(name, types.get(name), found) for name, found in _fields(text).items() if any(found)
    }  # fmt: skip
    return _as(kind, values, "form")


def json_or_text(text: str) -> Any:
    """A value as people type it: JSON if it is JSON, otherwise the text itself."""
    try:
        return msgspec.json.decode(text)
    except (msgspec.DecodeError, RecursionError):
        return text


def _of_field(name: str, kind: Any, given: list[str]) -> Any:
    kinds = [kind, *typing.get_args(kind)]
    if any(typing.get_origin(each) is dict or each == list[Any] for each in kinds):
        try:
            return msgspec.json.decode(given[-1])
        except (msgspec.DecodeError, RecursionError) as error:
            raise ProblemError(400, "InvalidQuery", f"The field {name} is not valid JSON: {error}.") from error
    if _is_list(kind):
        return [line for each in given for line in each.splitlines() if line.strip()]
    return json_or_text(given[-1]) if kind is Any else given[-1]


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
    return _as(kind, {name: each if name in lists else each[-1] for name, each in given.items()}, where)


def _as(kind: type, values: Mapping[str, Any], where: str) -> Any:
    try:
        return msgspec.convert(values, kind, strict=False)
    except msgspec.ValidationError as error:
        raise ProblemError(400, "InvalidQuery", f"The {where} is not valid: {error}") from error


def _is_list(kind: Any) -> bool:
    origin = getattr(kind, "__origin__", kind)
    return origin in (list, tuple)
