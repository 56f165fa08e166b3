"""From a request to the values of an operation: the path, the query string, JSON bodies and forms."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from urllib.parse import parse_qsl

import msgspec
from starlette.requests import Request

from segue.errors import StoreError
from segue.observing.harmless_log import get_logger
from segue.web.access.guard import address_of, identity_of
from segue.web.operations import Call
from segue.web.problems import ProblemError
from segue.web.site import Site

MOST_FIELDS = 1000
MOST_DEPTH = 64  # of JSON

ASKED_AGAIN = 15.0
"""Seconds after which a stream asks again whether its caller may have it."""

_log = get_logger("segue.web")


def call_of(site: Site, request: Request) -> Call:
    """Who calls, on which database."""
    return Call(
        segue=site.segue, identity=identity_of(request.scope), settings=site.settings,
        address=address_of(request.scope), request_id=request.scope.get("segue.request_id"),
        headers=request.headers,
    )  # fmt: skip


async def is_still(site: Site, request: Request, call: Call) -> bool:
    """Whether a stream may go on: its caller would be let in again, as the same and with the same role."""
    try:
        return await site.in_thread(site.access.identify, request) == call.identity
    except StoreError:  # the database is away: it will say so when it is back
        return True
    except Exception as error:  # noqa: BLE001 - whatever it is, it does not let them in
        _log.debug("a stream ends, because its caller is not let in: %s", error)
        return False


def decoded_query(kind: type, text: str) -> Any:
    """The query string as a value of this type. Fields that are lists may be repeated. Raises ProblemError."""
    return _converted(kind, _fields(text), "query string")


def decoded_json(kind: type, body: bytes, content_type: str) -> Any:
    """A JSON body as a value of this type; no body is an empty object. Raises ProblemError."""
    if body and content_type.partition(";")[0].strip().lower() != "application/json":
        raise ProblemError(415, "UnsupportedMediaType", "Send JSON, with the header Content-Type: application/json.")
    try:
        check_depth(body)
        return msgspec.json.decode(body or b"{}", type=kind)
    except (msgspec.DecodeError, RecursionError) as error:  # also ValidationError
        raise ProblemError(422, "InvalidBody", f"The body is not valid: {error}{_known(kind, error)}") from error


def check_depth(body: bytes) -> None:
    """Refuse a document that is nested too deeply.

    Raises ProblemError.
    """
    depth = deepest = 0
    is_text = is_escaped = False
    if body.count(b"[") + body.count(b"{") <= MOST_DEPTH:
        return
    for byte in body:
        if is_text:
            is_text, is_escaped = is_escaped or byte != 0x22, not is_escaped and byte == 0x5C
        elif byte == 0x22:
            is_text = True
        elif byte in b"[{":
            depth += 1
            deepest = max(deepest, depth)
        elif byte in b"]}":
            depth -= 1
    if deepest > MOST_DEPTH:
        raise ProblemError(422, "InvalidBody", f"The body is nested {deepest:,} levels deep; at most {MOST_DEPTH} are.")


def decoded_form(kind: type, text: str) -> Any:
    """The fields of a form as a value of this type. An empty field was not filled in. Raises ProblemError."""
    given = {name: values for name, values in _fields(text).items() if any(values)}
    return _converted(kind, given, "form", is_form=True)


def form_pairs(text: str) -> list[tuple[str, str]]:
    """The fields of a form or a query string, in their order. Raises ProblemError for more than a form has."""
    try:
        return parse_qsl(text, keep_blank_values=True, max_num_fields=MOST_FIELDS, errors="strict")
    except (ValueError, UnicodeDecodeError) as error:
        raise ProblemError(400, "InvalidQuery", f"The fields cannot be read: {error}") from error


async def sent_pairs(request: Request) -> list[tuple[str, str]]:
    """The fields of the form that a request sends, in their order. Raises ProblemError."""
    return form_pairs((await request.body()).decode("utf-8", "replace"))


def number_of(text: str) -> int | None:
    """The number that a path or a query names, of at most 9 digits; None for another text."""
    return int(text) if text.isascii() and text.isdigit() and len(text) < 10 else None


def number_or_name(text: str) -> int | str:
    """A step as people write it: a number, as 12 or #12, or a name."""
    number = number_of(text.removeprefix("#"))
    return text if number is None else number


def _fields(text: str) -> dict[str, list[str]]:
    fields: dict[str, list[str]] = {}
    for name, value in form_pairs(text):
        fields.setdefault(name, []).append(value)
    return fields


def _converted(kind: type, given: Mapping[str, list[str]], where: str, *, is_form: bool = False) -> Any:
    lists = {field.encode_name for field in msgspec.structs.fields(kind) if _is_list(field.type)}
    values: dict[str, Any] = {name: each if name in lists else each[-1] for name, each in given.items()}
    for field in msgspec.structs.fields(kind) if is_form else ():
        if field.encode_name in values:
            values[field.encode_name] = typed_value(field.type, values[field.encode_name])
    try:
        return msgspec.convert(values, kind, strict=False)
    except msgspec.ValidationError as error:
        raise ProblemError(400, "InvalidQuery", f"The {where} is not valid: {error}{_known(kind, error)}") from error


def _known(kind: type, error: Exception) -> str:
    """What may be given instead of a field that does not exist."""
    if "unknown field" not in str(error) or " - at " in str(error):  # of an object inside it
        return ""
    names = [field.encode_name for field in msgspec.structs.fields(kind)]
    return f". Known are: {', '.join(names)}" if names else ". None are known here"


def typed_value(kind: Any, given: Any) -> Any:
    """What a person typed into a field, for a field that takes JSON or several lines."""
    if given == ["[]"]:  # an empty field is left out, so this is how a form empties a list
        return []
    if isinstance(given, list):
        words = [line for each in given for line in each.splitlines() if line.strip()]
        if any(isinstance(each.item_type, msgspec.inspect.AnyType) for each in _lists(kind)):
            text = "\n".join(given)
            found = json_or_text(text)
            return found if isinstance(found, list) else [json_or_text(word) for word in words]
        return words
    return json_or_text(given) if takes_json(kind) else given


def takes_json(kind: Any) -> bool:
    """Whether a field takes any JSON value, or an object."""
    info = msgspec.inspect.type_info(kind)
    kinds = info.types if isinstance(info, msgspec.inspect.UnionType) else (info,)
    return any(isinstance(each, (msgspec.inspect.AnyType, msgspec.inspect.DictType)) for each in kinds)


def json_or_text(text: str) -> Any:
    """A value as people type it: JSON if it is JSON, otherwise the text itself. Raises ProblemError if it is deep."""
    check_depth(text.encode("utf-8", "replace"))
    try:
        return msgspec.json.decode(text)
    except (msgspec.DecodeError, RecursionError):
        return text


def _is_list(kind: Any) -> bool:
    return bool(_lists(kind))


def _lists(kind: Any) -> list[msgspec.inspect.ListType | msgspec.inspect.VarTupleType]:
    info = msgspec.inspect.type_info(kind)
    kinds = info.types if isinstance(info, msgspec.inspect.UnionType) else (info,)
    return [each for each in kinds if isinstance(each, (msgspec.inspect.ListType, msgspec.inspect.VarTupleType))]
