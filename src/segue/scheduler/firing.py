"""From ticks that are due to runs.

A tick is decided in one transaction that holds the schedule's row: what becomes of it is written under the key
(schedule, tick), its run is started, the schedule moves on. Who dies before the commit has done nothing, and whoever
comes next does it; two who try it at once find that one of them was first. What users wrote is called before that.

A tick that cannot be started, because the workflow raises or no longer fits, is written down as skipped, with the
reason; the ticks after it go on. A schedule that cannot be dealt with here is logged, and holds up no other.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from functools import partial
from typing import Any, Literal

from segue.authoring import registry
from segue.engine.control import cancel_run
from segue.engine.engine import Engine
from segue.engine.ids import new_id
from segue.engine.start import NewRun, start_runs
from segue.errors import PASSING_ERRORS, ConfigError, SchemaError, SegueError, StoreError
from segue.model import Overlap
from segue.plan.graph import Plan
from segue.scheduler.rows import ScheduleRow, read_schedule
from segue.scheduler.ticking import Batch
from segue.store.protocol import Store, Transaction

SCHEDULES_AT_ONCE = 100
LIVE_RUNS_SHOWN = 3
REASON_LIMIT = 500  # characters

Plans = dict[datetime, Plan | str]
"""What each tick would start, or why it cannot."""

logger = logging.getLogger("segue.chores")
_told: set[tuple[str, str]] = set()  # what was wrong with which schedule, so that it is logged once


def known_workflows() -> list[str]:
    """The names of the workflows that this process can call."""
    return sorted(registry.workflows)


def fire_due(engine: Engine, *, late_seconds: float = 0.0) -> int:
    """Decide the ticks that have been due for `late_seconds`, of schedules that this process can start.

    Returns how many schedules moved on.
    """
    store = engine.store
    now = store.now()
    due = now - timedelta(seconds=late_seconds)
    with store.reading() as tx:
        rows = tx.all("due_schedules", due=due, known=known_workflows(), limit=SCHEDULES_AT_ONCE)
    return sum(_on_its_own(str(row[0]), partial(_fire_row, engine, row, now)) for row in rows)


def plan_or_reason(row: ScheduleRow, tick: datetime) -> Plan | str:
    """The plan of a tick's run, or why there is none. Calls what users wrote."""
    try:
        return row.definition.plan_at(tick, row.name)
    except (Exception, SystemExit) as error:  # whatever it is, the next ticks go on
        logger.exception("the tick %s of schedule %s cannot start", tick.isoformat(), row.name)
        return reason_of(error)


def reason_of(error: BaseException) -> str:
    """An error as the reason why a tick was skipped."""
    return f"{type(error).__name__}: {error}"[:REASON_LIMIT]


def judge(overlap: str, *, is_running: bool, is_queueing: bool) -> Literal["started", "queued", "skipped"]:
    """What becomes of a tick, given whether runs of its schedule have not ended and whether ticks wait for them."""
    if overlap == Overlap.ALLOW or not (is_running or is_queueing):
        return "started"
    if overlap == Overlap.SKIP or (overlap == Overlap.QUEUE_ONE and is_queueing):
        return "skipped"
    return "queued"


def _on_its_own(name: str, act: Callable[[], int]) -> int:
    """Deal with one schedule; what is wrong with it is logged once, and the others are dealt with all the same."""
    try:
        return act()
    except (*PASSING_ERRORS, SchemaError):
        raise
    except Exception as error:
        if (name, str(error)) not in _told:
            _told.add((name, str(error)))
            logger.exception("schedule %s cannot be dealt with", name)
        return 0


def _fire_row(engine: Engine, found: Sequence[Any], now: datetime) -> int:
    return _fire(engine, read_schedule(engine.store, found), now)


def _fire(engine: Engine, row: ScheduleRow, now: datetime) -> int:
    if row.next_tick is None or (row.definition.plan is None and row.definition.workflow not in registry.workflows):
        return 0
    try:
        batch = row.ticking().batch(row.next_tick, now)
    except ConfigError as error:  # written by another version, or a time zone that this machine does not know
        if (row.name, str(error)) not in _told:
            _told.add((row.name, str(error)))
            logger.error("schedule %s cannot be understood here: %s", row.name, error)
        return 0
    plans: Plans = {tick: plan_or_reason(row, tick) for tick in _may_start(row, batch)}
    cancelled = _cancel_running(engine, row) if batch.ticks else set()
    try:
        return engine.act(partial(_decide, engine.store, row, batch, plans, cancelled))
    except StoreError:
        raise
    except SegueError as error:  # the plans are refused when they are to be written
        refused: Plans = {tick: reason_of(error) for tick in plans}
        logger.error("ticks of schedule %s cannot start: %s", row.name, error)
        return engine.act(partial(_decide, engine.store, row, batch, refused, cancelled))


