"""What the task of a step has recorded inside it, as values. Reads only."""

from __future__ import annotations

from datetime import datetime

import msgspec

from segue.engine.checkpoints import checkpoints_of
from segue.jsonable import Jsonable
from segue.store.protocol import Transaction


class CheckpointInfo(Jsonable, msgspec.Struct, frozen=True):
    """A result, a sleep or a wait that a task has recorded. Times are aware UTC."""

    step: int
    number: int  # from 1, in the order of the calls
    kind: str  # checkpoint, sleep, wait
    name: str  # of the checkpoint, or of the message; '' for a sleep
    attempt: int  # that recorded it; 0: one of the run that this one is a fork of
    started_at: datetime
    due_at: datetime | None  # when a sleep is over, or a wait gives up
    finished_at: datetime | None  # None for a sleep, and for a wait that has not ended
    value: str | None  # JSON, or where it lies in the payload store


def list_checkpoints(tx: Transaction, run_id: str, step: int) -> list[CheckpointInfo]:
    """What the task of a step has recorded, in order."""
    return [
        CheckpointInfo(
            step, each.ordinal + 1, each.kind, each.name, each.attempt, each.started_at, each.due_at, each.finished_at,
            each.value,
        )
        for each in checkpoints_of(tx, run_id, step)
    ]  # fmt: skip


def count_checkpoints(tx: Transaction, run_id: str) -> dict[int, int]:
    """How much the tasks of a run have recorded inside their steps: the steps that have records, and their number."""
    return {step: int(count) for step, count in tx.all("count_checkpoints", run_id=run_id)}
