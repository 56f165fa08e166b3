"""Fields of a form for the parameters of a task or workflow, from the JSON Schema that workers publish.

The name of a field says where its value belongs: `kwargs:text:day`, `args:json:0`. `gathered` puts such fields together
again, as the `args` and `kwargs` that operations take. An empty field is an argument that is not given.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import msgspec

from segue.masking import is_secret_name
from segue.web.problems import ProblemError
from segue.web.requests import check_depth

KINDS = ("text", "json", "list", "dict")


class ArgumentField(msgspec.Struct, frozen=True):
    """A field for one parameter; with the same names as `forms.Field`."""

    name: str  # of the field
    label: str  # the parameter
    kind: str
    is_required: bool
    options: tuple[str, ...] = ()
    hint: str = ""


def argument_fields(
    schema: Mapping[str, Any], *, required: bool = True, hints: Mapping[str, str] | None = None
) -> list[ArgumentField]:  # fmt: skip
    """A field for each parameter. `required` says whether parameters without a default must be filled in."""
    properties = schema.get("properties")
    if not isinstance(properties, dict):
        return [
            ArgumentField("args:list:", "positional arguments", "json", False, hint="A JSON list"),
            ArgumentField("kwargs:dict:", "arguments by name", "json", False, hint="A JSON object"),
        ]
    needed = set(schema.get("required", ())) if required else set()
    found = []
    for place, (name, each) in enumerate(properties.items()):
        if isinstance(each, dict):
            found.append(_field(place, name, each, name in needed, (hints or {}).get(name, "")))
    if schema.get("additionalProperties"):
        found.append(ArgumentField("kwargs:dict:", "further arguments", "json", False, hint="A JSON object"))
    return found


def gathered(pairs: Iterable[tuple[str, str]]) -> list[tuple[str, str]]:
    """The fields of a form, with those of arguments as two: `args` and `kwargs`, in JSON. Raises ProblemError."""
    others: list[tuple[str, str]] = []
    args: dict[int, Any] = {}
    more: list[Any] = []
    kwargs: dict[str, Any] = {}
    for name, value in pairs:
        where, _, rest = name.partition(":")
        kind, _, label = rest.partition(":")
        if where not in ("args", "kwargs") or kind not in KINDS:
            others.append((name, value))
        elif value:
            read: Any = value if kind == "text" else _json(label or where, value, kind)
            if kind == "list":
                more += read
            elif kind == "dict":
                kwargs |= read
            elif where == "args" and label.isdigit():
                args[int(label)] = read
            else:
                kwargs[label] = read
    if sorted(args) != list(range(len(args))):
        raise ProblemError(422, "InvalidBody", "Fill in the first arguments as well: they are given by position.")
    positional = [args[place] for place in sorted(args)] + more
    others += [("args", _text(positional))] if positional else []
    return others + ([("kwargs", _text(kwargs))] if kwargs else [])


def _field(place: int, name: str, schema: Mapping[str, Any], is_required: bool, hint: str) -> ArgumentField:
    kind = schema.get("x-segue-kind")
    if kind == "var_positional":
        return ArgumentField("args:list:", name, "json", False, hint="A JSON list")
    told, options, says = _kind(schema)
    where = f"args:{told}:{place}" if kind == "positional_only" else f"kwargs:{told}:{name}"
    is_secret = schema.get("writeOnly") is True or is_secret_name(name)
    has_default = schema.get("default") is not None and not is_secret
    default = f"Default: {_text(schema['default'])[:200]}" if has_default else ""
    parts = (str(schema.get("description") or ""), says, default, hint)
    shown = "select" if options else "secret" if is_secret and told == "text" else _widget(schema, told)
    return ArgumentField(where, name, shown, is_required, options, " · ".join(part for part in parts if part)[:600])


def _kind(schema: Mapping[str, Any]) -> tuple[str, tuple[str, ...], str]:
    """How a value is read, among which it is chosen, and what is said about it."""
    one = _one(schema)
    if isinstance(one.get("enum"), list) and len(one["enum"]) <= 100:
        texts = all(isinstance(each, str) for each in one["enum"])
        return "text" if texts else "json", ("", *(each if texts else _text(each) for each in one["enum"])), ""
    match one.get("type"):
        case "string":
            form = {"date": "As 2026-11-29", "date-time": "As 2026-11-29T14:00:00Z", "time": "As 14:00"}
            return "text", (), form.get(str(one.get("format")), "")
        case "boolean":
            return "json", ("", "true", "false"), ""
        case "integer" | "number":
            return "json", (), "A number"
        case _:
            return "json", (), "JSON"


def _widget(schema: Mapping[str, Any], told: str) -> str:
    if told == "text":
        return "text"
    return "number" if _one(schema).get("type") in ("integer", "number") else "json"


def _one(schema: Mapping[str, Any]) -> Mapping[str, Any]:
    """The schema itself, or what it is if it is not null."""
    several = [each for each in schema.get("anyOf", ()) if isinstance(each, dict) and each.get("type") != "null"]
    return several[0] if len(several) == 1 else schema


def _json(label: str, text: str, kind: str) -> Any:
    check_depth(text.encode("utf-8", "replace"))
    try:
        found = msgspec.json.decode(text)
    except (msgspec.DecodeError, RecursionError) as error:
        raise ProblemError(422, "InvalidBody", f"{label} is not valid JSON: {error}.") from error
    if (kind == "list" and not isinstance(found, list)) or (kind == "dict" and not isinstance(found, dict)):
        raise ProblemError(422, "InvalidBody", f"{label} is not a JSON {'list' if kind == 'list' else 'object'}.")
    return found


def _text(value: Any) -> str:
    return msgspec.json.encode(value).decode()