def _may_start(row: ScheduleRow, batch: Batch) -> Sequence[datetime]:
    """Where runs may not overlap, of several ticks only one can start at once."""
    match row.definition.overlap:
        case Overlap.ALLOW:
            return batch.ticks
        case Overlap.CANCEL_RUNNING:
            return batch.ticks[-1:]
        case _:
            return batch.ticks[:1]


def _cancel_running(engine: Engine, row: ScheduleRow) -> set[str]:
    """Before the tick is decided, so that a crash in between leaves it to be decided, and this to be said again.

    Each is cancelled under the schedule's lock: who comes late must not cancel the run that this very tick has started.
    """
    if row.definition.overlap != Overlap.CANCEL_RUNNING:
        return set()
    with engine.reading() as tx:
        live = [str(found[1]) for found in tx.all("live_ticks", name=row.name, limit=SCHEDULES_AT_ONCE)]
    return {run_id for run_id in live if engine.act(partial(_cancel, engine.store, row, run_id))}


def _cancel(store: Store, row: ScheduleRow, run_id: str, tx: Transaction, now: datetime) -> bool:
    """Cancel a run, unless the schedule moved on or was changed."""
    held = tx.all("take_schedule", name=row.name)
    if not held or not _is_same(row, read_schedule(store, held[0])):
        return False
    cancel_run(store, tx, run_id, now)
    return True


def _decide(
    store: Store, row: ScheduleRow, batch: Batch, plans: Plans, cancelled: set[str], tx: Transaction, now: datetime
) -> int:
    held = tx.all("take_schedule", name=row.name)
    if not held or not _is_same(row, read_schedule(store, held[0])):
        return 0  # somebody else decides it, or did, or it was changed
    deciding = _Deciding(store, tx, row, now)
    if row.definition.overlap == Overlap.CANCEL_RUNNING and not deciding.live <= cancelled:
        return 0  # a run began meanwhile, which is to be cancelled first
    if batch.missed is not None:
        deciding.give_up(*batch.missed, batch.why_missed)
    overtaken = batch.ticks[:-1] if row.definition.overlap == Overlap.CANCEL_RUNNING else ()
    for tick in batch.ticks:
        if tick in overtaken:
            deciding.put(tick, "skipped", f"overtaken by the tick {batch.ticks[-1].isoformat()}")
        elif not deciding.decide(tick, plans.get(tick)):
            deciding.stop_at(tick)
            return 1
    deciding.move_on(batch.next_tick, batch.due_at)
    return 1


def _is_same(seen: ScheduleRow, found: ScheduleRow) -> bool:
    return found.is_active and (found.next_tick, found.updated_at) == (seen.next_tick, seen.updated_at)


