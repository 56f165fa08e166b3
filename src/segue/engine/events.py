"""What is written down as having happened: what people did to runs, and alerts.

A row of `segue_events` is written in the transaction of the act itself, so it is there if and only if the act is.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any

import msgspec

from segue.engine.ids import new_id
from segue.store.protocol import Transaction


def record_event(
    tx: Transaction, now: datetime, kind: str, *, run_id: str | None = None, step: int | None = None,
    id_: str | None = None, **detail: Any,
) -> None:  # fmt: skip
    """Write down an event: its kind ("run.paused", "step.late_start"), what it is about, and what else is to be known.

    `detail` must be what JSON can hold. An act that must happen once gives the event an `id_` that it can look for.
    """
    id_, text = id_ or new_id(now), msgspec.json.encode(detail).decode() if detail else None
    tx.later("insert_event", id=id_, at=now, kind=kind, run_id=run_id, step=step, detail=text)
    if tx.journal is not None:
        tx.journal.note(kind, run_id, step, detail=text, event_id=id_)
