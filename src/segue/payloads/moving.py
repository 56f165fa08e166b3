"""Moves large arguments of a plan's steps into a payload store, before the plan is written to the database."""

from __future__ import annotations

from collections.abc import Container

import msgspec

from segue.model import ENGINE_TASKS
from segue.payloads.keeping import Payloads
from segue.plan.graph import Node, Plan

MOST_INLINE = 16 * 2**20
"""While the store is not available, so many characters of an argument stay in the plan."""

_decode = msgspec.json.Decoder(tuple[list[msgspec.Raw], dict[str, msgspec.Raw]]).decode
_encode = msgspec.json.Encoder().encode


def moved(plan: Plan, payloads: Payloads | None, executors: Container[str] = ()) -> Plan:
    """The plan with references to its large arguments. Raises PayloadUnavailableError.

    Arguments that the engine itself reads, of steps that wait, stay. So do those of steps of executors, apart from
    `executors`, which read through references.
    """
    if payloads is None:
        return plan
    threshold = payloads.threshold
    if all(len(node.args) <= threshold for node in plan.nodes):
        return plan
    nodes = tuple(
        _moved_from(node, payloads) if len(node.args) > threshold and _may_move(node, executors) else node
        for node in plan.nodes
    )
    return msgspec.structs.replace(plan, nodes=nodes)


def _may_move(node: Node, executors: Container[str]) -> bool:
    if node.task is None or node.task in ENGINE_TASKS:
        return False
    return node.executor is None or node.executor in executors


def _moved_from(node: Node, payloads: Payloads) -> Node:
    positional, named = _decode(node.args)
    args = [_kept(raw, payloads) for raw in positional], {name: _kept(raw, payloads) for name, raw in named.items()}
    return msgspec.structs.replace(node, args=_encode(args).decode())


def _kept(raw: msgspec.Raw, payloads: Payloads) -> msgspec.Raw:
    """An argument, or the frame for it. With holes in it, it has null there, as in the plan."""
    if len(raw) <= payloads.threshold:
        return raw
    return msgspec.Raw(payloads.kept(bytes(raw).decode(), most_inline=MOST_INLINE).encode())
