"""Schedules, as users hold them: `segue.schedules`."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from functools import partial
from typing import Any, Final

import msgspec

from segue.authoring.schedule import Schedule
from segue.client.run import Run
from segue.engine.engine import Engine
from segue.errors import ConfigError
from segue.plan.labels import checked_tags
from segue.scheduler import editing, looking
from segue.scheduler.definition import Definition, define, when_of
from segue.scheduler.looking import ScheduleInfo, TickInfo
from segue.scheduler.rows import ScheduleRow

Infos = list[ScheduleInfo]  # under names, because a method is called `list`
Ticks = list[TickInfo]

_AS_IT_IS: Final[Any] = object()


class Schedules:
    """What is started by itself, and when. Processes that do the chores start it: workers, `segue scheduler`.

    Schedules that the code declares (`@workflow(schedule=...)`) are changed there; here they are looked at, switched
    off and on, run and backfilled. Example::

        segue.schedules.create("reports", nightly, schedule="0 2 * * *", timezone="Europe/Paris")
        for tick in segue.schedules.next("reports", 3): ...
    """

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def create(
        self, name: str, work: Any, /, *args: Any, schedule: Schedule | str | timedelta | float, timezone: str = "UTC",
        starts_at: datetime | None = None, ends_at: datetime | None = None, jitter: float | timedelta = 0.0,
        active: bool = True, overlap: str = "skip", catch_up: str = "latest",
        catch_up_window: float | timedelta | None = None, tags: Sequence[str] = (), **kwargs: Any,
    ) -> ScheduleInfo:  # fmt: skip
        """Start `work` with these arguments at each tick: a workflow, task, signature, chain or group.

        A required parameter that is not given receives the tick: the date in the schedule's zone as text, or what it
        is annotated with, a date or a datetime. See `Schedule` for what the options mean; instead of them, one may be
        given as `schedule`. Raises ConfigError when there is a schedule of this name.

        Example::

            segue.schedules.create("nightly-north", nightly.s(region="north"), schedule="@daily", overlap="queue_one")
        """
        if not isinstance(schedule, Schedule):
            schedule = Schedule(
                schedule, timezone=timezone, starts_at=starts_at, ends_at=ends_at, jitter=jitter, overlap=overlap,
                catch_up=catch_up, catch_up_window=catch_up_window,
            )  # fmt: skip
        definition = define(work, args, kwargs, schedule, tags)
        store = self._engine.store
        self._engine.act(
            lambda tx, now: editing.create_schedule(store, tx, now, name, definition, is_active=active)
        )  # fmt: skip
        return self.get(name)

    def list(self, *, workflow: str | None = None) -> Infos:
        """All of them by name, or those that start this workflow or task."""
        now = self._engine.store.now()
        with self._engine.reading() as tx:
            return looking.list_schedules(self._engine.store, tx, now, workflow=workflow)

    def get(self, name: str) -> ScheduleInfo:
        """The schedule of this name; raises ScheduleNotFoundError."""
        now = self._engine.store.now()
        with self._engine.reading() as tx:
            row = editing.existing_schedule(self._engine.store, tx, name)
            return looking.schedule_info(self._engine.store, tx, now, row)

    def update(
        self, name: str, *, work: Any = _AS_IT_IS, schedule: Schedule | str | timedelta | float = _AS_IT_IS,
        timezone: str = _AS_IT_IS, starts_at: datetime | None = _AS_IT_IS, ends_at: datetime | None = _AS_IT_IS,
        jitter: float | timedelta = _AS_IT_IS, overlap: str = _AS_IT_IS, catch_up: str = _AS_IT_IS,
        catch_up_window: float | timedelta | None = _AS_IT_IS, tags: Sequence[str] = _AS_IT_IS,
    ) -> ScheduleInfo:  # fmt: skip
        """Change what is given; when that changes its ticks, it goes on from now.

        `work` is a workflow or task, or a signature of one with its arguments. Raises ConfigError for a schedule that
        the code declares.
        """
        row = self._row(name)
        if row.source == "code":
            raise ConfigError(
                f"The schedule {name} is declared in the code, which would change it back. Change it there; it can be "
                "deactivated here."
            )
        given = {
            "timezone": timezone, "starts_at": starts_at, "ends_at": ends_at, "jitter": jitter, "overlap": overlap,
            "catch_up": catch_up, "catch_up_window": catch_up_window,
        }  # fmt: skip
        changes = {key: value for key, value in given.items() if value is not _AS_IT_IS}
        change = partial(_changed, changes=changes, work=work, schedule=schedule, tags=tags)
        store = self._engine.store
        self._engine.act(lambda tx, now: editing.change_schedule(store, tx, now, name, change))
        return self.get(name)

    def activate(self, name: str) -> ScheduleInfo:
        """Switch it on. What it would have started meanwhile is not caught up; see `backfill`."""
        return self._switch(name, is_active=True)

    def deactivate(self, name: str) -> ScheduleInfo:
        """Switch it off, also one that the code declares; what runs goes on, what is queued starts nothing."""
        return self._switch(name, is_active=False)

    def remove(self, name: str) -> None:
        """Remove it; its runs stay. One that the code declares comes back when a process with that code starts."""
        self._row(name)  # raises when there is none; what is not there below was removed by a try whose answer was lost
        self._engine.act(lambda tx, now: editing.delete_schedule(self._engine.store, tx, now, name))

    def run_now(self, name: str) -> Run:
        """Start a run at once, whatever else of it runs; the tick is this moment. Raises ScheduleNotFoundError."""
        return Run(self._engine, editing.run_now(self._engine, name))

    def next(self, name: str, n: int = 5) -> Sequence[datetime]:
        """Its next `n` ticks, in UTC; none when it is inactive. For local times: `tick.astimezone(ZoneInfo(...))`."""
        row = self._row(name)
        ticks: list[datetime] = []
        tick = row.next_tick
        timetable = row.definition.timetable()
        while tick is not None and len(ticks) < n:
            ticks.append(tick)
            tick = timetable.next_after(tick)
        return ticks

    def backfill(
        self, name: str, since: datetime, until: datetime, *, dry_run: bool = False, overlap: str | None = None
    ) -> Ticks:
        """Start the ticks from `since` to `until` that started nothing yet; returns all of them, in order.

        One after another, unless the schedule allows overlap; `overlap` ("queue_all" or "allow") decides instead. With
        `dry_run` nothing is started, and the status of what would be is "planned". Raises ConfigError when `until` is
        not past, or for more than 10,000 ticks.
        """
        row = self._row(name)
        ticks = editing.ticks_to_backfill(row, since, until, self._engine.store.now())
        if not dry_run:
            editing.backfill(self._engine, row, ticks, overlap=overlap)
        with self._engine.reading() as tx:
            known = looking.known_ticks(self._engine.store, tx, name, ticks)
        found = [known.get(tick, TickInfo(tick, "planned")) for tick in ticks]
        return [TickInfo(info.tick, "planned") if info.status == "skipped" and dry_run else info for info in found]

    def ticks(self, name: str, *, before: datetime | None = None, limit: int = 50) -> Ticks:
        """What became of its ticks, the newest first; for the next page give the last tick of this one as `before`."""
        with self._engine.reading() as tx:
            editing.existing_schedule(self._engine.store, tx, name)
            return looking.list_ticks(self._engine.store, tx, name, before=before, limit=limit)

    # Inside -------------------------------------------------------------------------------------------------------

    def _row(self, name: str) -> ScheduleRow:
        with self._engine.reading() as tx:
            return editing.existing_schedule(self._engine.store, tx, name)

    def _switch(self, name: str, *, is_active: bool) -> ScheduleInfo:
        store = self._engine.store
        self._engine.act(lambda tx, now: editing.switch_schedule(store, tx, now, name, is_active=is_active))
        return self.get(name)


def _changed(old: Definition, *, changes: dict[str, Any], work: Any, schedule: Any, tags: Any) -> Definition:
    """The definition with these changes."""
    if isinstance(schedule, Schedule):
        if changes:
            raise ConfigError(f"{', '.join(changes)} and a Schedule are given; write them into Schedule(...).")
        when = schedule
    else:
        settings = {
            "timezone": old.timezone, "starts_at": old.starts_at, "ends_at": old.ends_at, "jitter": old.jitter,
            "overlap": old.overlap, "catch_up": old.catch_up, "catch_up_window": old.catch_up_window,
        }  # fmt: skip
        when = Schedule(old.expression if schedule is _AS_IT_IS else schedule, **(settings | changes))
    new_tags = old.tags if tags is _AS_IT_IS else checked_tags("a schedule", tags)
    if work is not _AS_IT_IS:
        return define(work, (), {}, when, new_tags)
    return msgspec.structs.replace(old, tags=new_tags, **when_of(when))
