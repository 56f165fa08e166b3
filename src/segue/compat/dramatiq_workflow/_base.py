"""`Workflow`: a composition that can be run, each time as a new run."""

from __future__ import annotations

from functools import cached_property
from typing import Any

import dramatiq

from segue import Run
from segue.compat.dramatiq_workflow._middleware import WorkflowMiddleware
from segue.compat.dramatiq_workflow._models import WithDelay, walk_messages
from segue.compat.dramatiq_workflow._serialize import serialize_workflow


class Workflow:
    """A composition of messages on a broker, by default the global one.

    Example::

        Workflow(Chain(task1.message("arguments"), Group(task2.message(), task3.message()), task4.message())).run()
    """

    def __init__(self, workflow: Any, broker: dramatiq.Broker | None = None) -> None:
        self.broker = broker or dramatiq.get_broker()
        self._delay = 0
        while isinstance(workflow, WithDelay):
            self._delay += workflow.delay
            workflow = workflow.task
        self.workflow = workflow

    def run(self) -> Run:
        """Start it. Raises TypeError for something that is no workflow, and nothing is sent then; RuntimeError if the
        broker has no `WorkflowMiddleware`.
        """
        for _ in walk_messages(self.workflow):
            pass
        work = WithDelay(self.workflow, self._delay) if self._delay else self.workflow
        return self._middleware.start(self.broker, work)

    @cached_property
    def _middleware(self) -> WorkflowMiddleware:
        for middleware in self.broker.middleware:
            if isinstance(middleware, WorkflowMiddleware):
                return middleware
        raise RuntimeError(
            "WorkflowMiddleware middleware not found! Call broker.add_middleware(WorkflowMiddleware(...)) where the "
            "broker is made: workflows need it."
        )

    def __str__(self) -> str:
        return f"Workflow({serialize_workflow(self.workflow)})"
