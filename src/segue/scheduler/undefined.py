"""Scheduled work that no process can do: its tasks, or its workflow, are not in the code of any live process.

A task was renamed or removed, or the worker that has it was never started. Then each tick of a schedule that allows
overlap would add a run that waits forever. If workers are alive and none of them defines the task for which the oldest
run waits, no further run is therefore started. If no worker is alive at all, it is an outage, and ticks are worth
keeping: then a thousand runs may wait. A worker that ended a few minutes ago still counts, so that a restart loses no
tick.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from datetime import datetime, timedelta
from typing import NamedTuple

from segue.engine.definitions import LIVE_FOR
from segue.engine.stored import names_of
from segue.model import ENGINE_TASKS, Overlap
from segue.plan import codec
from segue.plan.codec import UNREADABLE
from segue.plan.graph import Plan
from segue.plan.namespaces import DEFAULT, bare, namespace_of
from segue.scheduler.leader import lead_of
from segue.scheduler.rows import ScheduleRow
from segue.store.protocol import Row, Transaction

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
    return _hands(tx.all("tasks_of_workers", now=now, seen_since=now - RESTART, namespace=namespace))


def _hands(rows: Iterable[Row]) -> Hands:
    known = list(rows)
    return Hands(
        frozenset(task for tasks, _ in known for task in names_of(tasks)), any(is_alive for _, is_alive in known)
    )  # fmt: skip


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


class Able(NamedTuple):
    """What the processes of a namespace can do for its schedules."""

    hands: Hands
    workflows: frozenset[str]  # that live code defines
    knows_all: bool  # the code of every live worker is known, and there is some
    is_led: bool  # a process does the chores

    def undefined(self, names: Collection[str]) -> set[str]:
        """Those of these workflows that no live code defines; none if that is not known."""
        return set(names) - self.workflows if self.knows_all else set()


def able_of(tx: Transaction, now: datetime, namespace: str = DEFAULT) -> Able:
    """What the processes of a namespace can do now."""
    found: dict[str, list[tuple[str, int]]] = {}
    for what, name, count in tx.all(
        "able_processes", now=now, since=now - LIVE_FOR, seen_since=now - RESTART, namespace=namespace,
        lead=lead_of(namespace),
    ):  # fmt: skip
        found.setdefault(what, []).append((name, count))
    is_unknown = any(count for _, count in found.get("unknown code", ()))
    return Able(
        _hands(found.get("tasks", ())), frozenset(name for name, _ in found.get("workflow", ())),
        "code" in found and not is_unknown, "lead" in found,
    )  # fmt: skip


def problems_of(able: Able, rows: Collection[ScheduleRow]) -> dict[str, str]:
    """By name, the schedules of a namespace whose work no live process defines; none while no worker is alive."""
    active = [row for row in rows if row.is_active]
    if not able.hands.has_live_worker:
        return {}
    unknown = able.undefined({bare(row.definition.workflow) for row in active if row.definition.plan is None})
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
        missing = able.hands.lack(_tasks_of(row.definition.plan))
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
