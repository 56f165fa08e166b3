"""Celery's JSON as Segue stores it: dates, UUIDs, decimals and bytes keep the tags that kombu gives them.

NaN and the infinities, which JSON cannot hold and which Python writes nevertheless, get such a tag, too. So everything
that is stored is JSON for every reader, and tasks get the float.

Arguments and results of Celery tasks go from the caller to the worker, and from a worker to the next task, exactly as
in Celery's own messages. Segue's engine only moves the text.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from functools import partial
from typing import Any

from celery.result import ResultBase
from kombu.utils.json import dumps as kombu_dumps
from kombu.utils.json import loads as kombu_loads
from kombu.utils.json import register_type

from segue.authoring.compose import Element
from segue.authoring.filling import Fetch, value_of
from segue.errors import SerializationError
from segue.executors.celery.calls import Pending
from segue.given import shown
from segue.model import Expr, Gather, Hole, Ref, Span
from segue.plan.codec import decode_holes, evaluate
from segue.plan.frames import has_frame, unknown_kind
from segue.plan.graph import Plan as SeguePlan
from segue.plan.payload_frames import read_through

_UNWRITABLE = (TypeError, ValueError, OverflowError, RecursionError)


def dumps(value: object, what: str) -> str:
    """A value as Celery's JSON. Raises SerializationError, which names `what`, for one that has no such form."""
    try:
        try:
            text: str = kombu_dumps(value, allow_nan=False)
        except ValueError:  # it may have such a float; looking for one takes longer than writing
            text = kombu_dumps(_tagged(value), allow_nan=False)
    except _UNWRITABLE as error:
        raise SerializationError(f"{what} is {shown(value)}, which Celery's JSON cannot hold: {error}") from error
    return text


class _NotFinite:
    """NaN, or an infinity."""

    def __init__(self, value: float) -> None:
        self.value = value


register_type(_NotFinite, "float", lambda found: repr(found.value), float)


def _tagged(value: Any) -> Any:
    if isinstance(value, float) and not math.isfinite(value):
        return _NotFinite(value)
    if isinstance(value, (list, tuple)):
        return [_tagged(item) for item in value]
    if isinstance(value, dict):
        return {key: _tagged(item) for key, item in value.items()}
    return value


def loads(text: str, fetch: Fetch | None = None) -> Any:
    """The value of such a text; with `fetch`, also of one that lies in a payload store.

    Raises SerializationError for any other frame of Segue, which no message can carry.
    """
    if has_frame(text):
        if fetch is None:
            raise unknown_kind(text)
        return read_through(text, kombu_loads, fetch)
    return kombu_loads(text)


def encode_arguments(args: tuple[Any, ...], kwargs: Mapping[str, Any], what: str) -> tuple[str, tuple[Hole, ...]]:
    """JSON `[args, kwargs]` with null where a result of another call goes, and what goes there."""
    holes: list[Hole] = []
    positional = [_without_pending(value, (0, index), holes) for index, value in enumerate(args)]
    named = {name: _without_pending(value, (1, name), holes) for name, value in kwargs.items()}
    return dumps([positional, named], what), tuple(holes)


def decode_arguments(
    args: str, holes: str | None, values: Mapping[int, str], fetch: Fetch | None = None
) -> tuple[list[Any], dict[str, Any]]:  # fmt: skip
    """The arguments of a call, with the results that go into them."""
    found: list[Any] = loads(args, fetch)
    is_plain = not any(map(has_frame, values.values()))  # then all that goes into a place is read at once
    for hole in decode_holes(holes):
        place: Any = found
        for key in hole.where[:-1]:
            place = place[key]
        what = hole.what
        place[hole.where[-1]] = (
            loads(evaluate(what, values)) if is_plain else value_of(what, values, partial(loads, fetch=fetch))
        )
    positional, named = found
    return positional, named


def encode_result(value: object) -> str:
    """What a task returned, as the next task gets it; raises SerializationError."""
    if isinstance(value, ResultBase):
        value = value.as_tuple()
    if isinstance(value, (Element, SeguePlan)):
        raise SerializationError(
            f"the task returned {shown(value)}. A task that Celery runs cannot return steps of Segue: let it replace "
            "itself with a canvas, self.replace(...), or let a task of Segue's own workers return them"
        )
    return dumps(value, "the result")


def expression_of(value: object) -> Expr | None:
    """The expression of results that have not come yet: of one call, or of a list of them. None for other values."""
    if isinstance(value, Pending):
        return Ref(value.call)
    if isinstance(value, (list, tuple)) and value:
        items = [expression_of(item) for item in value]
        if all(item is not None for item in items):
            return gathered([item for item in items if item is not None])
    return None


def gathered(items: list[Expr]) -> Expr:
    """A list of expressions, in as few words as can be."""
    if items and all(isinstance(item, Ref) and not item.path for item in items):
        steps = [item.step for item in items if isinstance(item, Ref)]
        if len(steps) > 1 and steps == list(range(steps[0], steps[0] + len(steps))):
            return Span(steps[0], steps[-1])
    return Gather(tuple(items))


def _without_pending(value: Any, where: tuple[str | int, ...], holes: list[Hole]) -> Any:
    expr = expression_of(value)
    if expr is not None:
        holes.append(Hole(where, expr))
        return None
    if isinstance(value, (list, tuple)):
        return [_without_pending(item, (*where, index), holes) for index, item in enumerate(value)]
    if type(value) is dict:
        return {key: _without_pending(item, (*where, key), holes) for key, item in value.items()}
    return value
