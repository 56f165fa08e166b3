"""What people do to schedules: create, change, switch on and off, delete, run now, backfill.

Each is one transaction that holds the schedule's row (a backfill: one for every hundred ticks), and may be repeated if
its answer was lost. When the times of a schedule are changed or it is switched on, it continues from now: ticks that
passed before start nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime, timedelta

from segue.engine.act import Act
from segue.engine.acting import present_actor
from segue.engine.audit import record_change
from segue.engine.engine import Engine
from segue.engine.keys import run_of_key
from segue.engine.start import NewRun, start_runs
from segue.errors import ConfigError, ScheduleNotFoundError, StoreConflictError
from segue.model import Overlap
from segue.observing.harmless_log import get_logger
from segue.plan.graph import Plan
from segue.plan.namespaces import bare
from segue.scheduler.definition import Definition
from segue.scheduler.rows import (
    ScheduleRow,
    find_schedule,
    is_storable,
    parameters_of,
    read_schedule,
    schedule_as_actor,
    ticking_of,
)
from segue.scheduler.ticking import TICKS_AT_ONCE
from segue.store.protocol import Transaction

BY_HAND = "started by hand"
LONGEST_NAME = 200
MOST_BACKFILLED = 10_000

logger = get_logger("segue.schedules")
_INSTANT = timedelta(microseconds=1)
_WHEN = ("expression", "timezone", "anchor_at", "starts_at", "ends_at")


def existing_schedule(tx: Transaction, name: str) -> ScheduleRow:
    """The schedule of this name. Raises ScheduleNotFoundError."""
    found = find_schedule(tx, name)
    if found is None:
        raise unknown(name)
    return found


def create_schedule(
    act: Act, name: str, definition: Definition, *, source: str = "api",
    is_active: bool = True, actor: str | None = None, reason: str | None = None,
) -> None:  # fmt: skip
    """Add a schedule that ticks from now on. Raises ConfigError if its name is taken, or if it never ticks."""
    shown = bare(name)
    if not shown.strip() or len(shown) > LONGEST_NAME or not shown.isprintable():
        raise ConfigError(
            f"{shown!r} is not a name for a schedule. Give a text of 1 to {LONGEST_NAME} printable characters."
        )
    next_tick, due_at = ticking_of(name, definition).upcoming(act.now)
    if next_tick is None:
        raise ConfigError(
            f"The schedule {shown} ({definition.timetable().describe()}) has no tick after now, so it would never "
            "start anything. Give a later ends_at, or leave it out."
        )
    made = act.tx.all(
        "insert_schedule", name=name, source=source, is_active=is_active, now=act.now,
        next_tick=next_tick if is_active else None, due_at=due_at if is_active else None, **parameters_of(definition),
    )  # fmt: skip
    if not made:
        found = find_schedule(act.tx, name)
        if found is None or (found.created_at, found.definition) != (act.now, definition):  # else this act made it
            raise ConfigError(
                f"There is a schedule {shown} already. Change it (`segue schedules update`), or remove it first."
            )
        return
    record_change(act, "schedule.created", name, actor=actor, reason=reason, source=source)


def change_schedule(
    act: Act,
    name: str,
    change: Callable[[Definition], Definition],
    *,
    actor: str | None = None,
    reason: str | None = None,
) -> None:
    """Give a schedule the definition that `change` makes of its current one. Changed ticks continue from now."""
    row = _held(act.tx, name)
    old = row.definition
    definition = change(old)
    next_tick, due_at = None, None
    if row.is_active:
        ticking = ticking_of(name, definition)
        if row.next_tick is None or any(getattr(old, field) != getattr(definition, field) for field in _WHEN):
            next_tick, due_at = ticking.upcoming(act.now)
        else:
            next_tick, due_at = row.next_tick, ticking.due(row.next_tick)
        if next_tick is None:
            logger.warning("schedule %s has ended by this change: it has no tick after %s", name, act.now.isoformat())
    _write(act, name, definition, is_active=row.is_active, next_tick=next_tick, due_at=due_at)
    changed = [field for field in old.__struct_fields__ if getattr(old, field) != getattr(definition, field)]
    if changed:
        record_change(act, "schedule.updated", name, actor=actor, reason=reason, changed=changed)


def switch_schedule(
    act: Act, name: str, *, is_active: bool, actor: str | None = None, reason: str | None = None
) -> None:
    """Switch a schedule on, from now, or off; its queued ticks then start nothing."""
    row = _held(act.tx, name)
    if row.is_active == is_active:
        return
    if is_active:
        next_tick, due_at = row.ticking().upcoming(act.now)
        if next_tick is None:
            logger.warning(
                "schedule %s has ended: it is switched on, but has no tick after %s", name, act.now.isoformat()
            )
    else:
        next_tick, due_at = None, None
        _empty_queue(act, name, "the schedule was deactivated")
    _write(act, name, row.definition, is_active=is_active, next_tick=next_tick, due_at=due_at)
    kind = "schedule.activated" if is_active else "schedule.deactivated"
    record_change(act, kind, name, actor=actor, reason=reason)


def delete_schedule(act: Act, name: str, *, actor: str | None = None, reason: str | None = None) -> None:
    """Delete a schedule, if it exists. Its runs stay, and its ticks stay until they are old."""
    is_there = act.tx.all("hold_schedule", name=name)
    _empty_queue(act, name, "the schedule was removed")
    act.tx.all("delete_schedule", name=name)
    if is_there:
        record_change(act, "schedule.removed", name, actor=actor, reason=reason)


def run_now(
    engine: Engine, name: str, *, key: str | None = None, actor: str | None = None, reason: str | None = None
) -> tuple[str, bool]:
    """Start a run of a schedule now, beside any other. Returns the run's id, and whether it is new.

    Its tick is the current time. If its workflow has a run with this key already, that run is returned.
    """
    now = engine.store.now()
    tick = now if now.microsecond else now + _INSTANT  # the schedule's own ticks are at whole seconds, as a rule
    with engine.reading() as tx:
        row = existing_schedule(tx, name)
    plan = row.definition.plan_at(tick, name)

    return engine.act(_start_now, name, tick, plan, key=key, actor=actor, reason=reason)


def _start_now(
    act: Act, name: str, tick: datetime, plan: Plan, *, key: str | None, actor: str | None, reason: str | None
) -> tuple[str, bool]:  # fmt: skip
    _held(act.tx, name)
    older = [] if key is None else run_of_key(act.tx, plan.name, key).rows()
    if older:
        return str(older[0][0]), False
    started = _start(act, name, [(tick, plan)], BY_HAND, by=actor or present_actor(), key=key)
    [(_, _, _, run_id, *_)] = act.tx.all("tick_row", name=name, tick=tick)
    if started:
        record_change(act, "schedule.run", name, actor=actor, reason=reason, run=str(run_id))
    return str(run_id), started > 0


def ticks_to_backfill(row: ScheduleRow, since: datetime, until: datetime, now: datetime) -> list[datetime]:
    """The ticks from `since` to `until`, both included. Raises ConfigError if they are not past, or too many."""
    for name, moment in (("since", since), ("until", until)):
        if moment.tzinfo is None:
            raise ConfigError(f"{name}={moment.isoformat()} has no time zone. Add one, for example tzinfo=UTC.")
    if until > now:
        raise ConfigError(
            f"until={until.isoformat()} is not past. A backfill starts missed ticks; future ticks start by themselves."
        )
    ticks: list[datetime] = []
    for tick in row.definition.timetable().between(since - _INSTANT, until):
        if len(ticks) == MOST_BACKFILLED:
            raise ConfigError(f"That is more than {MOST_BACKFILLED:,} ticks. Backfill them in parts.")
        ticks.append(tick)
    return ticks


def backfill(
    engine: Engine,
    row: ScheduleRow,
    ticks: Sequence[datetime],
    *,
    overlap: str | None,
    actor: str | None = None,
    reason: str | None = None,
) -> None:
    """Start those of these ticks that have not started a run yet, one after another unless the schedule allows overlap.

    `overlap` ("allow" or "queue_all") decides instead of the schedule's own policy.
    """
    chosen = overlap or (Overlap.ALLOW if row.definition.overlap == Overlap.ALLOW else Overlap.QUEUE_ALL)
    if chosen not in (Overlap.ALLOW, Overlap.QUEUE_ALL):
        raise ConfigError(f"overlap={overlap!r} would skip most of a backfill. Choose 'queue_all' or 'allow'.")
    for first in range(0, len(ticks), TICKS_AT_ONCE):
        batch = ticks[first : first + TICKS_AT_ONCE]
        if chosen == Overlap.ALLOW:
            plans = [(tick, row.definition.plan_at(tick, row.name)) for tick in batch]
            engine.act(_backfill_now, row.name, plans, actor=actor, reason=reason)
        else:
            engine.act(_backfill_later, row.name, batch, actor=actor, reason=reason)


def _backfill_now(
    act: Act, name: str, plans: Sequence[tuple[datetime, Plan]], *, actor: str | None, reason: str | None
) -> None:
    _held(act.tx, name)
    started = _start(act, name, plans, "backfilled", by=actor or present_actor())
    _record_backfill(act, name, started, actor, reason)


def _record_backfill(act: Act, name: str, ticks: int, actor: str | None, reason: str | None) -> None:
    """One event for each hundred ticks; none if all had started a run already."""
    if ticks:
        record_change(act, "schedule.backfilled", name, actor=actor, reason=reason, ticks=ticks)


def _backfill_later(act: Act, name: str, ticks: Sequence[datetime], *, actor: str | None, reason: str | None) -> None:
    _held(act.tx, name)
    put = [
        act.tx.later(
            "put_tick", name=name, tick=tick, status="queued", reason="backfilled", run_id=None, is_open=True,
            replaces_skipped=True, now=act.now,
        )
        for tick in ticks
    ]  # fmt: skip
    _record_backfill(act, name, sum(bool(later.rows()) for later in put), actor, reason)
    act.tx.all("begin_queue", name=name)


def _start(
    act: Act, name: str, plans: Sequence[tuple[datetime, Plan]], reason: str, *, by: str | None, key: str | None = None
) -> int:  # fmt: skip
    """Start a run for each tick that has not started one. Returns their number."""
    by = by or schedule_as_actor(name)
    runs = [(tick, NewRun(act.new_id(), plan, key=key, started_by=by)) for tick, plan in plans]
    answers = [
        act.tx.later(
            "put_tick", name=name, tick=tick, status="started", reason=reason, run_id=run.id, is_open=True,
            replaces_skipped=True, now=act.now,
        )
        for tick, run in runs
    ]  # fmt: skip
    begun = [run for (_, run), answer in zip(runs, answers, strict=True) if answer.rows()]
    if begun and start_runs(act, begun) != [run.id for run in begun]:
        raise StoreConflictError(f"A run with the key {key!r} was started at the same moment. Try again.")
    return len(begun)


def _held(tx: Transaction, name: str) -> ScheduleRow:
    rows = tx.all("hold_schedule", name=name) if is_storable(name) else []
    if not rows:
        raise unknown(name)
    return read_schedule(tx, rows[0])


def _empty_queue(act: Act, name: str, reason: str) -> None:
    act.tx.later("skip_queued_ticks", name=name, before=act.now + timedelta(days=1), now=act.now, reason=reason)
    act.tx.later("end_queue", name=name)


def _write(
    act: Act, name: str, definition: Definition, *, is_active: bool, next_tick: datetime | None,
    due_at: datetime | None,
) -> None:  # fmt: skip
    act.tx.all(
        "update_schedule", name=name, is_active=is_active, next_tick=next_tick, due_at=due_at, now=act.now,
        **parameters_of(definition),
    )  # fmt: skip


def unknown(name: str) -> ScheduleNotFoundError:
    """The error for a schedule that does not exist."""
    return ScheduleNotFoundError(f"There is no schedule {bare(name)!r}. `segue schedules list` lists the schedules.")
