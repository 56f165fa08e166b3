"""The queues: on which steps are ready, and how each of them is. Reads only."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime

import msgspec

from segue.engine.limiting.places import QUEUE
from segue.engine.stored import moment_of, names_of
from segue.engine.views.look import RunInfo, run_infos
from segue.jsonable import Jsonable
from segue.model import RunStatus
from segue.plan.namespaces import bare, beside, is_in, namespace_of
from segue.store.protocol import Row, Transaction

MOST_QUEUES = 1000
COUNTED_TO = 10_001
"""No count goes beyond this; it means "more than 10,000"."""

_COUNTED = ("ready", "delayed", "limited", "running", "sent")


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
    return names_shown((queue for (queue,) in tx.all("ready_queues", limit=MOST_QUEUES)), prefix)


def names_shown(stored_names: Iterable[str], prefix: str | None) -> list[str]:
    """Those of these queues that are in a namespace, or all, as they are shown, without those of executors."""
    mine = {bare(name) for name in stored_names if is_in(prefix, name)}
    return sorted(name for name in mine if not name.startswith("@"))


def list_queues(tx: Transaction, now: datetime, *, prefix: str | None = None) -> list[QueueInfo]:
    """The queues on which steps wait or run, or on which workers work, by name."""
    return _queues(tx, tx.all("queues_now", now=now, queues=MOST_QUEUES, most=COUNTED_TO, prefix=prefix), prefix)


def queues_and_live_runs(
    tx: Transaction, now: datetime, *, prefix: str | None = None
) -> tuple[list[QueueInfo], dict[RunStatus, int]]:  # fmt: skip
    """The same, and how many runs have not ended, by status; COUNTED_TO of them at most."""
    rows = tx.all("queues_and_live_runs_now", now=now, queues=MOST_QUEUES, most=COUNTED_TO, prefix=prefix)
    live = {RunStatus(status): count for what, status, count, _ in rows if what == "live run"}
    return _queues(tx, rows, prefix), live


def _queues(tx: Transaction, rows: Iterable[Row], prefix: str | None) -> list[QueueInfo]:
    """The queues from rows of `queues_now`."""
    counts: dict[str, dict[str, int]] = {what: {} for what in (*_COUNTED, "limit")}
    oldest: dict[str, datetime | None] = {}
    serving: dict[str, list[int]] = {}
    for what, name, count, since in rows:
        if what == "worker":
            for queue in names_of(name):
                serving.setdefault(queue, []).append(count)
        elif what in counts:
            counts[what][name] = count
            oldest |= {name: moment_of(tx, since)} if what == "ready" else {}
    known = {*serving, *(name for what in _COUNTED for name in counts[what])}
    return [
        _queue(name, counts, oldest.get(name), serving.get(name, []))
        for name in sorted(known) if is_in(prefix, name)
    ]  # fmt: skip


def _queue(name: str, counts: dict[str, dict[str, int]], oldest: datetime | None, places: list[int]) -> QueueInfo:
    concurrency = counts["limit"].get(beside(name, f"{QUEUE}{bare(name)}"))
    return QueueInfo(
        name=bare(name), **{what: counts[what].get(name, 0) for what in _COUNTED}, oldest_ready_at=oldest,
        workers=len(places), places=sum(places), concurrency=concurrency, is_closed=concurrency == 0,
        namespace=namespace_of(name),
    )  # fmt: skip


def ready_by_queues(
    tx: Transaction, *, prefix: str | None, most: int, queues: int = MOST_QUEUES
) -> list[tuple[str, int, datetime | None]]:  # fmt: skip
    """Of each queue on which steps are ready: how many workers could claim now, at most `most`, and since when the
    oldest is ready.
    """
    rows = tx.all("ready_by_queues", prefix=prefix, most=most, queues=queues)
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
