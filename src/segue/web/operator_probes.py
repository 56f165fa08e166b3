"""How to see that what a page for operators shows has changed."""

from __future__ import annotations

from typing import Any

from segue.client import Segue
from segue.engine.views.held import held_by_worker, held_by_workers, held_on_queue, limit_with_holders
from segue.plan.namespaces import EVERY
from segue.web.live import probe


@probe("approvals")
def approvals(segue: Segue, rest: str) -> Any:
    """The waits at the front."""
    return [(each.run_id, each.step, each.name) for each in segue.approvals.list(limit=50)]


@probe("errors")
def errors(segue: Segue, rest: str) -> Any:
    """The counts of errors in the last day."""
    return [(each.fingerprint, each.count, each.last_seen) for each in segue.failures.groups().groups]


@probe("schedules")
def schedules(segue: Segue, rest: str) -> Any:
    """The states, the next ticks and the last outcomes."""
    return [(each.name, each.updated_at, each.state, each.next_tick, each.last, each.problem)
            for each in segue.schedules.list()]  # fmt: skip


@probe("schedule")
def schedule(segue: Segue, name: str) -> Any:
    """One schedule and its newest ticks."""
    return segue.schedules.get(name), segue.schedules.ticks(name, limit=10)


@probe("queues")
def queues(segue: Segue, rest: str) -> Any:
    """All numbers of all queues."""
    return segue.queues()


@probe("queue")
def queue(segue: Segue, name: str) -> Any:
    """The numbers of a queue, and what runs on it."""
    with segue.engine.reading() as tx:
        running = held_on_queue(tx, name, _namespace(segue))
    return [each for each in segue.queues() if each.name == name], [(each.run_id, each.step) for each in running]


@probe("workers")
def workers(segue: Segue, rest: str) -> Any:
    """Which workers there are, and how many steps each runs."""
    with segue.engine.reading() as tx:
        held = held_by_workers(tx)
    return [(each.id, each.status, held.get(each.id)) for each in segue.workers()]


@probe("worker")
def worker(segue: Segue, id_: str) -> Any:
    """How a worker is, and what it holds."""
    with segue.engine.reading() as tx:
        held = held_by_worker(tx, id_)
    return [each.status for each in segue.workers() if each.id == id_], [(each.run_id, each.step) for each in held]


@probe("limits")
def limits(segue: Segue, rest: str) -> Any:
    """The sizes, the places taken, and how many wait."""
    return segue.limits.list()


@probe("limit")
def limit(segue: Segue, name: str) -> Any:
    """One limit, and who holds its places."""
    with segue.engine.reading() as tx:
        return limit_with_holders(tx, name, prefix=segue.engine.prefix)


@probe("workflows")
def workflows(segue: Segue, rest: str) -> Any:
    """The newest run of each workflow."""
    return [(each.name, each.last and (each.last.id, each.last.status)) for each in segue.workflows(limit=100)]


@probe("workflow")
def workflow(segue: Segue, name: str) -> Any:
    """The last runs of a workflow."""
    return [(run.id, run.status, run.finished_at) for run in segue.runs(workflow=name, limit=20)]


@probe("events")
def events(segue: Segue, rest: str) -> Any:
    """The newest event."""
    return [each.id for each in segue.events.list(limit=1)]


@probe("executors")
def executors(segue: Segue, rest: str) -> Any:
    """How the platforms are."""
    return list(segue.executors.list())


def _namespace(segue: Segue) -> str:
    return "" if segue.namespace == EVERY else segue.namespace
