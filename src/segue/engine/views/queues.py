"""The queues: on which steps are ready, and how each of them is. Reads only."""

from __future__ import annotations

from datetime import datetime

import msgspec

from segue.engine.limiting.limit_rows import LimitRow
from segue.engine.limiting.places import QUEUE
from segue.engine.stored import moment_of
from segue.engine.views.look import RunInfo, list_workers, run_infos
from segue.jsonable import Jsonable
from segue.plan.namespaces import bare, is_in, namespace_of, prefix_of, stored
from segue.store.protocol import Transaction

MOST_QUEUES = 1000
COUNTED_TO = 10_001
"""No count goes beyond this; it means "more than 10,000"."""


class QueueInfo(Jsonable, msgspec.Struct, frozen=True, kw_only=True):
    """A queue as it was when it was read. No count goes beyond 10,001. Times are aware UTC."""

    name: str
    ready: int  # steps that workers could claim now
    oldest_ready_at: datetime | None  # since when the oldest of them is ready
    delayed: int  # that wait for a time; among the 10,001 of all queues that become ready first
    limited: int  # that wait for a place of a limit
    running: int
    sent: int  # given to an executor, and not begun
    workers: int  # that are alive and work on it
    places: int  # how many steps these workers run at the same time, also of their other queues
    concurrency: int | None  # the limit `queue:NAME`, if there is one
    is_closed: bool  # that limit has no places: nothing starts
    namespace: str = ""


class WorkflowInfo(Jsonable, msgspec.Struct, frozen=True):
    """A workflow or task of which there are runs, and its newest run."""

    name: str
    last: RunInfo | None
    namespace: str = ""


def ready_queues(tx: Transaction, *, prefix: str | None = None) -> list[str]:
    """The queues of a namespace, or of all, on which workers could claim steps now, without those of executors."""
    stored = [str(queue) for (queue,) in tx.all("ready_queues", limit=MOST_QUEUES)]
    mine = [bare(queue) for queue in stored if prefix is None or prefix_of(namespace_of(queue)) == prefix]
    return sorted({queue for queue in mine if not queue.startswith("@")})


def list_queues(tx: Transaction, now: datetime, *, prefix: str | None = None) -> list[QueueInfo]:
    """The queues on which steps wait or run, or on which workers work, by name."""
    names_of_ready = tx.later("ready_queues", limit=MOST_QUEUES)
    held = tx.later("limited_queues", limit=MOST_QUEUES, most=COUNTED_TO)
    busy = tx.later("busy_by_queue", limit=COUNTED_TO)
    rows = tx.later("list_limits")
    serving: dict[str, list[int]] = {}
    for worker in list_workers(tx, prefix=prefix):
        if worker.lease_until >= now and worker.status == "running":
            for queue in worker.queues:
                serving.setdefault(stored(worker.namespace, queue), []).append(worker.concurrency)
    limits = {row.name: row.concurrency for row in (LimitRow(*row) for row in rows.rows())}
    limited: dict[str, int] = dict(held.rows())
    counts = {(what, queue): count for what, queue, count in busy.rows()}
    on_ready = [str(queue) for (queue,) in names_of_ready.rows() if is_in(prefix, queue)]
    ready = {name: (count, since) for name, count, since in ready_by_queues(tx, on_ready, COUNTED_TO)}
    found = []
    known = {*on_ready, *limited, *serving, *(queue for _, queue in counts)}
    for name in sorted(name for name in known if is_in(prefix, name)):
        space = namespace_of(name)
        concurrency = limits.get(stored(space, f"{QUEUE}{bare(name)}"))
        many, since = ready.get(name, (0, None))
        found.append(
            QueueInfo(
                name=bare(name), ready=many, oldest_ready_at=since, delayed=counts.get(("delayed", name), 0),
                limited=limited.get(name, 0), running=counts.get(("running", name), 0),
                sent=counts.get(("sent", name), 0), workers=len(serving.get(name, ())),
                places=sum(serving.get(name, ())), concurrency=concurrency, is_closed=concurrency == 0,
                namespace=space,
            )
        )  # fmt: skip
    return found


def ready_by_queues(tx: Transaction, names: list[str], most: int) -> list[tuple[str, int, datetime | None]]:
    """Of these queues: how many steps workers could claim now, at most `most`, and since when the oldest is ready."""
    rows = tx.all("ready_by_queues", names=names, limit=most) if names else []
    return [(str(name), int(count), moment_of(tx, since)) for name, count, since in rows]


def list_workflows(
    tx: Transaction, *, after: str = "", limit: int = 500, prefix: str | None = None
) -> list[WorkflowInfo]:  # fmt: skip
    """The workflows of which there are runs, by name, from the one after `after`, with the newest run of each."""
    start = max(f"{prefix or ''}{after}", after)
    rows = [(str(name), str(last)) for name, last in tx.all("workflow_names", after=start, limit=limit)]
    mine = [(name, last) for name, last in rows if is_in(prefix, name)]
    runs = {run.id: run for run in run_infos(tx, [last for _, last in mine])}
    return [WorkflowInfo(bare(name), runs.get(last), namespace_of(name)) for name, last in mine]
