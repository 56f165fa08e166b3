"""Plans and expressions as text: encode, decode, renumber, evaluate.

Nothing here knows a clock or a database. `evaluate` is what an expression means; engine and tasks both use it.
"""

from __future__ import annotations

from collections import abc
from typing import Any, assert_never

import msgspec

from segue.errors import PlanError, Problem, SerializationError
from segue.model import RUN, Expr, Gather, Hole, Mapping, Ref, Span, Value
from segue.plan.graph import LimitUse, Node, Plan

NULL = "null"

_encoder = msgspec.json.Encoder()
_plan_decoder = msgspec.json.Decoder(Plan)
_holes_decoder = msgspec.json.Decoder(tuple[Hole, ...])
_expr_decoder: msgspec.json.Decoder[Expr] = msgspec.json.Decoder(Ref | Span | Value | Gather | Mapping)
_items_decoder = msgspec.json.Decoder(list[msgspec.Raw])
_fields_decoder = msgspec.json.Decoder(dict[str, msgspec.Raw])


def encode(plan: Plan) -> str:
    """A plan as JSON text, defaults left out."""
    return _encoder.encode(plan).decode()


def decode(text: str) -> Plan:
    """The plan that `encode` wrote; raises `PlanError` saying where the text is not a plan."""
    try:
        return _plan_decoder.decode(text)
    except (msgspec.DecodeError, ValueError) as exc:
        remedy = "It must be JSON that segue.plan.codec.encode wrote, by this or an older version of Segue"
        raise PlanError("the plan", [Problem("(text)", f"it cannot be read: {exc}", remedy)]) from exc


def encode_holes(holes: tuple[Hole, ...]) -> str | None:
    """Holes as JSON text, None when there are none."""
    return _encoder.encode(holes).decode() if holes else None


def decode_holes(text: str | None) -> tuple[Hole, ...]:
    """The holes that `encode_holes` wrote."""
    return _holes_decoder.decode(text) if text else ()


def encode_expr(expr: Expr) -> str:
    """An expression as JSON text."""
    return _encoder.encode(expr).decode()


def decode_expr(text: str) -> Expr:
    """The expression that `encode_expr` wrote."""
    return _expr_decoder.decode(text)


def steps_in(expr: Expr) -> abc.Iterator[int]:
    """The numbers of the steps that an expression refers to; may repeat, and has `RUN` for the run itself."""
    match expr:
        case Ref():
            yield expr.step
        case Span():
            yield from range(expr.first, expr.last + 1)
        case Gather() | Mapping():
            for item in expr.items:
                yield from steps_in(item)
        case Value():
            return
        case _:
            assert_never(expr)


def shift(plan: Plan, base: int) -> Plan:
    """The plan with every number of a step raised by `base`, for inserting it into a run that has steps already."""
    nodes = tuple(_shift_node(node, base) for node in plan.nodes)
    result = None if plan.result is None else shift_expr(plan.result, base)
    return msgspec.structs.replace(plan, nodes=nodes, result=result)


def shift_expr(expr: Expr, base: int) -> Expr:
    """The expression with every number of a step raised by `base`; `RUN` stays."""
    match expr:
        case Ref():
            return expr if expr.step == RUN else Ref(expr.step + base, expr.path)
        case Span():
            return Span(expr.first + base, expr.last + base)
        case Gather():
            return Gather(tuple(shift_expr(item, base) for item in expr.items))
        case Mapping():
            return Mapping(expr.keys, tuple(shift_expr(item, base) for item in expr.items))
        case Value():
            return expr
        case _:
            assert_never(expr)


def evaluate(expr: Expr, values: abc.Mapping[int, str]) -> str:
    """What an expression stands for, as JSON text, given the results of the steps that it refers to.

    A step that is not in `values` (it failed, or was skipped) counts as null. Raises `SerializationError` when a path
    leads nowhere.
    """
    match expr:
        case Ref():
            text = values.get(expr.step, NULL)
            return _follow(text, expr) if expr.path else text
        case Span():
            get = values.get
            return "[" + ",".join([get(step, NULL) for step in range(expr.first, expr.last + 1)]) + "]"
        case Gather():
            return "[" + ",".join([evaluate(item, values) for item in expr.items]) + "]"
        case Mapping():
            pairs = zip(expr.keys, expr.items, strict=True)
            return "{" + ",".join([f"{_quote(key)}:{evaluate(item, values)}" for key, item in pairs]) + "}"
        case Value():
            return bytes(expr.json).decode()
        case _:
            assert_never(expr)


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
            use if use.key is None else LimitUse(use.limit, shift_expr(use.key, base), use.cost) for use in node.uses
        )
    if node.turns is not None:
        changes["turns"] = msgspec.structs.replace(node.turns, key=shift_expr(node.turns.key, base))
    return msgspec.structs.replace(node, **changes) if changes else node


def _quote(key: str) -> str:
    return _encoder.encode(key).decode()


def _follow(text: str, ref: Ref) -> str:
    found = msgspec.Raw(text.encode())
    for depth, key in enumerate(ref.path):
        try:
            found = _fields_decoder.decode(found)[key] if isinstance(key, str) else _items_decoder.decode(found)[key]
        except (KeyError, IndexError, msgspec.ValidationError):
            path = "".join(f"[{part!r}]" for part in ref.path)
            inner = "".join(f"[{part!r}]" for part in ref.path[:depth]) or "it"
            raise SerializationError(
                f"the result of step {ref.step} was asked for {path}, but {inner} is "
                f"{_shorten(bytes(found).decode())}; change the task's result or the key that the workflow asks for"
            ) from None
    return bytes(found).decode()


def _shorten(text: str) -> str:
    return text if len(text) <= 80 else f"{text[:77]}..."
