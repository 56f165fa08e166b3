"""Starts runs for ticks that are due.

A tick is decided in one transaction that holds the schedule's row (`deciding`). A process that dies before the commit
has changed nothing, and the next process decides the tick; if two try at the same time, the second finds that it is
decided. The user's code is called before the transaction, in a separate thread (`user_calls`): the result of a slow
call is collected later.

A tick that cannot start, because the workflow raises or its plan is refused, is recorded as skipped, with the reason;
the ticks after it continue. A schedule that cannot be decided here is set aside (`stuck`), and does not delay others.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Sequence
from datetime import datetime, timedelta
from functools import partial
from itertools import pairwise
from typing import Any, NamedTuple, TypeVar, assert_never

import msgspec

from segue.authoring import declared
from segue.engine.engine import Engine
from segue.errors import PASSING_ERRORS, SegueError, SerializationError, StoreError
from segue.model import Overlap
from segue.observing.harmless_log import get_logger
from segue.plan.codec import UNREADABLE
from segue.plan.graph import Plan
from segue.plan.namespaces import bare
from segue.scheduler.deciding import Plans, cancel_one, decide, first_tick, live_runs, start_queued_tick
from segue.scheduler.error_text import reason_of
from segue.scheduler.rows import ScheduleColumns, ScheduleRow, read_schedule
from segue.scheduler.stuck import Found, PendingCall, Work, on_its_own, stuck_of
from segue.scheduler.ticking import Batch
from segue.scheduler.user_calls import call_in_thread
from segue.store.protocol import Row, Transaction

SCHEDULES_AT_ONCE = 100
MOMENT_SECONDS = 0.5  # after this long the other chores get their turn
PATIENCE_SECONDS = 0.5  # how long to wait for a workflow

T = TypeVar("T")
logger = get_logger("segue.chores")


def known_workflows(engine: Engine) -> list[str]:
    """The stored names of the workflows that this process can call: those of its code, in its own namespace."""
    return [engine.stored(name) for name in sorted(declared.workflows)]


def _is_known(engine: Engine, workflow: str) -> bool:
    """Whether this stored name is among `known_workflows`, without listing them all."""
    name = bare(workflow)
    return name in declared.workflows and workflow == engine.stored(name)


def fire_due(engine: Engine, *, late_seconds: float = 0.0) -> int:
    """Decide the ticks that have been due for `late_seconds`, of schedules that this process can start.

    Returns how many schedules were dealt with: moved on, or set aside.
    """
    now = engine.store.now()
    due = now - timedelta(seconds=late_seconds)
    with engine.reading() as tx:
        rows = tx.all(
            "due_schedules", due=due, known=known_workflows(engine), aside=stuck_of(engine, Work.TICKS).aside(now),
            limit=SCHEDULES_AT_ONCE,
        )  # fmt: skip
        looks = [_look(tx, row) for row in rows]
    todo = ((look.found, partial(_fire_found, engine, look, now)) for look in looks)
    return _for_a_moment(engine, Work.TICKS, todo, now)


def start_queued(engine: Engine) -> int:
    """Start the first queued tick of each schedule whose runs have ended.

    Returns how many schedules were dealt with: their queue moved on, or they were set aside.
    """
    now = engine.store.now()
    with engine.reading() as tx:
        rows = tx.all(
            "startable_queues", known=known_workflows(engine), aside=stuck_of(engine, Work.QUEUE).aside(now),
            limit=SCHEDULES_AT_ONCE,
        )  # fmt: skip
        waiting = [(row, tx.later("first_queued_tick", name=ScheduleColumns(*row).name)) for row in rows]
        looks = [_look(tx, row, later.rows()) for row, later in waiting]
    todo = ((look.found, partial(_start_first, engine, look)) for look in looks)
    return _for_a_moment(engine, Work.QUEUE, todo, now)


def plan_or_reason(row: ScheduleRow, tick: datetime) -> Plan | str:
    """The plan of a tick's run, or why there is none. Calls the user's code."""
    try:
        return row.definition.plan_at(tick, row.name)
    except (Exception, SystemExit) as error:  # after any error, the next ticks continue
        logger.exception("the tick %s of schedule %s cannot start", tick.isoformat(), row.name)
        return reason_of(error)


def _for_a_moment(engine: Engine, work: Work, todo: Iterable[tuple[Found, Callable[[], int]]], now: datetime) -> int:
    """Deal with one schedule after another. Returns how many, and not 0 while some are left."""
    end = time.monotonic() + MOMENT_SECONDS
    done = 0
    for found, deal in todo:
        done += on_its_own(engine, work, found, deal, now)
        if time.monotonic() >= end:
            return max(done, 1)
    return done


class _Look(NamedTuple):
    """A schedule as it was read, and the first of its queued ticks; or the error in its row."""

    found: Found
    read: tuple[ScheduleRow, datetime | None] | Exception

    def schedule(self) -> tuple[ScheduleRow, datetime | None]:
        """Raises the error in its row, which then counts for this schedule alone."""
        if isinstance(self.read, Exception):
            raise self.read
        return self.read


def _look(tx: Transaction, row: Row, ticks: Sequence[Row] = ()) -> _Look:
    found = Found.of(tx, ScheduleColumns(*row))
    try:
        return _Look(found, (read_schedule(tx, row), first_tick(tx, ticks)))
    except (SerializationError, *UNREADABLE) as error:
        return _Look(found, error)


def _fire_found(engine: Engine, look: _Look, now: datetime) -> int:
    return _fire(engine, look.schedule()[0], now)


def _fire(engine: Engine, row: ScheduleRow, now: datetime) -> int:
    definition = row.definition
    if row.next_tick is None or (definition.plan is None and not _is_known(engine, definition.workflow)):
        return 0
    batch = row.ticking().batch(row.next_tick, now)
    batch, plans = _planned(engine, Work.TICKS, row, (row.next_tick, row.updated_at), batch, _may_start(row, batch))
    cancelled = _cancel_running(engine, row) if batch.ticks else set()
    try:
        return engine.act(decide, row, batch, plans, cancelled)
    except PASSING_ERRORS:
        raise
    except SegueError as error:  # the plans are refused when they are to be written
        if len(plans) > 1:
            return _fire_each(engine, row, batch, plans)
        if isinstance(error, StoreError):
            raise
        return engine.act(decide, row, batch, _refused(row, plans, error), cancelled)


def _fire_each(engine: Engine, row: ScheduleRow, batch: Batch, plans: Plans) -> int:
    """Decide overlapping ticks one by one, so that a refused tick does not affect the others."""
    due = row.ticking().due
    fired = 0
    for tick, following in pairwise((*batch.ticks, batch.next_tick)):
        assert tick is not None  # only the last can be
        missed = batch.missed if not fired else None
        part = Batch((tick,), missed, batch.why_missed, following, None if following is None else due(following))
        plan = {tick: plans[tick]}
        try:
            is_mine = engine.act(decide, row, part, plan, set())
        except StoreError:
            raise
        except SegueError as error:
            is_mine = engine.act(decide, row, part, _refused(row, plan, error), set())
        if not is_mine:
            break  # another process continued it
        row, fired = msgspec.structs.replace(row, next_tick=following), fired + 1
    return min(fired, 1)


def _refused(row: ScheduleRow, plans: Plans, error: SegueError) -> Plans:
    logger.error("schedule %s cannot start %s: %s", row.name, ", ".join(tick.isoformat() for tick in plans), error)
    return dict.fromkeys(plans, reason_of(error))


def _planned(
    engine: Engine, work: Work, row: ScheduleRow, version: Any, what: T, ticks: Sequence[datetime]
) -> tuple[T, Plans]:
    """The plans of these ticks, and the ticks. Raises NoAnswerError if the workflow has not returned.

    The workflow is not called a second time meanwhile. A late result counts for the ticks of its call, in this
    `version`.
    """
    if row.definition.plan is not None or not ticks:
        return what, _plans(row, ticks)
    asked = stuck_of(engine, work).asked
    found: PendingCall[T] | None = asked.get(row.name)
    if found is None or found.of != version:
        found = asked[row.name] = PendingCall(
            version, what, call_in_thread(row.definition.workflow, partial(_plans, row, ticks))
        )
        found.call.wait(PATIENCE_SECONDS)
    if found.call.has_returned:
        del asked[row.name]  # even if the call raised past all handlers: then it is repeated
    return found.what, found.call.result()


def _plans(row: ScheduleRow, ticks: Sequence[datetime]) -> Plans:
    return {tick: plan_or_reason(row, tick) for tick in ticks}


def _may_start(row: ScheduleRow, batch: Batch) -> Sequence[datetime]:
    """Where runs may not overlap, only one of several ticks can start now."""
    match Overlap(row.definition.overlap):
        case Overlap.ALLOW:
            return batch.ticks
        case Overlap.CANCEL_RUNNING:
            return batch.ticks[-1:]
        case Overlap.SKIP | Overlap.QUEUE_ONE | Overlap.QUEUE_ALL:
            return batch.ticks[:1]
        case unknown:
            assert_never(unknown)


def _cancel_running(engine: Engine, row: ScheduleRow) -> set[str]:
    """Cancel the running runs before the tick is decided. After a crash in between, both are repeated.

    Each is cancelled under the schedule's lock: a late process must not cancel the run that this very tick has started.
    """
    if row.definition.overlap != Overlap.CANCEL_RUNNING:
        return set()
    with engine.reading() as tx:
        live = live_runs(tx, row.name)
    return {run_id for run_id in live if engine.act(cancel_one, row, run_id)}


def _start_first(engine: Engine, look: _Look) -> int:
    row, tick = look.schedule()
    plans: Plans = {}
    if tick is not None:
        tick, plans = _planned(engine, Work.QUEUE, row, (tick, row.updated_at), tick, [tick])
    plan = None if tick is None else plans[tick]
    try:
        return engine.act(start_queued_tick, row, tick, plan)
    except StoreError:
        raise
    except SegueError as error:
        logger.error("a queued tick of schedule %s cannot start: %s", row.name, error)
        return engine.act(start_queued_tick, row, tick, reason_of(error))
