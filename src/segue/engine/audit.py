"""The recorded events: what people did to runs, and alerts.

A row of `segue_events` is written in the transaction of the act itself, so it exists if and only if the act happened.
"""

from __future__ import annotations

from typing import Any

import msgspec

from segue.engine.act import Act
from segue.engine.acting import audit_detail
from segue.observing.metrics import registry
from segue.plan.namespaces import bare, namespace_of

ALERTS = frozenset(
    {"run.deadline", "run.late_start", "run.late_end", "step.late_start", "step.late_end", "step.schedule_to_start"}
)
"""The kinds of events that metrics count as alerts."""

SUBJECTS = ("schedule", "limit", "queue", "retention", "subscription")
"""The fields of a detail that have a stored name, with its namespace: what an event is about that has no run."""


def record_event(
    act: Act, kind: str, *, run_id: str | None = None, step: int | None = None,
    id_: str | None = None, namespace: str = "", **detail: Any,
) -> None:  # fmt: skip
    """Record an event: its kind ("run.paused", "step.late_start"), its run or step, and further details.

    `namespace` is that of an event which has no run. `detail` must be JSON. An act that must happen only once gives the
    event an `id_`, and checks whether it exists.
    """
    id_, text = id_ or act.new_id(), msgspec.json.encode(detail).decode() if detail else None
    act.tx.later(
        "insert_event", id=id_, at=act.now, kind=kind, run_id=run_id, step=step, detail=text, namespace=namespace,
        actor=detail.get("actor"),
    )  # fmt: skip
    if kind in ALERTS:
        act.count(registry.ALERTS, kind)
    if act.journal is not None:
        act.journal.note(kind, run_id, step, detail=text, event_id=id_)


def record_change(act: Act, kind: str, name: str, *, actor: str | None, reason: str | None, **detail: Any) -> None:
    """Record what a person did to something that is no run: "limit.set", and the stored name of the limit."""
    subject = kind.partition(".")[0]
    said = {subject: name} | detail | audit_detail(actor, reason)
    record_event(act, kind, namespace=namespace_of(name), **said)


def without_namespaces(detail: dict[str, Any]) -> dict[str, Any]:
    """The detail of an event without a run, as it is shown."""
    return {key: bare(value) if key in SUBJECTS and isinstance(value, str) else value for key, value in detail.items()}


def namespace_in(detail: dict[str, Any]) -> str:
    """The namespace of what an event without a run is about."""
    return next((namespace_of(str(detail[key])) for key in SUBJECTS if key in detail), "")
