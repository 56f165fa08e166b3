"""Schedules and their ticks as people look at them. Queries only."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any

import msgspec

from segue.errors import ConfigError
from segue.scheduler.leader import leader_info
from segue.scheduler.rows import ScheduleRow, is_storable, read_schedule
from segue.store.protocol import Store, Transaction

OVERDUE_SECONDS = 10.0  # a tick that is so late is not merely a little late
MOST_TICKS = 100_000  # that are listed at once
_END_OF_TIME = datetime.fromisoformat("9999-01-01T00:00:00+00:00")


class TickInfo(msgspec.Struct, frozen=True):
    """What became of a tick."""

    tick: datetime
    status: str  # queued, started, skipped; of a backfill that is only tried: planned
    reason: str | None = None
    run_id: str | None = None
    run_status: str | None = None  # None: it started none, or the run was pruned
    decided_at: datetime | None = None


class ScheduleInfo(msgspec.Struct, frozen=True, kw_only=True):
    """A schedule: what it starts and when, what it did last, and what is wrong with it if anything is."""

    name: str
    workflow: str  # the name of what it starts
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
    state: str  # active, inactive; ended: it is switched on, and has no tick any more
    next_tick: datetime | None
    due_at: datetime | None  # when that starts, with its jitter
    last: TickInfo | None
    problem: str | None  # why the next tick has not started though it is due, or the queue does not move
    created_at: datetime
    updated_at: datetime


def list_schedules(store: Store, tx: Transaction, now: datetime, *, workflow: str | None = None) -> list[ScheduleInfo]:
    """All schedules by name, or those of one workflow."""
    if workflow is not None and not is_storable(workflow):
        return []
    rows = [read_schedule(store, row) for row in tx.all("list_schedules", workflow=workflow)]
    return _infos(store, tx, now, rows)


def schedule_info(store: Store, tx: Transaction, now: datetime, row: ScheduleRow) -> ScheduleInfo:
    """One schedule."""
    return _infos(store, tx, now, [row])[0]


def list_ticks(
    store: Store, tx: Transaction, name: str, *, before: datetime | None = None, limit: int = 50
) -> list[TickInfo]:
    """What became of the ticks of a schedule, the newest first; raises ConfigError when `limit` makes no sense."""
    if not 1 <= limit <= MOST_TICKS:
        raise ConfigError(f"limit={limit!r} is no number of ticks. Give 1 to {MOST_TICKS:,}, and `before` for more.")
    if before is not None and before.tzinfo is None:
        raise ConfigError(f"before={before.isoformat()} has no time zone. Add one, for example tzinfo=UTC.")
    rows = tx.all("list_ticks", name=name, before=before or _END_OF_TIME, limit=limit)
    return [tick_info(store, row) for row in rows]


def known_ticks(store: Store, tx: Transaction, name: str, ticks: Sequence[datetime]) -> dict[datetime, TickInfo]:
    """Those of these ticks that something became of."""
    if not ticks:
        return {}
    rows = tx.all("ticks_between", name=name, first=ticks[0], last=ticks[-1])
    found = [tick_info(store, row) for row in rows]
    return {info.tick: info for info in found}


def tick_info(store: Store, row: Sequence[Any]) -> TickInfo:
    """A row of `tick_columns`."""
    tick, status, reason, run_id, decided_at, run_status = row
    moment = store.datetime(tick)
    assert moment is not None
    return TickInfo(
        moment, status, reason, None if run_id is None else str(run_id), run_status, store.datetime(decided_at)
    )  # fmt: skip


def _infos(store: Store, tx: Transaction, now: datetime, rows: Sequence[ScheduleRow]) -> list[ScheduleInfo]:
    latest = [tx.later("latest_tick", name=row.name) for row in rows]
    leader = leader_info(store, tx) if rows else None
    is_led = leader is not None and leader.lease_until > now
    infos = []
    for row, found in zip(rows, latest, strict=True):
        ticks = found.rows()
        definition = row.definition
        problem = _problem(row, now, is_led=is_led)
        try:
            description = definition.timetable().describe()
        except ConfigError as error:
            description, problem = definition.expression, str(error)
        infos.append(
            ScheduleInfo(
                name=row.name, workflow=definition.workflow, arguments=msgspec.json.decode(definition.arguments),
                expression=definition.expression, description=description, timezone=definition.timezone,
                starts_at=definition.starts_at, ends_at=definition.ends_at, jitter=definition.jitter,
                overlap=definition.overlap, catch_up=definition.catch_up, catch_up_window=definition.catch_up_window,
                tags=definition.tags, source=row.source, is_active=row.is_active, state=_state(row),
                next_tick=row.next_tick, due_at=row.due_at, last=tick_info(store, ticks[0]) if ticks else None,
                problem=problem, created_at=row.created_at, updated_at=row.updated_at,
            )
        )  # fmt: skip
    return infos


def _state(row: ScheduleRow) -> str:
    if not row.is_active:
        return "inactive"
    return "ended" if row.next_tick is None else "active"


def _problem(row: ScheduleRow, now: datetime, *, is_led: bool) -> str | None:
    if row.problem is not None:
        return f"stuck: {row.problem}"
    if not row.is_active or row.due_at is None or now - row.due_at < timedelta(seconds=OVERDUE_SECONDS):
        return None
    if not is_led:
        return "overdue: no process does the chores; start `segue scheduler`, or a worker without --no-chores"
    if row.definition.plan is None:
        workflow = row.definition.workflow
        return f"overdue: no process with chores knows workflow {workflow}; start `segue scheduler -A <its module>`"
    return "overdue: the process that does the chores is behind, or cannot read it; look at its log"
