"""`Schedule`: when work starts by itself, and what happens if ticks are late or overlap.

It only describes. The processes that do the chores store the schedules of the code that they know in the database.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from enum import StrEnum
from typing import TYPE_CHECKING, Any, TypeVar

import msgspec

from segue.errors import ConfigError, DefinitionError
from segue.given import shown
from segue.model import CatchUp, Overlap

if TYPE_CHECKING:
    from segue.timetable import Timetable

Word = TypeVar("Word", bound=StrEnum)
_LONGEST = timedelta(days=36_525)  # a hundred years; longer times may overflow


class _Expressed(msgspec.Struct, frozen=True):
    expression: str | timedelta | float  # the only argument that may be given by position


class Schedule(_Expressed, frozen=True, kw_only=True):
    """When to start, for `@workflow(schedule=...)` and `@task(schedule=...)`. Raises ConfigError for invalid values.

    `expression` is cron ("0 2 * * *"), a shorthand ("@daily"), or an interval ("every 15 minutes", timedelta, seconds).
    It ticks between `starts_at` and `ends_at`, both inclusive. A tick starts up to `jitter` seconds late; the delay of
    a given tick is always the same. `overlap` decides what a tick does while a run of the schedule has not ended: skip,
    queue_one, queue_all, cancel_running, allow. `catch_up` decides which ticks start that were missed while no process
    did the chores: none, latest, all, but none that are older than `catch_up_window` seconds. Times may also be
    timedeltas. With `active=False` it is created switched off, and `segue.schedules.activate` switches it on; from then
    on the database says whether it is active, not the code.

    Example::

        @workflow(schedule=Schedule("0 2 * * *", timezone="Europe/Paris", jitter=300, catch_up="all"))
        def nightly(day: str): ...
    """

    timezone: str = "UTC"
    starts_at: datetime | None = None
    ends_at: datetime | None = None
    jitter: float | timedelta = 0.0
    overlap: Overlap | str = Overlap.SKIP
    catch_up: CatchUp | str = CatchUp.LATEST
    catch_up_window: float | timedelta | None = None
    active: bool = True

    def __post_init__(self) -> None:
        timetable = self.timetable()
        window = self.catch_up_window
        if not isinstance(self.active, bool):
            raise ConfigError(f"active={shown(self.active)} is not a boolean. Write active=True or active=False.")
        for name, value in (
            ("expression", timetable.text),
            ("starts_at", timetable.starts_at),
            ("ends_at", timetable.ends_at),
            ("jitter", _seconds("jitter", self.jitter)),
            ("overlap", _word(Overlap, "overlap", self.overlap)),
            ("catch_up", _word(CatchUp, "catch_up", self.catch_up)),
            ("catch_up_window", None if window is None else _seconds("catch_up_window", window)),
        ):
            msgspec.structs.force_setattr(self, name, value)

    def timetable(self) -> Timetable:
        """Its ticks."""
        from segue.timetable import parse_timetable  # noqa: PLC0415 - takes milliseconds; few modules have schedules

        return parse_timetable(self.expression, self.timezone, starts_at=self.starts_at, ends_at=self.ends_at)


def declared(of: str, schedule: object, timezone: object) -> Schedule | None:
    """The schedule that a decorator was given; raises `DefinitionError` naming `of`."""
    if schedule is None:
        if timezone is not None:
            raise DefinitionError(
                f"{of}: timezone={shown(timezone)} is for a schedule; add schedule='...' or leave it out"
            )
        return None
    if isinstance(schedule, Schedule):
        if timezone is not None:
            raise DefinitionError(f"{of}: write timezone={shown(timezone)} into Schedule(..., timezone=...)")
        return schedule
    zone: Any = "UTC" if timezone is None else timezone
    try:
        return Schedule(schedule, timezone=zone)  # type: ignore[arg-type]
    except ConfigError as error:
        raise DefinitionError(f"{of}: schedule={shown(schedule)}: {error}") from error


def _seconds(name: str, value: float | timedelta) -> float:
    seconds: Any = value.total_seconds() if isinstance(value, timedelta) else value
    if isinstance(seconds, bool) or not isinstance(seconds, int | float) or not seconds >= 0:
        raise ConfigError(f"{name}={shown(value)} is not a duration. Give seconds, 0 or more, or a timedelta.")
    if seconds > _LONGEST.total_seconds():
        raise ConfigError(f"{name}={shown(value)} is longer than {_LONGEST.days:,} days. Give less, or leave it out.")
    return float(seconds)


def _word(words: type[Word], name: str, value: object) -> Word:
    try:
        return words(value if isinstance(value, str) else "")
    except ValueError:
        raise ConfigError(f"{name}={shown(value)} is not known. Choose {', '.join(words)}.") from None
