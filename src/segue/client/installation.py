"""What every page says of the whole installation, and what the first one needs besides: one look each."""

from __future__ import annotations

from datetime import datetime

import msgspec

from segue.client.segue import Segue
from segue.engine.views.attention import RetriedStep, latest_failures, list_retried, look_at_installation
from segue.engine.views.look import RunInfo, WorkerInfo, list_workers
from segue.engine.views.queues import QueueInfo, queues_and_live_runs
from segue.model import RunStatus
from segue.plan.namespaces import DEFAULT, EVERY
from segue.scheduler.leader import lead_of


class Standing(msgspec.Struct, frozen=True):
    """How things are with the whole installation."""

    at: datetime
    workers: list[WorkerInfo]
    unserved: list[str]  # queues on which steps are ready, and that no worker works on
    chores_until: datetime | None  # the end of the lease of the process that does the chores; None: there was none
    chores_by: str | None
    was_never_led: bool  # no process has ever done the chores, though a run was started or there is a schedule
    failed: int  # runs that failed since the time that was asked for; the most that was asked for also means more
    waits: int  # steps that wait for a message; likewise


class Activity(msgspec.Struct, frozen=True):
    """What goes on, and what went wrong last."""

    failed: list[RunInfo]  # the latest failure first
    retried: list[RetriedStep]
    live: dict[RunStatus, int]
    queues: list[QueueInfo]


def standing_of(segue: Segue, *, failed_since: datetime, most: int) -> Standing:
    """How things are; no count goes beyond `most`."""
    now, prefix = segue.engine.store.now(), segue.engine.prefix
    with segue.engine.reading() as tx:
        workers = list_workers(tx, prefix=prefix)
        found = look_at_installation(tx, failed_since=failed_since, most=most, prefix=prefix)
    served = {queue for worker in workers for queue in worker.queues if worker.lease_until > now}
    lead = found.leads.get(lead_of(DEFAULT if segue.namespace == EVERY else segue.namespace))
    is_led = lead is not None or (segue.namespace == EVERY and bool(found.leads))
    return Standing(
        now, workers, [queue for queue in found.ready_queues if queue not in served],
        None if lead is None else lead.until, None if lead is None else lead.host, found.has_work and not is_led,
        found.failed, found.waits,
    )  # fmt: skip


def activity_of(segue: Segue, now: datetime, *, failed_since: datetime, most_failed: int) -> Activity:
    """What goes on, and what went wrong last."""
    prefix = segue.engine.prefix
    with segue.engine.reading() as tx:
        queues, live = queues_and_live_runs(tx, now, prefix=prefix)
        failed = latest_failures(tx, failed_since, limit=most_failed, prefix=prefix)
        return Activity(failed, list_retried(tx, prefix=prefix), live, queues)
