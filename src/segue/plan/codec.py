"""Plans and expressions as text: encode, decode, renumber, evaluate.

This module uses no clock and no database. `evaluate` defines what an expression means; the engine and tasks both use
it.
"""

from __future__ import annotations

from collections import abc
from typing import Any, assert_never

import msgspec

from segue.errors import PlanError, Problem, SerializationError
from segue.model import RUN, Concat, Expr, Gather, Hole, Mapping, Ref, Span, Value
from segue.plan.frames import OPENING, refuse_frame, unknown_kind
from segue.plan.graph import Node, Plan
from segue.plan.payload_frames import part_of

NULL = "null"

UNREADABLE = (msgspec.MsgspecError, ValueError, TypeError, RecursionError, MemoryError)
"""The exceptions that reading a stored text raises if Segue did not write it."""

MOST_SPANNED = 10_000_000
"""More than the steps of any run: a wider span is damaged, and must not exhaust the memory."""

_TOO_WIDE = ValueError(f"more than {MOST_SPANNED:,} steps")

_encoder = msgspec.json.Encoder()
_plan_decoder = msgspec.json.Decoder(Plan)
_holes_decoder = msgspec.json.Decoder(tuple[Hole, ...])
_expr_decoder: msgspec.json.Decoder[Expr] = msgspec.json.Decoder(Ref | Span | Value | Gather | Mapping | Concat)
_items_decoder = msgspec.json.Decoder(list[msgspec.Raw])
_fields_decoder = msgspec.json.Decoder(dict[str, msgspec.Raw])


def encode(plan: Plan) -> str:
    """Write a plan as JSON text, without defaults."""
    return _encoder.encode(plan).decode()


def decode(text: str) -> Plan:
    """Read the plan that `encode` wrote. Raises `PlanError`, which says where the text is not a plan."""
    try:
        return _plan_decoder.decode(text)
    except (msgspec.DecodeError, ValueError, RecursionError) as exc:
        remedy = "It must be JSON written by segue.plan.codec.encode, of this or an older version of Segue"
        raise PlanError("the plan", [Problem("(text)", f"it cannot be read: {exc}", remedy)]) from exc


def encode_holes(holes: tuple[Hole, ...]) -> str | None:
    """Write holes as JSON text; None if there are none."""
    return _encoder.encode(holes).decode() if holes else None


def decode_holes(text: str | None) -> tuple[Hole, ...]:
    """Read the holes that `encode_holes` wrote. Raises `SerializationError` for any other text."""
    if not text:
        return ()
    try:
        return _holes_decoder.decode(text)
    except UNREADABLE as error:
        raise unreadable("what fills its arguments", text, error) from None


def encode_expr(expr: Expr) -> str:
    """Write an expression as JSON text."""
    return _encoder.encode(expr).decode()


def decode_expr(text: str) -> Expr:
    """Read the expression that `encode_expr` wrote. Raises `SerializationError` for any other text."""
    try:
        return _expr_decoder.decode(text)
    except UNREADABLE as error:
        raise unreadable("where a result is", text, error) from None


def unreadable(what: str, text: object, error: BaseException) -> SerializationError:
    """The error for a stored text that cannot be read."""
    reason = str(error) or type(error).__name__
    return SerializationError(
        f"the database does not say {what}: {_shorten(str(text))!r} cannot be read ({reason}). "
        "The row was changed by hand or damaged; write it again, or cancel the run"
    )


def steps_in(expr: Expr) -> abc.Iterator[int]:
    """The numbers of the steps that an expression refers to. May contain duplicates, and `RUN` for the run itself."""
    if isinstance(expr, Ref):  # most of them
        yield expr.step
        return
    waiting: list[Expr] = [expr]
    while waiting:
        match waiting.pop():
            case Ref(step=step):
                yield step
            case Span(first=first, last=last):
                if last - first > MOST_SPANNED:
                    raise unreadable("which results a list is made of", f"steps {first} to {last}", _TOO_WIDE)
                yield from range(first, last + 1)
            case Gather(items=items) | Mapping(items=items) | Concat(items=items):
                waiting.extend(reversed(items))
            case Value():
                pass
            case unknown:
                assert_never(unknown)


def depth_of(expr: Expr) -> int:
    """How deep the lists and dicts of an expression are nested."""
    depth = 0
    level: list[Expr] = [expr]
    while level := [item for each in level if isinstance(each, (Gather, Mapping, Concat)) for item in each.items]:
        depth += 1
    return depth


