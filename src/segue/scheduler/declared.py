"""Stores the schedules that the code declares; every process that knows the code and does chores does this.

Promises: only changes are written; a schedule created by a person is never touched; a schedule that a person switched
off stays off, and one that was declared inactive is off until a person switches it on; a schedule that the code no
longer declares is deleted by a process that knows its workflow.
"""

from __future__ import annotations

from typing import Any, NamedTuple

from segue.authoring import Task, Workflow, declared
from segue.authoring.schedule import Schedule
from segue.engine.act import Act
from segue.engine.engine import Engine
from segue.errors import SegueError, SerializationError, StoreError
from segue.observing.harmless_log import get_logger
from segue.scheduler.definition import Definition, define, definition_in
from segue.scheduler.editing import change_schedule, create_schedule, delete_schedule
from segue.scheduler.rows import ScheduleColumns, read_schedule
from segue.store.protocol import Transaction

logger = get_logger("segue.chores")


def declare_schedules(engine: Engine) -> int:
    """Store the schedules of the code that this process knows. Returns how many changed.

    An invalid schedule (for example, two parameters without a value) is logged, and left out.
    """
    wanted: dict[str, Definition | None] = {}
    inactive: set[str] = set()  # when they are created
    declaring: list[Workflow[..., Any] | Task[..., Any]] = [*declared.workflows.values(), *declared.tasks.values()]
    for work in declaring:
        if work.schedule is not None:
            definition = _defined(work, work.schedule)
            name = engine.stored(work.name)
            wanted[name] = definition and definition_in(definition, engine.namespace)
            if not work.schedule.active:
                inactive.add(name)
    known = {engine.stored(name) for name in (*declared.workflows, *declared.tasks)}
    with engine.reading() as tx:
        rows = [ScheduleColumns(*row) for row in tx.all("list_schedules", workflow=None)]
        found = {row.name: _Seen.of(tx, row) for row in rows}
    changed = 0
    for name in sorted(known):
        row, definition = found.get(name), wanted.get(name)
        if row is not None and row.source != "code":
            if name in wanted:
                logger.warning("the schedule that %s declares is left out: a person created one of that name", name)
        elif definition is not None:
            if row is None or row.definition != definition:
                changed += engine.act(_declare, name, definition, is_active=name not in inactive)
        elif row is not None and name not in wanted:
            changed += engine.act(_declare, name, None)
    return changed


class _Seen(NamedTuple):
    """A schedule as it is stored; without a definition if that cannot be read."""

    source: str
    definition: Definition | None

    @classmethod
    def of(cls, tx: Transaction, row: ScheduleColumns) -> _Seen:
        try:
            return cls(row.source, read_schedule(tx, row).definition)
        except SerializationError:
            return cls(row.source, None)


def _defined(work: Workflow[..., Any] | Task[..., Any], schedule: Schedule) -> Definition | None:
    try:
        return define(work, (), {}, schedule)
    except StoreError:
        raise
    except SegueError as error:
        logger.error("a schedule of the code is left out: %s", error)
        return None


def _declare(act: Act, name: str, definition: Definition | None, *, is_active: bool = True) -> int:
    rows = act.tx.all("hold_schedule", name=name)
    if not rows:
        if definition is None:
            return 0
        try:
            create_schedule(act, name, definition, source="code", is_active=is_active)
        except SegueError as error:
            if isinstance(error, StoreError):
                raise
            logger.error("the schedule of %s is left out: %s", name, error)
            return 0
        logger.info("schedule %s: %s", name, definition.timetable().describe())
        return 1
    row = _Seen.of(act.tx, ScheduleColumns(*rows[0]))
    if row.source == "code" and row.definition is None:
        logger.warning("schedule %s cannot be read, and is written again", name)
        delete_schedule(act, name)
        was_active = bool(ScheduleColumns(*rows[0]).is_active)
        return max(_declare(act, name, definition, is_active=was_active), 1)
    if row.source != "code" or row.definition == definition:
        return 0
    if definition is None:
        delete_schedule(act, name)
        logger.info("schedule %s is deleted: the code no longer declares it", name)
    else:
        change_schedule(act, name, lambda _: definition)
        logger.info("schedule %s: %s", name, definition.timetable().describe())
    return 1