class _Deciding:
    """Ticks of one schedule, whose row is held, being decided in order."""

    def __init__(self, store: Store, tx: Transaction, row: ScheduleRow, now: datetime) -> None:
        self._store, self._tx, self._row, self._now = store, tx, row, now
        self._runs: list[NewRun] = []
        _close_ended(tx, row.name)
        live = tx.all("live_ticks", name=row.name, limit=SCHEDULES_AT_ONCE)
        self.live = {str(found[1]) for found in live}
        self._blocker = f"run {live[0][1]} has not ended" if live else ""
        self._queued = bool(tx.all("first_queued_tick", name=row.name))
        self._has_queued = False

    def decide(self, tick: datetime, plan: Plan | str | None) -> bool:
        """Decide one tick. False when it may start now and nobody made its plan."""
        overlap = self._row.definition.overlap
        verdict = judge(overlap, is_running=bool(self._blocker), is_queueing=self._queued)
        if verdict != "started":
            self._wait_or_skip(tick, verdict)
        elif plan is None:
            return False
        elif isinstance(plan, str):
            self.put(tick, "skipped", plan)
        else:
            run = NewRun(new_id(self._now), plan)
            if self.put(tick, "started", None, run.id):
                self._runs.append(run)
                self._blocker = f"run {run.id} has not ended"
        return True

    def _wait_or_skip(self, tick: datetime, verdict: str) -> None:
        if verdict == "skipped":
            self.put(tick, "skipped", self._blocker or "earlier ticks are queued")
            return
        if self._row.definition.overlap == Overlap.CANCEL_RUNNING:
            self._tx.later(
                "skip_queued_ticks", name=self._row.name, before=tick, now=self._now,
                reason=f"overtaken by the tick {tick.isoformat()}",
            )  # fmt: skip
        if self.put(tick, "queued", self._blocker or "earlier ticks are queued"):
            self._queued = self._has_queued = True

    def give_up(self, first: datetime, last: datetime, why: str) -> None:
        """Write down ticks that start nothing: the first, which tells of the others."""
        self.put(first, "skipped", why if first == last else f"{why}; so are those up to {last.isoformat()}")

    def put(self, tick: datetime, status: str, reason: str | None, run_id: str | None = None) -> bool:
        """Write down what becomes of a tick; False when that is known already."""
        rows = self._tx.all(
            "put_tick", name=self._row.name, tick=tick, status=status, reason=reason, run_id=run_id,
            is_open=status != "skipped", anew=False, now=self._now,
        )  # fmt: skip
        return bool(rows)

    def stop_at(self, tick: datetime) -> None:
        """Those before this tick are decided."""
        self.move_on(tick, self._row.ticking().due(tick))

    def move_on(self, next_tick: datetime | None, due_at: datetime | None) -> None:
        """Start what is to be started, and let the schedule go on to its next tick."""
        if self._runs:
            start_runs(self._store, self._tx, self._runs, self._now)
        self._tx.all(
            "advance_schedule", name=self._row.name, next_tick=next_tick, due_at=due_at, queued=self._has_queued
        )  # fmt: skip


def start_queued(engine: Engine) -> int:
    """Start the first queued tick of each schedule whose runs have ended. Returns how many queues moved on."""
    store = engine.store
    with store.reading() as tx:
        rows = tx.all("startable_queues", known=known_workflows(), limit=SCHEDULES_AT_ONCE)
        waiting = [(row, tx.later("first_queued_tick", name=row[0])) for row in rows]
        queues = [(row, _first(store, later.rows())) for row, later in waiting]
    return sum(_on_its_own(str(row[0]), partial(_start_first, engine, row, tick)) for row, tick in queues)


def _start_first(engine: Engine, found: Sequence[Any], tick: datetime | None) -> int:
    row = read_schedule(engine.store, found)
    plan = None if tick is None else plan_or_reason(row, tick)
    try:
        return engine.act(partial(_start_queued, engine.store, row, tick, plan))
    except StoreError:
        raise
    except SegueError as error:
        logger.error("a queued tick of schedule %s cannot start: %s", row.name, error)
        return engine.act(partial(_start_queued, engine.store, row, tick, reason_of(error)))


def _start_queued(
    store: Store, row: ScheduleRow, tick: datetime | None, plan: Plan | str | None, tx: Transaction, now: datetime
) -> int:
    held = tx.all("take_schedule", name=row.name)
    if not held or read_schedule(store, held[0]).updated_at != row.updated_at:
        return 0
    _close_ended(tx, row.name)
    if tx.all("live_ticks", name=row.name, limit=1):
        return 0
    first = _first(store, tx.all("first_queued_tick", name=row.name))
    if first is None:
        tx.all("end_queue", name=row.name)
    elif first != tick or plan is None:
        return 0  # another one came before it
    elif isinstance(plan, str):
        tx.all("skip_queued_tick", name=row.name, tick=first, reason=plan, now=now)
    else:
        run = NewRun(new_id(now), plan)
        tx.all("begin_tick", name=row.name, tick=first, run_id=run.id, now=now)
        start_runs(store, tx, [run], now)
    return 1


def _close_ended(tx: Transaction, name: str) -> None:
    """Ticks whose runs have ended no longer count. The caller holds the schedule's row."""
    ended = [row[0] for row in tx.all("hold_ended_ticks", name=name)]
    if ended:
        tx.later("close_ended_ticks", name=name, ids=ended)


def _first(store: Store, rows: Sequence[Any]) -> datetime | None:
    return store.datetime(rows[0][0]) if rows else None
