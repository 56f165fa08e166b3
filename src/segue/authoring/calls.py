"""The plan of one call of a task, as `start_many` makes thousands of them.

Such plans differ in their arguments only. The first for each way of calling a task (so many by position, these by name)
is laid out and checked like any other, and is the pattern of those that follow: only what depends on the values is
looked at again.
"""

from __future__ import annotations

from typing import Any
from weakref import WeakKeyDictionary

from msgspec.structs import replace

from segue.authoring.options import Placement
from segue.authoring.task import Task
from segue.authoring.values import encode
from segue.authoring.workflow import MAX_KEPT_BYTES
from segue.errors import SerializationError
from segue.plan.check import MAX_ARGUMENT_BYTES, size_of
from segue.plan.graph import Plan, RunTerms

Way = tuple[int, tuple[str, ...]]  # how many arguments are given by position, and the names of the others

_patterns: WeakKeyDictionary[Task[..., Any], dict[Way, tuple[Placement, Plan]]] = WeakKeyDictionary()
_MOST_WAYS = 100


def like_an_earlier_one(task: Task[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> Plan | None:
    """The plan of this call, made from that of an earlier one; None where there is none, or where this may be wrong."""
    placement, pattern = _patterns.get(task, {}).get((len(args), tuple(kwargs)), (None, None))
    if pattern is None or placement is not task.placement:
        return None
    try:
        text = encode((args, kwargs))
    except SerializationError:  # a future result, or what cannot be written
        return None
    if size_of(text) > min(MAX_ARGUMENT_BYTES, MAX_KEPT_BYTES) or task.converters.find_changed(text, args, kwargs):
        return None
    return replace(pattern, nodes=(replace(pattern.nodes[0], args=text),), terms=RunTerms(text))


def remember(task: Task[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any], plan: Plan) -> None:
    """Let this plan be the pattern of others, if nothing but the text of its arguments depends on their values."""
    [node] = plan.nodes
    if node.holes or node.uses or node.share is not None or node.when is not None or plan.limits:
        return
    ways = _patterns.setdefault(task, {})
    if len(ways) < _MOST_WAYS:
        ways[len(args), tuple(kwargs)] = (task.placement, plan)
