"""Schedules: `segue.schedules`."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from datetime import datetime, timedelta
from functools import partial
from typing import Any, Final

import msgspec

from segue.authoring.schedule import Schedule
from segue.client.given import guarded
from segue.client.run import Run
from segue.engine.engine import Engine
from segue.errors import ConfigError, SerializationError
from segue.plan.indexed import SEPARATOR, check_key
from segue.plan.labels import checked_tags
from segue.plan.namespaces import EVERY
from segue.scheduler import editing, looking
from segue.scheduler.definition import Definition, define, definition_in, when_of
from segue.scheduler.looking import ScheduleInfo, TickInfo
from segue.scheduler.rows import ScheduleRow

Infos = list[ScheduleInfo]  # aliases, because a method is called `list`
Ticks = list[TickInfo]

_AS_IT_IS: Final[Any] = object()


@guarded
class Schedules:
    """Work that starts by itself at given times. The processes that do the chores start it: workers, `segue scheduler`.

    Schedules that the code declares (`@workflow(schedule=...)`) are changed in the code. Here they can be read,
    switched off and on, run and backfilled. Example::

        segue.schedules.create("reports", nightly, schedule="0 2 * * *", timezone="Europe/Paris")
        for tick in segue.schedules.next("reports", 3): ...
    """

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def create(
        self, name: str, work: Any, /, *args: Any, schedule: Schedule | str | timedelta | float, timezone: str = "UTC",
        starts_at: datetime | None = None, ends_at: datetime | None = None, jitter: float | timedelta = 0.0,
        active: bool = True, overlap: str = "skip", catch_up: str = "latest",
        catch_up_window: float | timedelta | None = None, tags: Sequence[str] = (), actor: str | None = None,
        reason: str | None = None, **kwargs: Any,
    ) -> ScheduleInfo:  # fmt: skip
        """Start `work` with these arguments at each tick: a workflow, task, signature, chain or group.

        A required parameter without a value receives the tick: by its annotation as a date or datetime, otherwise as
        the text of the date in the schedule's time zone. `Schedule` explains the options; a `Schedule` may be given as
        `schedule` instead of them. `actor` and `reason` are recorded, as by all methods that change something. Raises
        ConfigError if a schedule has this name already.

        Example::

            segue.schedules.create("nightly-north", nightly.s(region="north"), schedule="@daily", overlap="queue_one")
        """
        if not isinstance(schedule, Schedule):
            schedule = Schedule(
                schedule, timezone=timezone, starts_at=starts_at, ends_at=ends_at, jitter=jitter, overlap=overlap,
                catch_up=catch_up, catch_up_window=catch_up_window,
            )  # fmt: skip
        active = active and schedule.active
        definition = definition_in(define(work, args, kwargs, schedule, tags), self._engine.namespace)
        self._engine.act(
            editing.create_schedule, self._engine.stored(name), definition, is_active=active, actor=actor, reason=reason
        )
        return self.get(name)

    def list(self, *, workflow: str | None = None) -> Infos:
        """All schedules in order of their names, or those that start this workflow or task."""
        if workflow is not None and SEPARATOR in workflow:
            return []  # no workflow can have such a name
        one = None if workflow is None or self._engine.namespace == EVERY else self._engine.stored(workflow)
        now = self._engine.store.now()
        with self._engine.reading() as tx:
            found = looking.list_schedules(tx, now, workflow=one, prefix=self._engine.prefix)
            return [info for info in found if workflow is None or info.workflow == workflow]

    def get(self, name: str) -> ScheduleInfo:
        """The schedule of this name; raises ScheduleNotFoundError."""
        now = self._engine.store.now()
        with self._engine.reading() as tx:
            row = editing.existing_schedule(tx, self._stored(name))
            return looking.schedule_info(tx, now, row)

    def update(
        self, name: str, *, work: Any = _AS_IT_IS, schedule: Schedule | str | timedelta | float = _AS_IT_IS,
        timezone: str = _AS_IT_IS, starts_at: datetime | None = _AS_IT_IS, ends_at: datetime | None = _AS_IT_IS,
        jitter: float | timedelta = _AS_IT_IS, overlap: str = _AS_IT_IS, catch_up: str = _AS_IT_IS,
        catch_up_window: float | timedelta | None = _AS_IT_IS, tags: Sequence[str] = _AS_IT_IS,
        actor: str | None = None, reason: str | None = None,
    ) -> ScheduleInfo:  # fmt: skip
        """Change the given options. If that changes its ticks, they continue from now.

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
        change = partial(
            _changed, changes=changes, work=work, schedule=schedule, tags=tags, namespace=self._engine.namespace
        )
        self._engine.act(editing.change_schedule, self._stored(name), change, actor=actor, reason=reason)
        return self.get(name)

    def activate(self, name: str, *, actor: str | None = None, reason: str | None = None) -> ScheduleInfo:
        """Switch it on. The ticks that passed while it was off are not caught up; see `backfill`."""
        return self._switch(name, is_active=True, actor=actor, reason=reason)

    def deactivate(self, name: str, *, actor: str | None = None, reason: str | None = None) -> ScheduleInfo:
        """Switch it off, also one that the code declares. Its running runs continue; its queued ticks start nothing."""
        return self._switch(name, is_active=False, actor=actor, reason=reason)

    def remove(self, name: str, *, actor: str | None = None, reason: str | None = None) -> None:
        """Remove it; its runs stay. One that the code declares comes back when a process with that code starts."""
        with suppress(SerializationError):  # a schedule that cannot be read is removed as well
            self._row(name)  # raises if it does not exist; if it is missing below, a first try removed it
        self._engine.act(editing.delete_schedule, self._stored(name), actor=actor, reason=reason)

    def run_now(
        self, name: str, *, key: str | None = None, actor: str | None = None, reason: str | None = None
    ) -> Run:  # fmt: skip
        """Start a run now, also while others of it run; its tick is the current time. Raises ScheduleNotFoundError.

        With a `key`, as that of a start, the same call may be made again: it finds the run of the first.
        """
        check_key("key", key, tells_apart="one run from another")
        id_, is_new = editing.run_now(self._engine, self._stored(name), key=key, actor=actor, reason=reason)
        return Run(self._engine, id_, is_new=is_new)

    def next(self, name: str, n: int = 5) -> Sequence[datetime]:
        """Its next `n` ticks, in UTC; none if it is inactive. For local times: `tick.astimezone(ZoneInfo(...))`."""
        row = self._row(name)
        ticks: list[datetime] = []
        tick = row.next_tick
        timetable = row.definition.timetable()
        while tick is not None and len(ticks) < n:
            ticks.append(tick)
            tick = timetable.next_after(tick)
        return ticks

    def backfill(
        self,
        name: str,
        since: datetime,
        until: datetime,
        *,
        dry_run: bool = False,
        overlap: str | None = None,
        actor: str | None = None,
        reason: str | None = None,
    ) -> Ticks:
        """Start the ticks from `since` to `until` that have not started a run yet. Returns all of them, in order.

        They run one after another, unless the schedule allows overlap; `overlap` ("queue_all" or "allow") decides
        instead. With `dry_run` nothing starts, and the ticks that would start have the status "planned". Raises
        ConfigError if `until` is not in the past, or for more than 10,000 ticks.
        """
        row = self._row(name)
        ticks = editing.ticks_to_backfill(row, since, until, self._engine.store.now())
        if not dry_run:
            editing.backfill(self._engine, row, ticks, overlap=overlap, actor=actor, reason=reason)
        with self._engine.reading() as tx:
            known = looking.known_ticks(tx, self._stored(name), ticks)
        found = [known.get(tick, TickInfo(tick, "planned")) for tick in ticks]
        return [TickInfo(info.tick, "planned") if info.status == "skipped" and dry_run else info for info in found]

    def ticks(self, name: str, *, before: datetime | None = None, limit: int = 50) -> Ticks:
        """What happened to its ticks, the newest first. For the next page, pass the last tick as `before`."""
        with self._engine.reading() as tx:
            editing.existing_schedule(tx, self._stored(name))
            return looking.list_ticks(tx, self._stored(name), before=before, limit=limit)

    def _stored(self, name: str) -> str:
        """Its name in the database. Raises ScheduleNotFoundError for a name that no schedule can have."""
        if SEPARATOR in name:
            raise editing.unknown(name)
        return self._engine.stored(name)

    # Inside -------------------------------------------------------------------------------------------------------

    def _row(self, name: str) -> ScheduleRow:
        with self._engine.reading() as tx:
            return editing.existing_schedule(tx, self._stored(name))

    def _switch(self, name: str, *, is_active: bool, actor: str | None, reason: str | None) -> ScheduleInfo:
        self._engine.act(editing.switch_schedule, self._stored(name), is_active=is_active, actor=actor, reason=reason)
        return self.get(name)


def _changed(
    old: Definition, *, changes: dict[str, Any], work: Any, schedule: Any, tags: Any, namespace: str
) -> Definition:  # fmt: skip
    """The definition with these changes."""
    if isinstance(schedule, Schedule):
        if changes:
            raise ConfigError(f"{', '.join(changes)} and a Schedule are given; write them into Schedule(...).")
        if not schedule.active:
            raise ConfigError("active=False is for a new schedule. To switch this one off, call schedules.deactivate.")
        when = schedule
    else:
        settings = {
            "timezone": old.timezone, "starts_at": old.starts_at, "ends_at": old.ends_at, "jitter": old.jitter,
            "overlap": old.overlap, "catch_up": old.catch_up, "catch_up_window": old.catch_up_window,
        }  # fmt: skip
        when = Schedule(old.expression if schedule is _AS_IT_IS else schedule, **(settings | changes))
    new_tags = old.tags if tags is _AS_IT_IS else checked_tags("a schedule", tags)
    if work is not _AS_IT_IS:
        return definition_in(define(work, (), {}, when, new_tags), namespace)
    return msgspec.structs.replace(old, tags=new_tags, **when_of(when))
