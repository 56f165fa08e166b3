"""The recorded events: what people did to runs, and alerts.

A row of `segue_events` is written in the transaction of the act itself, so it exists if and only if the act happened.
"""

from __future__ import annotations

from typing import Any

import msgspec

from segue.engine.act import Act
from segue.observing.metrics import registry

ALERTS = frozenset(
    {"run.deadline", "run.late_start", "run.late_end", "step.late_start", "step.late_end", "step.schedule_to_start"}
)
"""The kinds of events that metrics count as alerts."""


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
        "insert_event", id=id_, at=act.now, kind=kind, run_id=run_id, step=step, detail=text, namespace=namespace
    )  # fmt: skip
    if kind in ALERTS:
        act.count(registry.ALERTS, kind)
    if act.journal is not None:
        act.journal.note(kind, run_id, step, detail=text, event_id=id_)
