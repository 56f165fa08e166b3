"""A canvas as a member of Segue's own chains and groups, and of compositions of Dramatiq's messages."""

from __future__ import annotations

from typing import Unpack

from celery.canvas import Signature

from segue.authoring.compose import Element, Embedded
from segue.authoring.handle import Handle
from segue.authoring.options import StepOptions
from segue.authoring.trace import Trace
from segue.errors import DefinitionError
from segue.executors.celery.door import door_for
from segue.executors.celery.plans import plan_after, plan_of_canvas


class CanvasElement(Element):
    """A canvas in a chain: it gets the result before it, as `apply_async` would give it to its tasks.

    So its first tasks have that result as their first argument, unless they are immutable.
    """

    __slots__ = ("canvas",)

    def __init__(self, canvas: Signature) -> None:
        self.canvas = canvas

    @property
    def plan_name(self) -> str:  # type: ignore[override]
        """A run is called by the task, or by what Celery calls this canvas."""
        return str(self.canvas.task)

    def options(self, **changes: Unpack[StepOptions]) -> CanvasElement:
        """Refused, because options of these steps are Celery's."""
        raise DefinitionError(f"{self!r} takes no options ({', '.join(changes)}). Write .set(...), as in Celery")

    def _lay_out(self, trace: Trace, given: Handle | None) -> Handle:
        """Add its steps. If they take a result, they wait for one join, which has it."""
        door = door_for(self.canvas)
        plan = None if given is None else plan_after(door, self.canvas)
        if given is None or plan is None:
            return Embedded(plan_of_canvas(door, self.canvas)[0])._lay_out(trace, given)
        before = len(trace.drafts)
        added = Embedded(plan)._lay_out(trace, None)
        trace.drafts[before].result = given._expr
        trace.wait(before, given)
        return added

    def __repr__(self) -> str:
        return f"the canvas {self.canvas!r}"
