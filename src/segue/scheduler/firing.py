"""From ticks that are due to runs.

A tick is decided in one transaction that holds the schedule's row (`deciding`). Who dies before the commit has done
nothing, and whoever comes next does it; two who try it at once find that one of them was first. What users wrote is
called before that, aside (`calling`): what takes long is asked for its answer at a later look.

A tick that cannot be started, because the workflow raises or its plan is refused, is written down as skipped, with the
reason; the ticks after it go on. A schedule that cannot be decided here steps back (`stuck`), and holds up no other.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterable, Sequence
from datetime import datetime, timedelta
from functools import partial
from itertools import pairwise
from typing import Any, TypeVar

import msgspec

from segue.authoring import registry
from segue.engine.engine import Engine
from segue.errors import PASSING_ERRORS, SegueError, StoreError
from segue.model import Overlap
from segue.plan.graph import Plan
from segue.scheduler.calling import call_aside
from segue.scheduler.deciding import MOST_LIVE, Plans, cancel_one, decide, first_tick, start_queued_tick
from segue.scheduler.faults import reason_of
from segue.scheduler.rows import ScheduleRow, read_schedule
from segue.scheduler.stuck import Asked, Work, on_its_own, stuck_of
from segue.scheduler.ticking import Batch

SCHEDULES_AT_ONCE = 100
MOMENT_SECONDS = 0.5  # after so long the other chores have their turn
PATIENCE_SECONDS = 0.5  # so long a workflow is waited for

T = TypeVar("T")
logger = logging.getLogger("segue.chores")


def known_workflows() -> list[str]:
    """The names of the workflows that this process can call."""
    return sorted(registry.workflows)


def fire_due(engine: Engine, *, late_seconds: float = 0.0) -> int:
    """Decide the ticks that have been due for `late_seconds`, of schedules that this process can start.

    Returns how many schedules were dealt with: moved on, or stepped back.
    """
    store = engine.store
    now = store.now()
    due = now - timedelta(seconds=late_seconds)
    with store.reading() as tx:
        rows = tx.all(
            "due_schedules", due=due, known=known_workflows(), aside=stuck_of(engine, Work.TICKS).aside(now),
            limit=SCHEDULES_AT_ONCE,
        )  # fmt: skip
    return _for_a_moment(engine, Work.TICKS, ((row, partial(_fire_row, engine, row, now)) for row in rows), now)


def start_queued(engine: Engine) -> int:
    """Start the first queued tick of each schedule whose runs have ended.

    Returns how many schedules were dealt with: their queue moved on, or they stepped back.
    """
    store = engine.store
    now = store.now()
    with store.reading() as tx:
        rows = tx.all(
            "startable_queues", known=known_workflows(), aside=stuck_of(engine, Work.QUEUE).aside(now),
            limit=SCHEDULES_AT_ONCE,
        )  # fmt: skip
        waiting = [(row, tx.later("first_queued_tick", name=row[0])) for row in rows]
        queues = [(row, first_tick(store, later.rows())) for row, later in waiting]
    todo = ((row, partial(_start_first, engine, row, tick)) for row, tick in queues)
    return _for_a_moment(engine, Work.QUEUE, todo, now)


def plan_or_reason(row: ScheduleRow, tick: datetime) -> Plan | str:
    """The plan of a tick's run, or why there is none. Calls what users wrote."""
    try:
        return row.definition.plan_at(tick, row.name)
    except (Exception, SystemExit) as error:  # whatever it is, the next ticks go on
        logger.exception("the tick %s of schedule %s cannot start", tick.isoformat(), row.name)
        return reason_of(error)


def _for_a_moment(
    engine: Engine, work: Work, todo: Iterable[tuple[Sequence[Any], Callable[[], int]]], now: datetime
) -> int:
    """Deal with one schedule after another; returns how many, and not 0 when some are left."""
    end = time.monotonic() + MOMENT_SECONDS
    done = 0
    for row, act in todo:
        done += on_its_own(engine, work, row, act, now)
        if time.monotonic() >= end:
            return max(done, 1)
    return done


