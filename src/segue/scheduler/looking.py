"""Schedules and their ticks, as people see them. Queries only."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

import msgspec

from segue.engine.stored import LONG_AGO, moment_of
from segue.errors import ConfigError, SerializationError
from segue.jsonable import Jsonable
from segue.plan.codec import UNREADABLE
from segue.plan.namespaces import bare, is_in, namespace_of
from segue.scheduler.rows import ScheduleColumns, ScheduleRow, is_storable, read_schedule
from segue.scheduler.undefined import able_of, problems_of
from segue.store.protocol import Transaction

OVERDUE_SECONDS = 10.0  # a tick that is this late is reported as overdue
MOST_TICKS = 100_000  # that are listed in one call
_WIDTH = len(ScheduleColumns._fields)
_END_OF_TIME = datetime.fromisoformat("9999-01-01T00:00:00+00:00")


class TickInfo(Jsonable, msgspec.Struct, frozen=True):
    """What happened to a tick."""

    tick: datetime
    status: str  # queued, started, skipped; planned in a dry run of a backfill
    reason: str | None = None
    run_id: str | None = None
    run_status: str | None = None  # None: it started none, or the run was pruned
    decided_at: datetime | None = None


class ScheduleInfo(Jsonable, msgspec.Struct, frozen=True, kw_only=True):
    """A schedule: what it starts and when, the outcome of its last tick, and its problem, if any."""

    name: str
    workflow: str  # the name of the workflow or task
    arguments: list[Any]  # [args, kwargs]
    expression: str
    description: str  # the expression in words
    timezone: str
    starts_at: datetime | None
    ends_at: datetime | None
    jitter: float
    overlap: str
    catch_up: str
    catch_up_window: float | None
    tags: tuple[str, ...]
    source: str  # code or api
    is_active: bool
    state: str  # active, inactive; ended: it is switched on, but has no tick left; broken: its row cannot be read
    next_tick: datetime | None
    due_at: datetime | None  # when the next tick starts, with its jitter
    last: TickInfo | None
    problem: str | None  # why a due tick has not started, the queue does not move, or runs wait
    created_at: datetime
    updated_at: datetime
    namespace: str = ""


def list_schedules(
    tx: Transaction, now: datetime, *, workflow: str | None = None, prefix: str | None = None
) -> list[ScheduleInfo]:  # fmt: skip
    """All schedules by name, or those of a namespace, or of one workflow by its stored name."""
    if workflow is not None and not is_storable(workflow):
        return []
    sound: list[ScheduleRow] = []
    broken: list[ScheduleInfo] = []
    ticks: dict[str, TickInfo] = {}
    for row in tx.all("schedules_shown", workflow=workflow):
        columns, tick = ScheduleColumns(*row[:_WIDTH]), row[_WIDTH:]
        if not is_in(prefix, columns.name):
            continue
        if tick[0] is not None:
            ticks[columns.name] = tick_info(tx, tick)
        try:
            sound.append(read_schedule(tx, columns))
        except SerializationError as error:
            broken.append(_broken(tx, columns, str(error)))
    return sorted([*_infos(tx, now, sound, ticks), *broken], key=lambda info: (info.name, info.namespace))


def schedule_info(tx: Transaction, now: datetime, row: ScheduleRow) -> ScheduleInfo:
    """One schedule."""
    rows = tx.all("latest_tick", name=row.name)
    return _infos(tx, now, [row], {row.name: tick_info(tx, rows[0])} if rows else {})[0]


def list_ticks(tx: Transaction, name: str, *, before: datetime | None = None, limit: int = 50) -> list[TickInfo]:
    """What happened to the ticks of a schedule, the newest first. Raises ConfigError for an invalid `limit`."""
    if not 1 <= limit <= MOST_TICKS:
        raise ConfigError(f"limit={limit!r} is not a number of ticks. Give 1 to {MOST_TICKS:,}, and `before` for more.")
    if before is not None and before.tzinfo is None:
        raise ConfigError(f"before={before.isoformat()} has no time zone. Add one, for example tzinfo=UTC.")
    rows = tx.all("list_ticks", name=name, before=before or _END_OF_TIME, limit=limit)
    return [tick_info(tx, row) for row in rows]


def known_ticks(tx: Transaction, name: str, ticks: Sequence[datetime]) -> dict[datetime, TickInfo]:
    """Those of these ticks that are recorded."""
    if not ticks:
        return {}
    rows = tx.all("ticks_between", name=name, first=ticks[0], last=ticks[-1])
    found = [tick_info(tx, row) for row in rows]
    return {info.tick: info for info in found}


def tick_info(tx: Transaction, row: Sequence[Any]) -> TickInfo:
    """A row of `tick_columns`."""
    tick, status, reason, run_id, decided_at, run_status = row
    moment = moment_of(tx, tick) or LONG_AGO
    return TickInfo(
        moment, status, reason, None if run_id is None else str(run_id), run_status, moment_of(tx, decided_at)
    )  # fmt: skip


def _infos(
    tx: Transaction, now: datetime, rows: Sequence[ScheduleRow], last: Mapping[str, TickInfo]
) -> list[ScheduleInfo]:  # fmt: skip
    spaces = sorted({namespace_of(row.name) for row in rows if row.is_active})
    able = {space: able_of(tx, now, space) for space in spaces}
    undefined: dict[str, str] = {}
    for space in spaces:
        undefined |= problems_of(able[space], [row for row in rows if namespace_of(row.name) == space])
    infos = []
    for row in rows:
        definition = row.definition
        is_led = row.is_active and able[namespace_of(row.name)].is_led
        problem = _problem(row, now, is_led=is_led, undefined=undefined.get(row.name))
        try:
            description = definition.timetable().describe()
        except (ConfigError, *UNREADABLE) as error:
            description, problem = definition.expression, str(error)
        infos.append(
            ScheduleInfo(
                name=bare(row.name), workflow=bare(definition.workflow),
                arguments=msgspec.json.decode(definition.arguments),
                expression=definition.expression, description=description, timezone=definition.timezone,
                starts_at=definition.starts_at, ends_at=definition.ends_at, jitter=definition.jitter,
                overlap=definition.overlap, catch_up=definition.catch_up, catch_up_window=definition.catch_up_window,
                tags=definition.tags, source=row.source, is_active=row.is_active, state=_state(row),
                next_tick=row.next_tick, due_at=row.due_at, last=last.get(row.name),
                problem=problem, created_at=row.created_at, updated_at=row.updated_at,
                namespace=namespace_of(row.name),
            )
        )  # fmt: skip
    return infos


def _broken(tx: Transaction, row: ScheduleColumns, problem: str) -> ScheduleInfo:
    """The readable part of a damaged row."""
    name, expression = str(row.name), str(row.expression)
    return ScheduleInfo(
        name=bare(name), workflow=bare(str(row.workflow)), arguments=[[], {}], expression=expression,
        description=expression, timezone=str(row.timezone), starts_at=None, ends_at=None, jitter=0.0,
        overlap=str(row.overlap), catch_up=str(row.catch_up), catch_up_window=None, tags=(), source=str(row.source),
        is_active=bool(row.is_active), state="broken", next_tick=None, due_at=None, last=None, problem=problem,
        created_at=moment_of(tx, row.created_at) or LONG_AGO, updated_at=moment_of(tx, row.updated_at) or LONG_AGO,
        namespace=namespace_of(name),
    )  # fmt: skip


def _state(row: ScheduleRow) -> str:
    if not row.is_active:
        return "inactive"
    return "ended" if row.next_tick is None else "active"


def _problem(row: ScheduleRow, now: datetime, *, is_led: bool, undefined: str | None) -> str | None:
    if row.problem is not None:
        return f"stuck: {row.problem}"
    if undefined is not None:
        return undefined
    if not row.is_active or row.due_at is None or now - row.due_at < timedelta(seconds=OVERDUE_SECONDS):
        return None
    if not is_led:
        return "overdue: no process does the chores; start `segue scheduler`, or a worker without --no-chores"
    if row.definition.plan is None:
        workflow = bare(row.definition.workflow)
        return f"overdue: no process with chores knows workflow {workflow}; start `segue scheduler -A <its module>`"
    return "overdue: the process that does the chores is behind, or cannot read it; look at its log"
