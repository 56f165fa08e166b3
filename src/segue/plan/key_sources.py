"""Which arguments of a step the key of a limit or of a fair share comes from, as data. Pure.

It is stored with the step: a process that edits the arguments finds the new key without the code of the task.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import msgspec

from segue.errors import SerializationError
from segue.model import Expr, Gather, Hole, Ref, Value
from segue.model import Mapping as MappingExpr
from segue.plan.codec import evaluate, steps_in
from segue.plan.frames import read, refuse_frame
from segue.plan.graph import KeyPart, KeySource

Where = tuple[str | int, ...]

_encode = msgspec.json.Encoder(order="deterministic").encode
_decode_arguments = msgspec.json.Decoder(tuple[list[msgspec.Raw], dict[str, msgspec.Raw]]).decode
_decode_list = msgspec.json.Decoder(list[msgspec.Raw]).decode
_decode_object = msgspec.json.Decoder(dict[str, msgspec.Raw]).decode


def key_text(value: str) -> str:
    """The text of a key, given its JSON: texts are unchanged, other values stay JSON."""
    found = read(value)
    return found if isinstance(found, str) else _encode(found).decode()


def key_from(source: KeySource, args: str, holes: Sequence[Hole]) -> Expr:
    """The key for these arguments (JSON): a `Value` of text if it is known, otherwise its parts.

    Raises SerializationError if the arguments lack the value that the key comes from.
    """
    positional, named = _decode_arguments(args)
    filled = {hole.where: hole.what for hole in holes}
    parts = [
        Value(msgspec.Raw(_encode(part.text))) if part.text else _argument(part, positional, named, filled)
        for part in source
    ]  # fmt: skip
    if any(True for part in parts for _ in steps_in(part)):
        return Gather(tuple(parts))
    text = "".join(key_text(evaluate(part, {})) for part in parts)
    return Value(msgspec.Raw(_encode(text)))


def _argument(
    part: KeyPart, positional: Sequence[msgspec.Raw], named: Mapping[str, msgspec.Raw], filled: Mapping[Where, Expr]
) -> Expr:
    for place in part.places:
        if place[0] == 0:
            index = place[1]
            raw = positional[index] if isinstance(index, int) and index < len(positional) else None
        else:
            raw = named.get(str(place[1]))
            for key in place[2:]:
                raw = _fields(raw).get(str(key))
        if raw is not None:
            expr = _filled(raw, place, filled)
            for name in part.path:
                expr = _inside(expr, name)
            return expr
    if part.default is None:
        names = " or ".join(str(place[-1]) for place in part.places)
        raise SerializationError(f"no argument is given at {names}, by which it is counted")
    return Value(msgspec.Raw(_encode(part.default)))


def _filled(raw: msgspec.Raw, where: Where, filled: Mapping[Where, Expr]) -> Expr:
    """A value, filled in by other steps where it has holes."""
    if where in filled:
        return filled[where]
    if not any(hole[: len(where)] == where for hole in filled):
        return Value(raw)
    if bytes(raw).lstrip()[:1] == b"[":
        return Gather(tuple(_filled(item, (*where, n), filled) for n, item in enumerate(_decode_list(raw))))
    fields = _decode_object(raw)
    return MappingExpr(tuple(fields), tuple(_filled(item, (*where, key), filled) for key, item in fields.items()))


def _inside(expr: Expr, name: str) -> Expr:
    """The item of this name inside an expression."""
    if isinstance(expr, Ref):
        return Ref(expr.step, (*expr.path, name))
    if isinstance(expr, MappingExpr) and name in expr.keys:
        return expr.items[expr.keys.index(name)]
    found = _fields(expr.json).get(name) if isinstance(expr, Value) else None
    if found is None:
        shown = bytes(expr.json).decode()[:80] if isinstance(expr, Value) else "what other steps make"
        raise SerializationError(f"it is counted by .{name} of {shown}, which has no such field")
    return Value(found)


def _fields(raw: msgspec.Raw | None) -> dict[str, msgspec.Raw]:
    if raw is None:
        return {}
    refuse_frame(raw)
    try:
        return _decode_object(raw)
    except msgspec.ValidationError:
        return {}
