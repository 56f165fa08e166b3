"""What people do to schedules: make, change, switch on and off, delete, run now, backfill.

Each is one transaction that holds the schedule's row (a backfill: one for every hundred ticks), and may be repeated
when its answer was lost. Changing when a schedule ticks, or switching it on, makes it go on from now: what passed
before starts nothing.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from functools import partial

from segue.engine.engine import Engine
from segue.engine.ids import new_id
from segue.engine.start import NewRun, start_runs
from segue.errors import ConfigError, ScheduleNotFoundError
from segue.model import Overlap
from segue.plan.graph import Plan
from segue.scheduler.definition import Definition
from segue.scheduler.rows import ScheduleRow, find_schedule, is_storable, parameters_of, read_schedule, ticking_of
from segue.scheduler.ticking import TICKS_AT_ONCE
from segue.store.protocol import Store, Transaction

BY_HAND = "started by hand"
LONGEST_NAME = 200
MOST_BACKFILLED = 10_000

logger = logging.getLogger("segue.schedules")
_INSTANT = timedelta(microseconds=1)
_WHEN = ("expression", "timezone", "anchor_at", "starts_at", "ends_at")


def existing_schedule(store: Store, tx: Transaction, name: str) -> ScheduleRow:
    """The schedule of this name; raises ScheduleNotFoundError."""
    found = find_schedule(store, tx, name)
    if found is None:
        raise _unknown(name)
    return found


def create_schedule(
    store: Store, tx: Transaction, now: datetime, name: str, definition: Definition, *, source: str = "api",
    is_active: bool = True,
) -> None:  # fmt: skip
    """Add a schedule that ticks from now on; raises ConfigError when there is one of this name, or it never ticks."""
    if not name.strip() or len(name) > LONGEST_NAME or not name.isprintable():
        raise ConfigError(
            f"{name!r} is no name for a schedule. Give a text of 1 to {LONGEST_NAME} printable characters."
        )
    next_tick, due_at = ticking_of(name, definition).upcoming(now)
    if next_tick is None:
        raise ConfigError(
            f"The schedule {name} ({definition.timetable().describe()}) has no tick after now, so it would never start "
            "anything. Give a later ends_at, or leave it out."
        )
    made = tx.all(
        "insert_schedule", name=name, source=source, is_active=is_active, now=now,
        next_tick=next_tick if is_active else None, due_at=due_at if is_active else None, **parameters_of(definition),
    )  # fmt: skip
    if not made:
        found = find_schedule(store, tx, name)
        if found is None or (found.created_at, found.definition) != (now, definition):  # else it was this very act
            raise ConfigError(
                f"There is a schedule {name} already. Change it (`segue schedules update`), or remove it first."
            )


def change_schedule(
    store: Store, tx: Transaction, now: datetime, name: str, change: Callable[[Definition], Definition]
) -> None:
    """Give a schedule the definition that `change` makes of its own. When its ticks change it goes on from now."""
    row = _held(store, tx, name)
    old = row.definition
    definition = change(old)
    next_tick, due_at = None, None
    if row.is_active:
        ticking = ticking_of(name, definition)
        if row.next_tick is None or any(getattr(old, field) != getattr(definition, field) for field in _WHEN):
            next_tick, due_at = ticking.upcoming(now)
        else:
            next_tick, due_at = row.next_tick, ticking.due(row.next_tick)
        if next_tick is None:
            logger.warning("schedule %s is over by this change: it has no tick after %s", name, now.isoformat())
    _write(tx, now, name, definition, is_active=row.is_active, next_tick=next_tick, due_at=due_at)


def switch_schedule(store: Store, tx: Transaction, now: datetime, name: str, *, is_active: bool) -> None:
    """Switch a schedule on, from now, or off; ticks that are queued then start nothing."""
    row = _held(store, tx, name)
    if row.is_active == is_active:
        return
    if is_active:
        next_tick, due_at = row.ticking().upcoming(now)
        if next_tick is None:
            logger.warning("schedule %s is over: it is switched on, and has no tick after %s", name, now.isoformat())
    else:
        next_tick, due_at = None, None
        _empty_queue(tx, now, name, "the schedule was deactivated")
    _write(tx, now, name, row.definition, is_active=is_active, next_tick=next_tick, due_at=due_at)


def delete_schedule(store: Store, tx: Transaction, now: datetime, name: str) -> None:
    """Delete a schedule, if there is one. Its runs stay, and its ticks until they are old."""
    tx.all("hold_schedule", name=name)
    _empty_queue(tx, now, name, "the schedule was removed")
    tx.all("delete_schedule", name=name)


def run_now(engine: Engine, name: str) -> str:
    """Start a run of a schedule at once, beside any other of its runs; returns the run's id. The tick is the moment."""
    store = engine.store
    now = store.now()
    tick = now if now.microsecond else now + _INSTANT  # the schedule's own ticks are at whole seconds, as a rule
    with store.reading() as tx:
        row = existing_schedule(store, tx, name)
    plan = row.definition.plan_at(tick, name)

    def act(tx: Transaction, now: datetime) -> str:
        _held(store, tx, name)
        _start(store, tx, now, name, [(tick, plan)], BY_HAND)
        return str(tx.all("tick_row", name=name, tick=tick)[0][3])

    return engine.act(act)


