"""The schedules that the code declares, brought into the table by every process that knows the code and does chores.

Promises: only what changed is written; a schedule made by a person is never touched; a schedule that a person switched
off stays off; one that the code no longer declares is deleted, by a process that knows its workflow.
"""

from __future__ import annotations

import logging
from datetime import datetime
from functools import partial
from typing import Any

from segue.authoring import Task, Workflow, registry
from segue.authoring.schedule import Schedule
from segue.engine.engine import Engine
from segue.errors import SegueError, StoreError
from segue.scheduler.definition import Definition, define
from segue.scheduler.editing import change_schedule, create_schedule, delete_schedule
from segue.scheduler.rows import read_schedule
from segue.store.protocol import Store, Transaction

logger = logging.getLogger("segue.chores")


def declare_schedules(engine: Engine) -> int:
    """Write the schedules of the code that this process knows into the table. Returns how many changed.

    One that makes no sense (two parameters that nobody gives) is logged, and left out.
    """
    wanted: dict[str, Definition | None] = {}
    declaring: list[Workflow[..., Any] | Task[..., Any]] = [*registry.workflows.values(), *registry.tasks.values()]
    for work in declaring:
        if work.schedule is not None:
            wanted[work.name] = _defined(work, work.schedule)
    known = {*registry.workflows, *registry.tasks}
    with engine.reading() as tx:
        found = {row[0]: read_schedule(engine.store, row) for row in tx.all("list_schedules", workflow=None)}
    changed = 0
    for name in sorted(known):
        row, definition = found.get(name), wanted.get(name)
        if row is not None and row.source != "code":
            if name in wanted:
                logger.warning("the schedule that %s declares is left out: somebody made one of that name", name)
        elif definition is not None:
            if row is None or row.definition != definition:
                changed += engine.act(partial(_declare, engine.store, name, definition))
        elif row is not None and name not in wanted:
            changed += engine.act(partial(_declare, engine.store, name, None))
    return changed


def _defined(work: Workflow[..., Any] | Task[..., Any], schedule: Schedule) -> Definition | None:
    try:
        return define(work, (), {}, schedule)
    except StoreError:
        raise
    except SegueError as error:
        logger.error("a schedule of the code is left out: %s", error)
        return None


def _declare(store: Store, name: str, definition: Definition | None, tx: Transaction, now: datetime) -> int:
    rows = tx.all("hold_schedule", name=name)
    if not rows:
        if definition is None:
            return 0
        try:
            create_schedule(store, tx, now, name, definition, source="code")
        except SegueError as error:
            if isinstance(error, StoreError):
                raise
            logger.error("the schedule of %s is left out: %s", name, error)
            return 0
        logger.info("schedule %s: %s", name, definition.timetable().describe())
        return 1
    row = read_schedule(store, rows[0])
    if row.source != "code" or row.definition == definition:
        return 0
    if definition is None:
        delete_schedule(store, tx, now, name)
        logger.info("schedule %s is deleted: the code no longer declares it", name)
    else:
        change_schedule(store, tx, now, name, lambda _: definition)
        logger.info("schedule %s: %s", name, definition.timetable().describe())
    return 1
