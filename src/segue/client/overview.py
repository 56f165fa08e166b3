"""The part of `Segue` that shows everything of a kind at a glance: queues, workflows."""

from __future__ import annotations

from segue.client.given import guarded
from segue.engine.acting import acting_as
from segue.engine.engine import Engine
from segue.engine.views import queues
from segue.engine.views.look import ENDED, WorkerInfo, list_ended_workers
from segue.engine.views.queues import QueueInfo, WorkflowInfo
from segue.errors import ConfigError
from segue.given import shown


@guarded
class Overview:
    """The part of `Segue` that lists queues and workflows. It costs the same however many steps and runs there are."""

    engine: Engine

    acting_as = staticmethod(acting_as)
    """`with segue.acting_as("ann"):` what is started or changed inside the block without an actor is by this one."""

    def ended_workers(
        self, *, status: str | None = None, before: str | None = None, limit: int = 50
    ) -> list[WorkerInfo]:  # fmt: skip
        """The workers that "stopped" or were "lost" in the last hour or so, the one that started last first.

        For the next page give the last id as `before`. Example::

            for worker in segue.ended_workers(status="lost"):
                print(worker.name, worker.heartbeat_at)
        """
        if status not in (None, *ENDED):
            raise ConfigError(f"status={shown(status)} is not one of a worker that has ended. Choose lost or stopped.")
        with self.engine.reading() as tx:
            return list_ended_workers(tx, status=status, before=before, limit=limit, prefix=self.engine.prefix)

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