def _fire_row(engine: Engine, found: Sequence[Any], now: datetime) -> int:
    return _fire(engine, read_schedule(engine.store, found), now)


def _fire(engine: Engine, row: ScheduleRow, now: datetime) -> int:
    if row.next_tick is None or (row.definition.plan is None and row.definition.workflow not in registry.workflows):
        return 0
    batch = row.ticking().batch(row.next_tick, now)
    batch, plans = _planned(engine, Work.TICKS, row, (row.next_tick, row.updated_at), batch, _may_start(row, batch))
    cancelled = _cancel_running(engine, row) if batch.ticks else set()
    try:
        return engine.act(partial(decide, engine.store, row, batch, plans, cancelled))
    except PASSING_ERRORS:
        raise
    except SegueError as error:  # the plans are refused when they are to be written
        if len(plans) > 1:
            return _fire_each(engine, row, batch, plans)
        if isinstance(error, StoreError):
            raise
        return engine.act(partial(decide, engine.store, row, batch, _refused(row, plans, error), cancelled))


def _fire_each(engine: Engine, row: ScheduleRow, batch: Batch, plans: Plans) -> int:
    """Decide ticks that may overlap one by one, so that one that is refused takes none of the others with it."""
    due = row.ticking().due
    fired = 0
    for tick, following in pairwise((*batch.ticks, batch.next_tick)):
        assert tick is not None  # only the last can be
        missed = batch.missed if not fired else None
        part = Batch((tick,), missed, batch.why_missed, following, None if following is None else due(following))
        plan = {tick: plans[tick]}
        try:
            is_mine = engine.act(partial(decide, engine.store, row, part, plan, set()))
        except StoreError:
            raise
        except SegueError as error:
            is_mine = engine.act(partial(decide, engine.store, row, part, _refused(row, plan, error), set()))
        if not is_mine:
            break  # somebody else went on with it
        row, fired = msgspec.structs.replace(row, next_tick=following), fired + 1
    return min(fired, 1)


def _refused(row: ScheduleRow, plans: Plans, error: SegueError) -> Plans:
    logger.error("schedule %s cannot start %s: %s", row.name, ", ".join(tick.isoformat() for tick in plans), error)
    return dict.fromkeys(plans, reason_of(error))


def _planned(
    engine: Engine, work: Work, row: ScheduleRow, version: Any, what: T, ticks: Sequence[datetime]
) -> tuple[T, Plans]:
    """The plans of these ticks, and what they are for; raises NoAnswerError when the workflow has not returned.

    It is not called a second time meanwhile. What it returns late is for what it was called for, in this `version`.
    """
    if row.definition.plan is not None or not ticks:
        return what, _plans(row, ticks)
    asked = stuck_of(engine, work).asked
    found: Asked[T] | None = asked.get(row.name)
    if found is None or found.of != version:
        found = asked[row.name] = Asked(version, what, call_aside(row.definition.workflow, partial(_plans, row, ticks)))
        found.call.wait(PATIENCE_SECONDS)
    if found.call.has_returned:
        del asked[row.name]  # also when it raised something that nobody catches: it is called anew then
    return found.what, found.call.result()


def _plans(row: ScheduleRow, ticks: Sequence[datetime]) -> Plans:
    return {tick: plan_or_reason(row, tick) for tick in ticks}


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
        live = [str(found[1]) for found in tx.all("live_ticks", name=row.name, limit=MOST_LIVE)]
    return {run_id for run_id in live if engine.act(partial(cancel_one, engine.store, row, run_id))}


def _start_first(engine: Engine, found: Sequence[Any], tick: datetime | None) -> int:
    row = read_schedule(engine.store, found)
    plans: Plans = {}
    if tick is not None:
        tick, plans = _planned(engine, Work.QUEUE, row, (tick, row.updated_at), tick, [tick])
    plan = None if tick is None else plans[tick]
    try:
        return engine.act(partial(start_queued_tick, engine.store, row, tick, plan))
    except StoreError:
        raise
    except SegueError as error:
        logger.error("a queued tick of schedule %s cannot start: %s", row.name, error)
        return engine.act(partial(start_queued_tick, engine.store, row, tick, reason_of(error)))
