"""Decides the ticks of a schedule, in the transaction that holds the schedule's row.

It records the tick under the key (schedule, tick), starts the run, and moves the schedule to its next tick. If the
schedule has changed since its plans were made, it writes nothing, and the tick is decided again.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any, Literal

from segue.engine.act import Act
from segue.engine.control import cancel_run
from segue.engine.locking import lock_within_a_moment
from segue.engine.start import NewRun, start_runs
from segue.model import Overlap
from segue.observing.extensions import Tick, extensions
from segue.observing.harmless_log import get_logger
from segue.plan.graph import Plan
from segue.plan.namespaces import bare, namespace_of
from segue.scheduler.rows import ScheduleRow, read_schedule, schedule_as_actor
from segue.scheduler.ticking import Batch
from segue.scheduler.undefined import PILING, Hands, hands_of, tasks_of, why_no_more
from segue.store.protocol import Transaction

MOST_LIVE = 100  # unfinished runs of one schedule that are read

Plans = dict[datetime, Plan | str]
"""For each tick the plan to start, or why it cannot start."""

logger = get_logger("segue.chores")


def judge(overlap: str, *, is_running: bool, is_queueing: bool) -> Literal["started", "queued", "skipped"]:
    """The decision on a tick, given whether runs of its schedule have not ended and whether ticks wait for them."""
    if overlap == Overlap.ALLOW or not (is_running or is_queueing):
        return "started"
    if overlap == Overlap.SKIP or (overlap == Overlap.QUEUE_ONE and is_queueing):
        return "skipped"
    return "queued"


def cancel_one(act: Act, row: ScheduleRow, run_id: str) -> bool:
    """Cancel a run, unless the schedule has moved on or was changed."""
    held = act.tx.all("take_schedule", name=row.name)
    if not held or not _is_same(row, read_schedule(act.tx, held[0])):
        return False
    lock_within_a_moment(act.tx, run_id)
    cancel_run(act, run_id)
    return True


def decide(act: Act, row: ScheduleRow, batch: Batch, plans: Plans, cancelled: set[str]) -> int:
    """Decide the ticks of a batch. 0 if another process does, and 1 if the batch, or a part of it, is done."""
    held = act.tx.all("take_schedule", name=row.name)
    if not held or not _is_same(row, read_schedule(act.tx, held[0])):
        return 0  # another process decides or decided it, or it was changed
    deciding = _Deciding(act, row)
    if row.definition.overlap == Overlap.CANCEL_RUNNING and not deciding.live <= cancelled:
        return 0  # a run began meanwhile, which must be cancelled first
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
    """Decides ticks of one schedule in order, while its row is held."""

    def __init__(self, act: Act, row: ScheduleRow) -> None:
        self._act, self._row = act, row
        self._runs: list[NewRun] = []
        _close_ended(act.tx, row.name)
        live = live_runs(act.tx, row.name)
        self.live = set(live)
        self._blocker = f"run {live[0]} has not ended" if live else ""
        self._queued = bool(act.tx.all("first_queued_tick", name=row.name))
        self._has_queued = False
        self._is_bounded = row.definition.overlap in PILING
        self._why_no_more: str | None = None
        self._hands: Hands | None = None
        if self._is_bounded and live:
            self._why_no_more = why_no_more(act.tx, act.now, row.name, live[0])

    def decide(self, tick: datetime, plan: Plan | str | None) -> bool:
        """Decide one tick. False if it may start now and there is no plan for it."""
        if self._why_no_more is not None:
            self.put(tick, "skipped", self._why_no_more)
            return True
        overlap = self._row.definition.overlap
        verdict = judge(overlap, is_running=bool(self._blocker), is_queueing=self._queued)
        if verdict != "started":
            self._wait_or_skip(tick, verdict)
        elif plan is None:
            return False
        elif isinstance(plan, str):
            self.put(tick, "skipped", plan)
        else:
            run = NewRun(self._act.new_id(), plan, started_by=schedule_as_actor(self._row.name))
            if self.put(tick, "started", None, run.id):
                self._runs.append(run)
                self._blocker = f"run {run.id} has not ended"
                self._look_at_hands(run)
        return True

    def _look_at_hands(self, run: NewRun) -> None:
        """Of the ticks that are caught up together, only the first starts a run whose tasks no worker defines."""
        if not self._is_bounded:
            return
        if self._hands is None:
            self._hands = hands_of(self._act.tx, self._act.now, namespace_of(self._row.name))
        missing = self._hands.lack(tasks_of(run.plan))
        if missing and self._hands.has_live_worker:
            self._why_no_more = f"run {run.id} waits for the task {missing[0]}, which no live worker defines"

    def _wait_or_skip(self, tick: datetime, verdict: str) -> None:
        if verdict == "skipped":
            self.put(tick, "skipped", self._blocker or "earlier ticks are queued")
            return
        if self._row.definition.overlap == Overlap.CANCEL_RUNNING:
            self._act.tx.later(
                "skip_queued_ticks", name=self._row.name, before=tick, now=self._act.now,
                reason=f"overtaken by the tick {tick.isoformat()}",
            )  # fmt: skip
        if self.put(tick, "queued", self._blocker or "earlier ticks are queued"):
            self._queued = self._has_queued = True

    def give_up(self, first: datetime, last: datetime, why: str) -> None:
        """Record ticks that start nothing: one row for the first, whose reason names the others."""
        self.put(first, "skipped", why if first == last else f"{why}; so are those up to {last.isoformat()}")

    def put(self, tick: datetime, status: str, reason: str | None, run_id: str | None = None) -> bool:
        """Record the decision on a tick. False if it was recorded already."""
        rows = self._act.tx.all(
            "put_tick", name=self._row.name, tick=tick, status=status, reason=reason, run_id=run_id,
            is_open=status != "skipped", replaces_skipped=False, now=self._act.now,
        )  # fmt: skip
        return bool(rows)

    def stop_at(self, tick: datetime) -> None:
        """The ticks before this one are decided."""
        self.move_on(tick, self._row.ticking().due(tick))

    def move_on(self, next_tick: datetime | None, due_at: datetime | None) -> None:
        """Start the runs, and move the schedule to its next tick."""
        if next_tick is None:
            logger.info("schedule %s has ended: it has no tick after these", self._row.name)
        if self._runs:
            start_runs(self._act, self._runs)
            say_started(self._row, self._runs)
        self._act.tx.all(
            "advance_schedule", name=self._row.name, next_tick=next_tick, due_at=due_at, queued=self._has_queued
        )  # fmt: skip


def start_queued_tick(act: Act, row: ScheduleRow, tick: datetime | None, plan: Plan | str | None) -> int:
    """Start the first tick in a schedule's queue. 0 if another tick is the first by now, or a run has not ended."""
    held = act.tx.all("take_schedule", name=row.name)
    if not held or read_schedule(act.tx, held[0]).updated_at != row.updated_at:
        return 0
    _close_ended(act.tx, row.name)
    if act.tx.all("live_ticks", name=row.name, limit=1):
        return 0
    first = first_tick(act.tx, act.tx.all("first_queued_tick", name=row.name))
    if first is None:
        act.tx.all("end_queue", name=row.name)
    elif first != tick or plan is None:
        return 0  # another tick came before it
    elif isinstance(plan, str):
        act.tx.all("skip_queued_tick", name=row.name, tick=first, reason=plan, now=act.now)
    else:
        run = NewRun(act.new_id(), plan, started_by=schedule_as_actor(row.name))
        act.tx.all("begin_tick", name=row.name, tick=first, run_id=run.id, now=act.now)
        start_runs(act, [run])
        say_started(row, [run])
    if row.problem is not None:
        act.tx.all("set_schedule_problem", name=row.name, problem=None)
    return 1


def say_started(row: ScheduleRow, runs: Sequence[NewRun]) -> None:
    """Pass on that a schedule starts these runs; again, with the same ids, if the transaction is repeated."""
    for run in runs if extensions.ticks else ():
        tick = Tick(bare(row.name), run.id, row.definition.expression, row.definition.timezone)
        for receive in list(extensions.ticks.values()):
            receive(tick)


def _close_ended(tx: Transaction, name: str) -> None:
    """Ticks whose runs have ended no longer count. The caller holds the schedule's row."""
    ended = [row[0] for row in tx.all("hold_ended_ticks", name=name)]
    if ended:
        tx.later("close_ended_ticks", name=name, ids=ended)


def live_runs(tx: Transaction, name: str) -> list[str]:
    """The runs of a schedule that have not ended, in the order of their ticks; at most `MOST_LIVE`."""
    return [str(run_id) for _, run_id in tx.all("live_ticks", name=name, limit=MOST_LIVE)]


def first_tick(tx: Transaction, rows: Sequence[Any]) -> datetime | None:
    """The first of these rows of ticks, if there is one."""
    return tx.datetime(rows[0][0]) if rows else None
