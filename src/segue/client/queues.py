"""The queues of a database, for people: to type, and to see where work waits."""

from __future__ import annotations

from segue.client.segue import Segue
from segue.engine.views.queues import ready_queues


def queues_with_work(segue: Segue) -> list[str]:
    """The queues on which steps are ready, sorted."""
    with segue.engine.reading() as tx:
        return ready_queues(tx, prefix=segue.engine.prefix)


def known_queues(segue: Segue) -> list[str]:
    """The queues on which steps are ready or live workers work, sorted."""
    served = {queue for worker in segue.workers() for queue in worker.queues}
    return sorted(served.union(queues_with_work(segue)))
