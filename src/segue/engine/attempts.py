"""The record of attempts: every one that failed, was lost or printed something. A quiet success leaves no row."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

import msgspec

from segue.model import Outcome, Verdict
from segue.store.protocol import Transaction

_QUIET = (Verdict.EXPANDED, Verdict.SKIPPED)  # nothing to tell: it returned a plan, or its `when=` was false


def record_attempts(tx: Transaction, now: datetime, worker: str, outcomes: Sequence[Outcome]) -> None:
    """Write down how attempts ended, with their errors and the tail of their output."""
    for outcome in outcomes:
        if outcome.verdict in _QUIET and outcome.error is None and not outcome.output:
            continue
        tx.later(
            "put_attempt", run_id=outcome.run_id, step=outcome.step, attempt=outcome.attempt, status=outcome.verdict,
            worker=worker, finished_at=now,
            error=msgspec.json.encode(outcome.error).decode() if outcome.error is not None else None,
            output=outcome.output or None,
        )  # fmt: skip
