"""What people should look at: steps that wait for a message, and what was written down as an event. Reads only."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any

import msgspec

from segue.engine.views.select import LAST_ID
from segue.store.protocol import Store, Transaction

ALERTS = (
    "run.late_start",
    "run.late_end",
    "run.deadline",
    "step.late_start",
    "step.late_end",
    "step.schedule_to_start",
    "schedule.stuck",
)
"""The events that nobody asked for by hand: something is later than it was allowed to be."""


class WaitInfo(msgspec.Struct, frozen=True):
    """A step that waits for a message. Times are aware UTC."""

    run_id: str
    workflow: str
    key: str | None  # of the run
    step: int
    step_name: str
    name: str  # of the message
    since: datetime
    until: datetime | None  # when it gives up


class EventInfo(msgspec.Struct, frozen=True):
    """Something that was written down: what a person did to a run, or an alert. Times are aware UTC."""

    id: str
    at: datetime
    kind: str
    run_id: str | None
    workflow: str | None
    step: int | None  # None: about the run
    step_name: str | None
    detail: dict[str, Any]


def list_waits(
    store: Store, tx: Transaction, *, workflow: str | None = None, name: str | None = None, limit: int = 1000
) -> list[WaitInfo]:
    """The steps that wait for a message, those of the oldest runs first."""
    return [
        WaitInfo(
            str(run_id), run_workflow, key, step, step_name, event, _moment(store, since), store.datetime(until)
        )
        for run_id, run_workflow, key, step, step_name, event, since, until in tx.all(
            "list_waits", workflow=workflow, name=name, limit=limit
        )
    ]  # fmt: skip


def list_events(
    store: Store, tx: Transaction, *, run_id: str | None = None, kinds: Sequence[str] = (), before: str | None = None,
    limit: int = 50,
) -> list[EventInfo]:  # fmt: skip
    """What was written down, newest first: of one run, of these kinds; `before` is the last id of the page before."""
    asked: dict[str, Any] = {"before": before or LAST_ID, "limit": limit, "kinds": list(kinds), "every_kind": not kinds}
    of_run = {} if run_id is None else {"run_id": run_id}
    rows = tx.all("list_events_of_run" if of_run else "list_events", **of_run, **asked)
    return [
        EventInfo(
            str(id_), _moment(store, at), kind, None if about is None else str(about), workflow, step, step_name,
            msgspec.json.decode(detail) if detail else {},
        )
        for id_, at, kind, about, workflow, step, step_name, detail in rows
    ]  # fmt: skip


def _moment(store: Store, value: Any) -> datetime:
    moment = store.datetime(value)
    assert moment is not None  # the schema says so
    return moment
