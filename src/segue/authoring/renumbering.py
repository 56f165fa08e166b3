"""Renumbers the steps of a plan, if `after` named a later step and they had to be sorted."""

from __future__ import annotations

from typing import assert_never

import msgspec

from segue.authoring.handle import gathered
from segue.model import Concat, Expr, Gather, Hole, Mapping, Ref, Span, Value
from segue.plan.graph import Node


def renumbered(nodes: tuple[Node, ...], result: Expr | None, order: list[int]) -> tuple[tuple[Node, ...], Expr | None]:
    """The nodes in this order of their old numbers, with all references renumbered."""
    new = [0] * len(order)
    for position, number in enumerate(order):
        new[number] = position
    replace = msgspec.structs.replace
    moved = tuple(
        replace(
            node,
            parents=tuple(new[parent] for parent in node.parents),
            holes=tuple(Hole(hole.where, _moved(hole.what, new)) for hole in node.holes),
            uses=tuple(use if use.key is None else replace(use, key=_moved(use.key, new)) for use in node.uses),
            share=None if node.share is None else replace(node.share, key=_moved(node.share.key, new)),
            when=None if node.when is None else _moved(node.when, new),
            result=None if node.result is None else _moved(node.result, new),
        )
        for node in (nodes[number] for number in order)
    )
    return moved, None if result is None else _moved(result, new)


def _moved(expr: Expr, new: list[int]) -> Expr:
    match expr:
        case Ref():
            return Ref(new[expr.step], expr.path) if expr.step >= 0 else expr
        case Span():
            return gathered([Ref(new[step]) for step in range(expr.first, expr.last + 1)])
        case Gather():
            return Gather(tuple(_moved(item, new) for item in expr.items))
        case Mapping():
            return Mapping(expr.keys, tuple(_moved(item, new) for item in expr.items))
        case Concat():
            return Concat(tuple(_moved(item, new) for item in expr.items))  # type: ignore[misc]
        case Value():
            return expr
        case unknown:
            assert_never(unknown)
