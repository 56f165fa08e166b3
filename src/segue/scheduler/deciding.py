"""What becomes of a schedule's ticks, in the transaction that holds the schedule's row.

It is written under the key (schedule, tick), the run is started, and the schedule moves on. Who finds that the schedule
is not as it was when its plans were made writes nothing, and comes again.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from datetime import datetime
from typing import Any, Literal

from segue.engine.control import cancel_run
from segue.engine.ids import new_id
from segue.engine.start import NewRun, start_runs
from segue.model import Overlap
from segue.plan.graph import Plan
from segue.scheduler.rows import ScheduleRow, read_schedule
from segue.scheduler.ticking import Batch
from segue.store.protocol import Store, Transaction

MOST_LIVE = 100  # runs of one schedule that are looked at

Plans = dict[datetime, Plan | str]
"""What each tick would start, or why it cannot."""

logger = logging.getLogger("segue.chores")


def judge(overlap: str, *, is_running: bool, is_queueing: bool) -> Literal["started", "queued", "skipped"]:
    """What becomes of a tick, given whether runs of its schedule have not ended and whether ticks wait for them."""
    if overlap == Overlap.ALLOW or not (is_running or is_queueing):
        return "started"
    if overlap == Overlap.SKIP or (overlap == Overlap.QUEUE_ONE and is_queueing):
        return "skipped"
    return "queued"


def cancel_one(store: Store, row: ScheduleRow, run_id: str, tx: Transaction, now: datetime) -> bool:
    """Cancel a run, unless the schedule moved on or was changed."""
    held = tx.all("take_schedule", name=row.name)
    if not held or not _is_same(row, read_schedule(store, held[0])):
        return False
    cancel_run(store, tx, run_id, now)
    return True


def decide(
    store: Store, row: ScheduleRow, batch: Batch, plans: Plans, cancelled: set[str], tx: Transaction, now: datetime
) -> int:
    """Decide the ticks of a batch; 0 when somebody else does, and 1 when it, or a part of it, is done."""
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
        live = tx.all("live_ticks", name=row.name, limit=MOST_LIVE)
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
        if next_tick is None:
            logger.info("schedule %s is over: it has no tick after these", self._row.name)
        if self._runs:
            start_runs(self._store, self._tx, self._runs, self._now)
        self._tx.all(
            "advance_schedule", name=self._row.name, next_tick=next_tick, due_at=due_at, queued=self._has_queued
        )  # fmt: skip


def start_queued_tick(
    store: Store, row: ScheduleRow, tick: datetime | None, plan: Plan | str | None, tx: Transaction, now: datetime
) -> int:
    """Start the first tick in a schedule's queue; 0 when that is another one by now, or a run has not ended."""
    held = tx.all("take_schedule", name=row.name)
    if not held or read_schedule(store, held[0]).updated_at != row.updated_at:
        return 0
    _close_ended(tx, row.name)
    if tx.all("live_ticks", name=row.name, limit=1):
        return 0
    first = first_tick(store, tx.all("first_queued_tick", name=row.name))
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
    if row.problem is not None:
        tx.all("set_schedule_problem", name=row.name, problem=None)
    return 1


def _close_ended(tx: Transaction, name: str) -> None:
    """Ticks whose runs have ended no longer count. The caller holds the schedule's row."""
    ended = [row[0] for row in tx.all("hold_ended_ticks", name=name)]
    if ended:
        tx.later("close_ended_ticks", name=name, ids=ended)


def first_tick(store: Store, rows: Sequence[Any]) -> datetime | None:
    """The first of these rows of ticks, if there is one."""
    return store.datetime(rows[0][0]) if rows else None
