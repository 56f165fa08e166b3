"""The part of `Segue` that shows everything of a kind at a glance: queues, workflows."""

from __future__ import annotations

from segue.client.given import guarded
from segue.engine.engine import Engine
from segue.engine.views import queues
from segue.engine.views.queues import QueueInfo, WorkflowInfo


@guarded
class Overview:
    """The part of `Segue` that lists queues and workflows. It costs the same however many steps and runs there are."""

    engine: Engine

    def queues(self) -> list[QueueInfo]:
        """The queues on which steps wait or run, or on which workers work, by name. No count goes beyond 10,001.

        Example::

            for queue in segue.queues():
                print(queue.name, queue.ready, queue.oldest_ready_at, queue.places)
        """
        with self.engine.reading() as tx:
            return queues.list_queues(tx, self.engine.store.now(), prefix=self.engine.prefix)

    def workflows(self, *, after: str = "", limit: int = 500) -> list[WorkflowInfo]:
        """The workflows of which there are runs, by name, with the newest run of each.

        For the next page give the last name as `after`. Example::

            for workflow in segue.workflows():
                print(workflow.name, workflow.last.status)
        """
        with self.engine.reading() as tx:
            return queues.list_workflows(tx, after=after, limit=limit, prefix=self.engine.prefix)