def shift(plan: Plan, base: int) -> Plan:
    """Add `base` to every step number of a plan, to insert it into a run that already has steps."""
    nodes = tuple(_shift_node(node, base) for node in plan.nodes)
    result = None if plan.result is None else shift_expr(plan.result, base)
    return msgspec.structs.replace(plan, nodes=nodes, result=result)


def shift_expr(expr: Expr, base: int) -> Expr:
    """Add `base` to every step number of an expression; `RUN` stays."""
    match expr:
        case Ref():
            return expr if expr.step == RUN else Ref(expr.step + base, expr.path)
        case Span():
            return Span(expr.first + base, expr.last + base)
        case Gather():
            return Gather(tuple(shift_expr(item, base) for item in expr.items))
        case Mapping():
            return Mapping(expr.keys, tuple(shift_expr(item, base) for item in expr.items))
        case Concat():
            return Concat(tuple(shift_expr(item, base) for item in expr.items))  # type: ignore[misc]
        case Value():
            return expr
        case _:
            assert_never(expr)


def evaluate(expr: Expr, values: abc.Mapping[int, str]) -> str:
    """The value of an expression, as JSON text, given the results of the steps that it refers to.

    A step that is missing in `values` (it failed, or was skipped) counts as null. A path into a payload stays with its
    frame, to be followed by the reader that opens it. Raises `SerializationError` if a path does not exist in a result.
    """
    match expr:
        case Ref():
            text = values.get(expr.step, NULL)
            return follow(text, expr.path, f"the result of step {expr.step}") if expr.path else text
        case Span():
            get = values.get
            return "[" + ",".join([get(step, NULL) for step in range(expr.first, expr.last + 1)]) + "]"
        case Gather():
            return "[" + ",".join([evaluate(item, values) for item in expr.items]) + "]"
        case Mapping():
            pairs = zip(expr.keys, expr.items, strict=True)
            return "{" + ",".join([f"{_quote(key)}:{evaluate(item, values)}" for key, item in pairs]) + "}"
        case Concat():
            lists = [_items_of(evaluate(item, values)) for item in expr.items]
            return "[" + ",".join([items for items in lists if items]) + "]"
        case Value():
            return bytes(expr.json).decode()
        case _:
            assert_never(expr)


def follow(text: str, path: tuple[str | int, ...], what: str) -> str:
    """The part at `path` of a JSON text that is `what`. Raises `SerializationError` if it does not exist."""
    found = msgspec.Raw(text.encode())
    may_be_framed = "\\" in text and OPENING in text
    for depth, key in enumerate(path):
        if may_be_framed:
            part = part_of(found, path[depth:])
            if part is not None:
                return part
            refuse_frame(found)
        try:
            found = _fields_decoder.decode(found)[key] if isinstance(key, str) else _items_decoder.decode(found)[key]
        except RecursionError:
            raise SerializationError(f"{what} is nested too deeply to be read") from None
        except (KeyError, IndexError, *UNREADABLE):
            whole = "".join(f"[{part!r}]" for part in path)
            inner = "".join(f"[{part!r}]" for part in path[:depth]) or "it"
            raise SerializationError(
                f"{what} was asked for {whole}, but {inner} is "
                f"{_shorten(bytes(found).decode())}; change the task's result or the key that the workflow asks for"
            ) from None
    return bytes(found).decode()


def _shift_node(node: Node, base: int) -> Node:
    changes: dict[str, Any] = {}
    if node.parents:
        changes["parents"] = tuple(parent + base for parent in node.parents)
    if node.holes:
        changes["holes"] = tuple(Hole(hole.where, shift_expr(hole.what, base)) for hole in node.holes)
    if node.when is not None:
        changes["when"] = shift_expr(node.when, base)
    if node.result is not None:
        changes["result"] = shift_expr(node.result, base)
    if node.uses:
        changes["uses"] = tuple(
            use if use.key is None else msgspec.structs.replace(use, key=shift_expr(use.key, base)) for use in node.uses
        )
    if node.share is not None:
        changes["share"] = msgspec.structs.replace(node.share, key=shift_expr(node.share.key, base))
    return msgspec.structs.replace(node, **changes) if changes else node


def _items_of(text: str) -> str:
    """The items of a list, without its brackets; nothing for null."""
    text = text.strip()
    if text == NULL:
        return ""
    if text.startswith(OPENING):
        raise unknown_kind(text)
    if not text.startswith("["):
        raise SerializationError(f"a list was to be made of {_shorten(text)}, which is no list")
    return text[1:-1].strip()


def _quote(key: str) -> str:
    return _encoder.encode(key).decode()


def _shorten(text: str) -> str:
    return text if len(text) <= 80 else f"{text[:77]}..."
