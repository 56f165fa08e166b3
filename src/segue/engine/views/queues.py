"""The queues on which steps are ready. Reads only."""

from __future__ import annotations

from segue.plan.namespaces import bare, namespace_of, prefix_of
from segue.store.protocol import Transaction

MOST_QUEUES = 1000


def ready_queues(tx: Transaction, *, prefix: str | None = None) -> list[str]:
    """The queues of a namespace, or of all, on which workers could claim steps now, without those of executors."""
    stored = [str(queue) for (queue,) in tx.all("ready_queues", limit=MOST_QUEUES)]
    mine = [bare(queue) for queue in stored if prefix is None or prefix_of(namespace_of(queue)) == prefix]
    return sorted({queue for queue in mine if not queue.startswith("@")})
