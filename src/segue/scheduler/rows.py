"""Schedules and ticks as they are stored."""

from __future__ import annotations

from datetime import datetime
from types import NoneType
from typing import Any, NamedTuple

import msgspec

from segue.errors import SerializationError
from segue.plan.codec import UNREADABLE
from segue.plan.namespaces import bare
from segue.scheduler.definition import Definition
from segue.scheduler.ticking import Ticking
from segue.store.protocol import Row, Transaction

_decode_tags = msgspec.json.Decoder(tuple[str, ...]).decode


class ScheduleRow(msgspec.Struct, frozen=True):
    """A schedule: its definition and its state."""

    name: str
    definition: Definition
    source: str  # code or api
    is_active: bool
    problem: str | None  # why its next tick, or its queue, cannot be decided, as far as it was reported
    next_tick: datetime | None
    due_at: datetime | None
    created_at: datetime
    updated_at: datetime

    def ticking(self) -> Ticking:
        """Its ticks, with jitter and catch-up."""
        return ticking_of(self.name, self.definition)


def ticking_of(name: str, definition: Definition) -> Ticking:
    """The ticks of a schedule with this definition. Raises ConfigError for an invalid expression."""
    return Ticking(
        name, definition.timetable(), jitter=definition.jitter, catch_up=definition.catch_up,
        window=definition.catch_up_window,
    )  # fmt: skip


class ScheduleColumns(NamedTuple):
    """A row of `schedule_columns`, as the database returns it."""

    name: Any
    workflow: Any
    plan: Any
    tick_argument: Any
    arguments: Any
    expression: Any
    timezone: Any
    anchor_at: Any
    starts_at: Any
    ends_at: Any
    jitter: Any
    is_active: Any
    overlap: Any
    catch_up: Any
    catch_up_window: Any
    tags: Any
    source: Any
    problem: Any
    next_tick: Any
    due_at: Any
    created_at: Any
    updated_at: Any


def read_schedule(tx: Transaction, columns: Row) -> ScheduleRow:
    """A row of `schedule_columns`. Raises SerializationError for a row that Segue did not write."""
    row = ScheduleColumns(*columns)
    try:
        return _read(tx, row)
    except UNREADABLE as error:
        name = bare(row.name)
        raise SerializationError(
            f"the schedule {name} cannot be read ({error}): its row was changed by hand or damaged. "
            f"Remove it (`segue schedules remove {name}`), and create it again"
        ) from error


def _read(tx: Transaction, row: ScheduleColumns) -> ScheduleRow:
    jitter, window = row.jitter, row.catch_up_window
    if not isinstance(jitter, (int, float)) or not isinstance(window, (int, float, NoneType)):
        raise TypeError(f"jitter {jitter!r} or catch-up window {window!r} is not a number")  # SQLite stores any value
    msgspec.convert(msgspec.json.decode(row.arguments), tuple[list[Any], dict[str, Any]])
    if row.tick_argument is not None:
        msgspec.json.decode(row.tick_argument)
    definition = Definition(
        workflow=row.workflow, plan=row.plan, tick_argument=row.tick_argument, arguments=row.arguments,
        expression=row.expression, timezone=row.timezone, anchor_at=_moment(tx, row.anchor_at),
        starts_at=tx.datetime(row.starts_at), ends_at=tx.datetime(row.ends_at), jitter=jitter, overlap=row.overlap,
        catch_up=row.catch_up, catch_up_window=window, tags=_decode_tags(row.tags) if row.tags else (),
    )  # fmt: skip
    return ScheduleRow(
        row.name, definition, row.source, bool(row.is_active), row.problem, tx.datetime(row.next_tick),
        tx.datetime(row.due_at), _moment(tx, row.created_at), _moment(tx, row.updated_at),
    )  # fmt: skip


def parameters_of(definition: Definition) -> dict[str, Any]:
    """The columns of a definition, as parameters of statements."""
    fields = msgspec.structs.asdict(definition)
    fields["tags"] = msgspec.json.encode(definition.tags).decode() if definition.tags else None
    return fields


def is_storable(text: str) -> bool:
    """Whether every database can store the text: no NUL, no halves of a character."""
    return "\0" not in text and not any("\ud800" <= letter <= "\udfff" for letter in text)


def find_schedule(tx: Transaction, name: str) -> ScheduleRow | None:
    """The schedule of this name."""
    if not is_storable(name):
        return None
    rows = tx.all("schedule_row", name=name)
    return read_schedule(tx, rows[0]) if rows else None


def _moment(tx: Transaction, value: Any) -> datetime:
    moment = tx.datetime(value)
    assert moment is not None
    return moment


def schedule_as_actor(name: str) -> str:
    """Who started a run that a schedule started."""
    return f"schedule {bare(name)}"
