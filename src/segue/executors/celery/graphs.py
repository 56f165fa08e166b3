"""Plans of Celery tasks that are written as a graph of calls, not as a canvas. For the packages in `segue.compat`.

Each call says of which others it waits. Nothing is passed on, unless the call says so.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

from msgspec import structs

from segue.authoring import encode
from segue.errors import PlanError, Problem
from segue.executors.celery.capture import captured, current_capture
from segue.executors.celery.door import Door
from segue.executors.celery.plans import plan_of_capture
from segue.model import Hole, Hook, Ref
from segue.plan.graph import Node, Plan


class Placed(NamedTuple):
    """A call in a graph. `call` applies one task, as in `task.apply_async`; it is collected, not sent."""

    call: Callable[[], object]
    parents: tuple[int, ...] = ()  # the numbers of the calls that it waits for: earlier ones
    name: str | None = None  # of the step
    takes_first: int | None = None  # its first argument is the first item of what this call returns
    metadata: Mapping[str, Any] | None = None
    hook: Hook | None = None


def plan_of_graph(door: Door, name: str, calls: Sequence[Placed], *, result: int | None = None) -> Plan:
    """The plan of these calls; its result is that of the call number `result`. Callbacks of the calls come after them.

    Raises PlanError for a call that makes no message, or several: it is a canvas.
    """
    capture, _ = captured(door.app, lambda: _collect(name, calls))
    plan = plan_of_capture(door, name, capture, None)
    nodes = [*map(_placed, plan.nodes, calls), *plan.nodes[len(calls) :]]
    return structs.replace(plan, nodes=tuple(nodes), result=None if result is None else Ref(result))


def _collect(name: str, calls: Sequence[Placed]) -> None:
    capture = current_capture()
    assert capture is not None
    capture.is_outermost = False  # the caller gets none of their result objects
    for number, placed in enumerate(calls):
        placed.call()
        if len(capture.calls) != number + 1 or capture.calls[number].chain or capture.calls[number].chord:
            what = placed.name or f"call {number}"
            raise PlanError(name, [Problem(what, "it is not one task", "Give the tasks of the canvas one by one")])


def _placed(node: Node, placed: Placed) -> Node:
    holes, args = node.holes, node.args
    if placed.takes_first is not None:
        holes = (Hole((0, 0), Ref(placed.takes_first, (0,))), *holes)
    return structs.replace(
        node, name=placed.name or node.name, parents=placed.parents, args=args, holes=holes, hook=placed.hook,
        metadata=encode(dict(placed.metadata), "metadata") if placed.metadata else None,
    )  # fmt: skip
