"""Canvases as nodes of a workflow: what each primitive of Celery depends on, and what depends on it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

from celery.canvas import Signature, _chain, chord, group, maybe_signature

if TYPE_CHECKING:
    from segue.compat.dyrygent.workflows.node import WorkflowNode

Nodes = Sequence["WorkflowNode"]


class TakesCanvases:
    """Mixed into `Workflow`. Each method returns the nodes on which what follows depends."""

    def add_signature(self, signature: Signature, dependencies: Any = None) -> WorkflowNode:
        """Add one task."""
        raise NotImplementedError

    def add_celery_canvas(self, canvas: Any, dependencies: Any = None) -> list[WorkflowNode]:
        """Add a chain, group, chord or signature, whatever is inside it. No result is passed on: every task gets its
        own arguments only.
        """
        canvas = maybe_signature(canvas)
        if isinstance(canvas, _chain):
            return self.add_celery_chain(canvas, dependencies)
        if isinstance(canvas, chord):
            return self.add_celery_chord(canvas, dependencies)
        if isinstance(canvas, group):
            return self.add_celery_group(canvas, dependencies)
        return self.add_celery_signature(canvas, dependencies)

    def add_celery_signature(self, signature: Signature, dependencies: Any = None) -> list[WorkflowNode]:
        """Add one task, which gets an id."""
        signature.freeze()
        return [self.add_signature(signature, dependencies)]

    def add_celery_chain(self, chain: Any, dependencies: Any = None) -> list[WorkflowNode]:
        """Add elements one behind the other."""
        before = list(dependencies or ())
        for element in chain.tasks:
            before = self.add_celery_canvas(element, before)
        return before

    def add_celery_group(self, group: Any, dependencies: Any = None) -> list[WorkflowNode]:
        """Add elements beside one another."""
        return self._beside(group.tasks, dependencies)

    def add_celery_chord(self, chord: Any, dependencies: Any = None) -> list[WorkflowNode]:
        """Add the header, and the body behind all of it."""
        header = chord.tasks
        header = header.tasks if isinstance(header, group) else header
        return self.add_celery_canvas(chord.body, self._beside(header, dependencies))

    def _beside(self, elements: Iterable[Any], dependencies: Any) -> list[WorkflowNode]:
        before = list(dependencies or ())
        ends = [node for element in elements for node in self.add_celery_canvas(element, before)]
        return ends or before
