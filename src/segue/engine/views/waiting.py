"""What needs people's attention: steps that wait for a message, and recorded events. Reads only."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any

import msgspec

from segue.engine.audit import without_namespaces
from segue.engine.stored import known_moment, moment_of, object_of
from segue.engine.views.select import FIRST_ID, LAST_ID
from segue.jsonable import Jsonable
from segue.plan.namespaces import bare, namespace_of
from segue.store.protocol import Transaction

ALERTS = (
    "run.late_start",
    "run.late_end",
    "run.deadline",
    "step.late_start",
    "step.late_end",
    "step.schedule_to_start",
    "schedule.stuck",
)
"""The kinds of events that are alerts: something is later than it was allowed to be."""


MOST_KINDS = 20
"""Events of more kinds than this are looked for among all events."""


class WaitInfo(Jsonable, msgspec.Struct, frozen=True):
    """A step that waits for a message. Times are aware UTC."""

    run_id: str
    workflow: str
    key: str | None  # of the run
    step: int
    step_name: str
    name: str  # of the message
    since: datetime
    until: datetime | None  # when it gives up
    namespace: str = ""


class EventInfo(Jsonable, msgspec.Struct, frozen=True):
    """A recorded event: what a person did to a run, or an alert. Times are aware UTC."""

    id: str
    at: datetime
    kind: str
    run_id: str | None
    workflow: str | None
    step: int | None  # None: about the run
    step_name: str | None
    detail: dict[str, Any]
    namespace: str = ""


class MessageInfo(Jsonable, msgspec.Struct, frozen=True):
    """A message that was sent to a run. Times are aware UTC."""

    position: int  # in the order of sending, from 0
    name: str
    key: str
    value: str  # JSON, or where it lies in the payload store
    sent_at: datetime
    taken_by: int | None  # the step that took it


def list_messages(tx: Transaction, run_id: str, *, after: int = -1, limit: int = 50) -> list[MessageInfo]:
    """The messages that were sent to a run, in the order of sending, from the one after `after`."""
    return [
        MessageInfo(position, name, key, value, known_moment(tx, sent_at), taken_by)
        for position, name, key, value, sent_at, taken_by in tx.all(
            "messages_of_run", run_id=run_id, after=after, limit=limit
        )
    ]


def waits_after(
    tx: Transaction, *, after: tuple[str, int] | None = None, workflow: str | None = None, name: str | None = None,
    limit: int = 50, prefix: str | None = None,
) -> list[WaitInfo]:  # fmt: skip
    """The steps that wait for a message, in the order of their runs and numbers, after a (run, step)."""
    run_id, step = after or (FIRST_ID, -1)
    asked: dict[str, Any] = {"after_run": run_id, "after_step": step, "workflow": workflow, "name": name}
    found = [_wait(tx, *row) for row in tx.all("waits_after", **asked, limit=limit, prefix=prefix)]
    return sorted(found, key=lambda wait: (wait.run_id, wait.step))[:limit]


def list_waits(
    tx: Transaction,
    *,
    workflow: str | None = None,
    name: str | None = None,
    limit: int = 1000,
    prefix: str | None = None,
) -> list[WaitInfo]:
    """The steps that wait for a message, also inside their tasks, those of the oldest runs first."""
    rows = tx.all("list_waits", workflow=workflow, name=name, limit=limit, prefix=prefix)
    found = [_wait(tx, *row) for row in rows]
    return sorted(found, key=lambda wait: (wait.run_id, wait.name, wait.since, wait.step))[:limit]


def list_events(
    tx: Transaction, *, run_id: str | None = None, kinds: Sequence[str] = (), actor: str | None = None,
    before: str | None = None, limit: int = 50, prefix: str | None = None,
) -> list[EventInfo]:  # fmt: skip
    """Recorded events, the newest first: of one run, of these kinds, by an actor; `before` is the last id of the
    previous page.
    """
    asked: dict[str, Any] = {"before": before or LAST_ID, "limit": limit, "kinds": list(kinds), "every_kind": not kinds}
    asked |= {"prefix": prefix, "namespace": None if prefix is None else namespace_of(prefix)}
    asked |= {"run_id": run_id, "actor": actor}
    if run_id is not None:
        return [_event(tx, row) for row in tx.all("list_events_of_run", **asked)]
    if actor is not None:
        return [_event(tx, row) for row in tx.all("list_events_of_actor", **asked)]
    if 0 < len(kinds) <= MOST_KINDS:  # of each kind by its index: rare ones are found among millions of others
        return [_event(tx, row) for row in tx.all("list_events_of_kinds", **asked)]
    return [_event(tx, row) for row in tx.all("list_events", **asked)]


def _wait(tx: Transaction, *row: Any) -> WaitInfo:
    run_id, workflow, key, step, step_name, event, since, until = row
    return WaitInfo(
        str(run_id), bare(workflow), key, step, step_name, event, known_moment(tx, since), moment_of(tx, until),
        namespace_of(workflow),
    )  # fmt: skip


def _event(tx: Transaction, row: Any) -> EventInfo:
    id_, at, kind, about, workflow, step, step_name, text, namespace = row
    detail = object_of(text)
    if about is None:
        detail = without_namespaces(detail)
    return EventInfo(
        str(id_), known_moment(tx, at), kind, None if about is None else str(about),
        None if workflow is None else bare(workflow), step, step_name, detail,
        namespace if workflow is None else namespace_of(workflow),
    )  # fmt: skip
