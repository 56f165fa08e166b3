"""Fills the holes of arguments where results or arguments lie in a payload store.

`values.fill` joins the texts of results and reads the whole. Here each payload is fetched and read for itself, so that
an argument that is a list of many large results is in memory once.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any, assert_never

from segue.authoring.values import decode
from segue.errors import PayloadError, SerializationError
from segue.model import Concat, Expr, Gather, Hole, Ref, Span, Value
from segue.model import Mapping as MappingExpr
from segue.plan.codec import NULL, evaluate
from segue.plan.payload_frames import PayloadRef, payloads_in, read_through

Fetch = Callable[[PayloadRef], str]
"""Gives the text of a payload. Raises PayloadError."""

Read = Callable[[str], Any]
"""Makes a value of a stored text that may refer to payloads."""


def no_store(payload: PayloadRef) -> str:
    """The `Fetch` of a process that has no payload store."""
    raise PayloadError(
        f"the payload {payload.reference} cannot be read, because this process has no payload store. Give it the one "
        "in which the value lies: Segue(url, payloads=...), or SEGUE_PAYLOADS"
    )


def read(text: str, fetch: Fetch) -> Any:
    """A stored value as plain Python. Raises PayloadError and SerializationError."""
    return read_through(text, decode, fetch)


def has_payloads(args: str, values: Mapping[int, str]) -> bool:
    """Whether some of the arguments, or of the results that go into them, lie in a payload store."""
    return any(bool(payloads_in(text)) for text in (args, *values.values()))


def fill_through(
    args: str, holes: tuple[Hole, ...], values: Mapping[int, str], fetch: Fetch
) -> tuple[list[Any], dict[str, Any]]:  # fmt: skip
    """The same as `values.fill`, with payloads."""
    template = read(args, fetch)
    for hole in holes:
        where = hole.where
        place = template
        for key in where[:-1]:
            place = place[key]
        place[where[-1]] = value_of(hole.what, values, partial(read, fetch=fetch))
    return template[0], template[1]


def value_of(expr: Expr, values: Mapping[int, str], read: Read) -> Any:
    """The value of an expression as plain Python, given the results of the steps that it refers to."""
    match expr:
        case Ref():
            return read(evaluate(expr, values))
        case Span():
            return [read(values.get(step, NULL)) for step in range(expr.first, expr.last + 1)]
        case Gather():
            return [value_of(item, values, read) for item in expr.items]
        case MappingExpr():
            return {key: value_of(item, values, read) for key, item in zip(expr.keys, expr.items, strict=True)}
        case Concat():
            return [each for item in expr.items for each in _items_of(value_of(item, values, read))]
        case Value():
            return read(bytes(expr.json).decode())
        case _:
            assert_never(expr)


def _items_of(value: Any) -> list[Any]:
    if value is None:
        return []
    if not isinstance(value, list):
        raise SerializationError(f"a list was to be made of a {type(value).__name__}, which is no list")
    return value