def ticks_to_backfill(row: ScheduleRow, since: datetime, until: datetime, now: datetime) -> list[datetime]:
    """The ticks from `since` to `until`, both included; raises ConfigError when they are not past, or too many."""
    for name, moment in (("since", since), ("until", until)):
        if moment.tzinfo is None:
            raise ConfigError(f"{name}={moment.isoformat()} has no time zone. Add one, for example tzinfo=UTC.")
    if until > now:
        raise ConfigError(
            f"until={until.isoformat()} is not past. A backfill starts what was missed; the rest will come."
        )
    ticks: list[datetime] = []
    for tick in row.definition.timetable().between(since - _INSTANT, until):
        if len(ticks) == MOST_BACKFILLED:
            raise ConfigError(f"That is more than {MOST_BACKFILLED:,} ticks. Backfill them in parts.")
        ticks.append(tick)
    return ticks


def backfill(engine: Engine, row: ScheduleRow, ticks: Sequence[datetime], *, overlap: str | None) -> None:
    """Start those of these ticks that started nothing yet; one after another, unless the schedule allows overlap.

    `overlap` ("allow" or "queue_all") decides instead of the schedule's own policy.
    """
    chosen = overlap or (Overlap.ALLOW if row.definition.overlap == Overlap.ALLOW else Overlap.QUEUE_ALL)
    if chosen not in (Overlap.ALLOW, Overlap.QUEUE_ALL):
        raise ConfigError(f"overlap={overlap!r} would skip most of a backfill. Choose 'queue_all' or 'allow'.")
    for first in range(0, len(ticks), TICKS_AT_ONCE):
        batch = ticks[first : first + TICKS_AT_ONCE]
        if chosen == Overlap.ALLOW:
            plans = [(tick, row.definition.plan_at(tick, row.name)) for tick in batch]
            engine.act(partial(_backfill_now, engine.store, row.name, plans))
        else:
            engine.act(partial(_backfill_later, engine.store, row.name, batch))


def _backfill_now(
    store: Store, name: str, plans: Sequence[tuple[datetime, Plan]], tx: Transaction, now: datetime
) -> None:
    _held(store, tx, name)
    _start(store, tx, now, name, plans, "backfilled")


def _backfill_later(store: Store, name: str, ticks: Sequence[datetime], tx: Transaction, now: datetime) -> None:
    _held(store, tx, name)
    for tick in ticks:
        tx.later(
            "put_tick", name=name, tick=tick, status="queued", reason="backfilled", run_id=None, is_open=True,
            anew=True, now=now,
        )  # fmt: skip
    tx.all("begin_queue", name=name)


def _start(
    store: Store, tx: Transaction, now: datetime, name: str, plans: Sequence[tuple[datetime, Plan]], reason: str
) -> None:
    """Start a run for each tick that has started none."""
    runs = [(tick, NewRun(new_id(now), plan)) for tick, plan in plans]
    answers = [
        tx.later(
            "put_tick", name=name, tick=tick, status="started", reason=reason, run_id=run.id, is_open=True, anew=True,
            now=now,
        )
        for tick, run in runs
    ]  # fmt: skip
    begun = [run for (_, run), answer in zip(runs, answers, strict=True) if answer.rows()]
    if begun:
        start_runs(store, tx, begun, now)


def _held(store: Store, tx: Transaction, name: str) -> ScheduleRow:
    rows = tx.all("hold_schedule", name=name) if is_storable(name) else []
    if not rows:
        raise _unknown(name)
    return read_schedule(store, rows[0])


def _empty_queue(tx: Transaction, now: datetime, name: str, reason: str) -> None:
    tx.later("skip_queued_ticks", name=name, before=now + timedelta(days=1), now=now, reason=reason)
    tx.later("end_queue", name=name)


def _write(
    tx: Transaction, now: datetime, name: str, definition: Definition, *, is_active: bool, next_tick: datetime | None,
    due_at: datetime | None,
) -> None:  # fmt: skip
    tx.all(
        "update_schedule", name=name, is_active=is_active, next_tick=next_tick, due_at=due_at, now=now,
        **parameters_of(definition),
    )  # fmt: skip


def _unknown(name: str) -> ScheduleNotFoundError:
    return ScheduleNotFoundError(f"There is no schedule {name!r}. `segue schedules list` lists those there are.")
