"""Scheduled work that no process can do: its tasks, or its workflow, are not in the code of any live process.

A task was renamed or removed, or the worker that has it was never started. Then each tick of a schedule that allows
overlap would add a run that waits forever. If workers are alive and none of them defines the task for which the oldest
run waits, no further run is therefore started. If no worker is alive at all, it is an outage, and ticks are worth
keeping: then a thousand runs may wait. A worker that ended a few minutes ago still counts, so that a restart loses no
tick.
"""

from __future__ import annotations

from collections.abc import Collection
from datetime import datetime, timedelta
from typing import NamedTuple

from segue.engine.stored import names_of
from segue.engine.views.definitions import undefined_workflows
from segue.model import ENGINE_TASKS, Overlap
from segue.plan import codec
from segue.plan.codec import UNREADABLE
from segue.plan.graph import Plan
from segue.plan.namespaces import DEFAULT, bare, namespace_of
from segue.scheduler.rows import ScheduleRow
from segue.store.protocol import Transaction

RESTART = timedelta(minutes=10)
"""For this long after its last sign of life, a worker may be restarting."""

MOST_WAITING = 1000
"""About how many runs of a schedule may wait while no worker lives: a day's ticks of a schedule that ticks often."""

PILING = (Overlap.ALLOW, Overlap.QUEUE_ALL)
"""With any other overlap, at most one run waits, and one tick behind it."""


class Hands(NamedTuple):
    """The tasks that workers define."""

    tasks: frozenset[str]
    has_live_worker: bool

    def lack(self, wanted: Collection[str | None]) -> list[str]:
        """Those of these tasks that no worker defines."""
        return sorted({task for task in wanted if task is not None} - self.tasks - ENGINE_TASKS)


def hands_of(tx: Transaction, now: datetime, namespace: str = DEFAULT) -> Hands:
    """The tasks of the workers in a namespace that are alive, or were alive a few minutes ago."""
    rows = tx.all("tasks_of_workers", now=now, since=now - RESTART, namespace=namespace)
    return Hands(
        frozenset(task for tasks, _ in rows for task in names_of(tasks)), any(is_alive for _, is_alive in rows)
    )


def why_no_more(tx: Transaction, now: datetime, schedule: str, oldest: str) -> str | None:
    """Why a schedule must start no more runs, the oldest of which has not ended; None if it may."""
    wanted = [row[0] for row in tx.all("ready_tasks", run_id=oldest)]
    if not wanted:
        return None
    hands = hands_of(tx, now, namespace_of(schedule))
    missing = hands.lack(wanted)
    if not missing:
        return None
    if hands.has_live_worker:
        return f"run {oldest} waits for the task {missing[0]}, which no live worker defines"
    if len(tx.all("live_ticks", name=schedule, limit=MOST_WAITING)) < MOST_WAITING:
        return None
    return f"{MOST_WAITING} runs wait, the oldest is {oldest}, and no worker is running"


def problems_of(tx: Transaction, now: datetime, rows: Collection[ScheduleRow]) -> dict[str, str]:
    """By name, the schedules whose work no live process defines; none while no worker is alive."""
    spaces = sorted({namespace_of(row.name) for row in rows})
    return {
        name: problem
        for space in spaces
        for name, problem in _problems(tx, now, [row for row in rows if namespace_of(row.name) == space], space).items()
    }


def _problems(tx: Transaction, now: datetime, rows: Collection[ScheduleRow], namespace: str) -> dict[str, str]:
    active = [row for row in rows if row.is_active]
    hands = hands_of(tx, now, namespace) if active else Hands(frozenset(), has_live_worker=False)
    if not hands.has_live_worker:
        return {}
    called = {bare(row.definition.workflow) for row in active if row.definition.plan is None}
    unknown = undefined_workflows(tx, now, called, namespace)
    problems = {}
    for row in active:
        workflow = bare(row.definition.workflow)
        if row.definition.plan is None:
            if workflow in unknown:
                problems[row.name] = (
                    f"undefined: no live worker or scheduler defines the workflow {workflow}; was it renamed? Start "
                    "one with -A naming its module, or remove the schedule"
                )
            continue
        missing = hands.lack(_tasks_of(row.definition.plan))
        if missing:
            what = f"the task{'s' if len(missing) > 1 else ''} {', '.join(missing)}"
            problems[row.name] = (
                f"undefined: no live worker defines {what}, so its runs wait; was it renamed? Start a worker with -A "
                "naming its module, or remove the schedule"
            )
    return problems


def tasks_of(plan: Plan) -> list[str | None]:
    """The tasks that a plan names."""
    return [node.task for node in plan.nodes]


def _tasks_of(text: str) -> list[str | None]:
    try:
        return tasks_of(codec.decode(text))
    except UNREADABLE:
        return []
