"""Schedules and ticks as they stand in the database."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any

import msgspec

from segue.scheduler.definition import Definition
from segue.scheduler.ticking import Ticking
from segue.store.protocol import Store, Transaction

_decode_tags = msgspec.json.Decoder(tuple[str, ...]).decode


class ScheduleRow(msgspec.Struct, frozen=True):
    """A schedule: its definition and its state."""

    name: str
    definition: Definition
    source: str  # code or api
    is_active: bool
    problem: str | None  # why its next tick, or its queue, cannot be decided, as far as that was told
    next_tick: datetime | None
    due_at: datetime | None
    created_at: datetime
    updated_at: datetime

    def ticking(self) -> Ticking:
        """Its ticks, with jitter and catch-up."""
        return ticking_of(self.name, self.definition)


def ticking_of(name: str, definition: Definition) -> Ticking:
    """The ticks of a schedule that is defined so; raises ConfigError when its expression is not understood."""
    return Ticking(
        name, definition.timetable(), jitter=definition.jitter, catch_up=definition.catch_up,
        window=definition.catch_up_window,
    )  # fmt: skip


def read_schedule(store: Store, row: Sequence[Any]) -> ScheduleRow:
    """A row of `schedule_columns`."""
    (
        name, workflow, plan, tick_argument, arguments, expression, timezone, anchor_at, starts_at, ends_at, jitter,
        is_active, overlap, catch_up, window, tags, source, problem, next_tick, due_at, created_at, updated_at,
    ) = row  # fmt: skip
    definition = Definition(
        workflow=workflow, plan=plan, tick_argument=tick_argument, arguments=arguments, expression=expression,
        timezone=timezone, anchor_at=_moment(store, anchor_at), starts_at=store.datetime(starts_at),
        ends_at=store.datetime(ends_at), jitter=jitter, overlap=overlap, catch_up=catch_up, catch_up_window=window,
        tags=_decode_tags(tags) if tags else (),
    )  # fmt: skip
    return ScheduleRow(
        name, definition, source, bool(is_active), problem, store.datetime(next_tick), store.datetime(due_at),
        _moment(store, created_at), _moment(store, updated_at),
    )  # fmt: skip


def parameters_of(definition: Definition) -> dict[str, Any]:
    """The columns of a definition, as statements want them."""
    fields = msgspec.structs.asdict(definition)
    fields["tags"] = msgspec.json.encode(definition.tags).decode() if definition.tags else None
    return fields


def is_storable(text: str) -> bool:
    """Whether every database can hold it: no NUL, no halves of a character."""
    return "\0" not in text and not any("\ud800" <= letter <= "\udfff" for letter in text)


def find_schedule(store: Store, tx: Transaction, name: str) -> ScheduleRow | None:
    """The schedule of this name."""
    if not is_storable(name):
        return None
    rows = tx.all("schedule_row", name=name)
    return read_schedule(store, rows[0]) if rows else None


def _moment(store: Store, value: Any) -> datetime:
    moment = store.datetime(value)
    assert moment is not None
    return moment
