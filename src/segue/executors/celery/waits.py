"""`wait_for` in a canvas: a step that waits for a message, such as the approval of a person.

It occupies no worker and no message of the broker: the engine begins and ends it. See docs/waiting.md.
"""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any

from celery.canvas import Signature

from segue.authoring import waiting
from segue.errors import PlanError, Problem
from segue.executors.celery.codec import encode_arguments
from segue.model import WAIT_FOR, JoinRule
from segue.plan.graph import Node

if TYPE_CHECKING:
    from segue.executors.celery.calls import Call

_NO_DEFAULT: Any = object()


def wait_for(name: str, *, timeout: float | timedelta | None = None, default: Any = _NO_DEFAULT) -> Signature:
    """A signature that waits until `name` is sent to the run; its result, which the next task gets, is the value sent.

    For canvases that go through Segue. `timeout` (seconds or a timedelta) and `default` are those of `segue.wait_for`:
    after the timeout it fails, or has the default as its result. Example::

        run = segue.start(chain(price.s(7), wait_for("approved"), ship.s()))
        run.send("approved", {"by": "ann"})
    """
    more = {} if default is _NO_DEFAULT else {"default": default}
    checked = waiting.wait_for.s(name, timeout=timeout, **more)  # it raises for what cannot be waited for
    return Signature(WAIT_FOR, checked.args, checked.kwargs, immutable=True)


def waiting_node(call: Call, name: str) -> Node:
    """The step of such a call. Raises PlanError for options that would have no effect."""
    lost = sorted({"countdown", "eta", "expires"} & call.options.keys())
    if lost:
        remedy = "Give wait_for(..., timeout=) the time it may take"
        raise PlanError(name, [Problem(name, f"a wait has no {', '.join(lost)}", remedy)])
    args, holes = encode_arguments(call.args, call.kwargs, f"an argument of {WAIT_FOR}")
    return Node(
        name, WAIT_FOR, args, holes, call.parents,
        rule=JoinRule.SOME_FAILED if call.on_failure else JoinRule.ALL_SUCCEEDED,
    )  # fmt: skip
