"""Schedules without processes: tests move the clock and have the ticks decided, and end runs by hand."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

from segue.authoring.schedule import Schedule
from segue.client.schedules import Schedules
from segue.engine.engine import Engine
from segue.engine.views import look
from segue.engine.views.select import RunFilter
from segue.scheduler import firing
from segue.scheduler.editing import existing_schedule
from segue.scheduler.firing import fire_due, start_queued
from segue.scheduler.looking import TickInfo
from segue.scheduler.rows import ScheduleRow
from tests.contract.stage import Stage, node, plan, succeeded

firing.PATIENCE_SECONDS = 30.0  # workflows are waited for also where the machine is busy

NAME = "every-minute"
PLAN = plan(node("a"), name="flow")


class Clockwork:
    """The schedules of a stage. What they start has one step, which `finish` ends."""

    def __init__(self, stage: Stage) -> None:
        self.stage = stage
        self.schedules = Schedules(stage.engine)
        self.begun_at = stage.clock.now()

    def create(self, name: str = NAME, work: Any = PLAN, *, schedule: Any = "every minute", **options: Any) -> None:
        if isinstance(schedule, str):
            when = {key: options.pop(key) for key in list(options) if key in Schedule.__struct_fields__}
            schedule = Schedule(schedule, **when)
        self.schedules.create(name, work, schedule=schedule, **options)

    def tick(self, seconds: float = 60, *, by: Engine | None = None) -> None:
        """Let time pass, and have everything decided that is due then."""
        self.stage.advance(seconds)
        self.decide(by=by)

    def decide(self, *, by: Engine | None = None) -> None:
        engine = by or self.stage.engine
        for _ in range(1000):
            if not fire_due(engine) and not start_queued(engine):
                return
        raise AssertionError("there is always more to decide")

    def at(self, minutes: float) -> datetime:
        """A moment after the beginning."""
        return self.begun_at + timedelta(minutes=minutes)

    def minute(self, tick: datetime) -> float:
        return (tick - self.begun_at).total_seconds() / 60

    def ticks(self, name: str = NAME) -> list[TickInfo]:
        """What became of each tick, in order."""
        return self.schedules.ticks(name, limit=1000)[::-1]

    def fates(self, name: str = NAME) -> dict[float, str]:
        """Minutes after the beginning → what became of the tick."""
        return {self.minute(info.tick): info.status for info in self.ticks(name)}

    def row(self, name: str = NAME) -> ScheduleRow:
        """The schedule as whoever decides its ticks sees it."""
        with self.stage.engine.reading() as tx:
            return existing_schedule(tx, name)

    def runs(self) -> list[look.RunInfo]:
        """All runs, in the order of their start."""
        with self.stage.engine.reading() as tx:
            return look.list_runs(tx, RunFilter(), limit=1000)[::-1]

    def finish(self, count: int = 1) -> None:
        """End the oldest runs that have not ended."""
        jobs = self.stage.claim(want=count)
        assert len(jobs) == count
        self.stage.turn(*[succeeded(job) for job in jobs])
