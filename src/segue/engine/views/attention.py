"""What goes on and what is tried again, for a first look. Reads only; no count goes beyond MOST."""

from __future__ import annotations

from datetime import datetime

import msgspec

from segue.engine.stored import known_moment
from segue.jsonable import Jsonable
from segue.model import RunStatus
from segue.plan.namespaces import is_in
from segue.store.protocol import Transaction

MOST = 10_001
MOST_TIMED = 1000


class RetriedStep(Jsonable, msgspec.Struct, frozen=True):
    """A step that is tried again soon."""

    run_id: str
    step: int
    name: str
    next_at: datetime
    failures: int


def count_live_runs(tx: Transaction, *, prefix: str | None) -> dict[RunStatus, int]:
    """The runs that have not ended, by status; at most MOST in all."""
    return {RunStatus(status): count for status, count in tx.all("live_runs_by_status", prefix=prefix, most=MOST)}


def list_retried(tx: Transaction, *, prefix: str | None, limit: int = 10) -> list[RetriedStep]:
    """Steps whose next try comes soonest, among the MOST_TIMED steps that wait for a time."""
    rows = tx.all("retried_steps", most=MOST_TIMED, limit=limit)
    return [
        RetriedStep(str(run_id), step, name, known_moment(tx, at), failures)
        for run_id, step, name, at, failures, queue in rows if is_in(prefix, queue)
    ]  # fmt: skip
