"""What running attempts print, while it is read.

Normally the output of an attempt is written with its end. A reader *watches* a run: it says so in `segue_watches`, for
some seconds, and again before they are over. Workers read that in the look that they make anyway, for attempts that are
to end, and write the end of what the watched attempts have printed, once a second at most. Without readers, there is no
further statement.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import NamedTuple

from segue.engine.act import Act
from segue.engine.stored import moment_of
from segue.model import Attempt
from segue.store.protocol import Transaction

WATCH_SECONDS = 10.0
KEPT_FOR = timedelta(minutes=10)


class Printed(NamedTuple):
    """The end of what a running attempt has printed."""

    attempt: Attempt
    text: str


class LiveOutput(NamedTuple):
    """The same, as it was written last."""

    attempt: int
    text: str
    updated_at: datetime | None


def watch_run(act: Act, run_id: str, *, seconds: float = WATCH_SECONDS) -> bool:
    """Let workers write what the attempts of a run print, for so long from now. False if they did that already."""
    rows = act.tx.all("watched_until", run_id=run_id)
    before = moment_of(act.tx, rows[0][0]) if rows else None
    if before is not None and before - act.now > timedelta(seconds=seconds / 2):
        return False
    act.tx.later("watch_run", run_id=run_id, until=act.now + timedelta(seconds=seconds))
    return before is None or before <= act.now


def put_printed(act: Act, printed: Printed) -> None:
    """Write what a running attempt has printed."""
    run_id, step, attempt = printed.attempt
    act.tx.later("put_live_output", run_id=run_id, step=step, attempt=attempt, output=printed.text, now=act.now)


def live_output(tx: Transaction, run_id: str, step: int) -> LiveOutput | None:
    """What was written last of an attempt at a step; None if nothing was."""
    for attempt, text, updated_at in tx.all("live_output", run_id=run_id, step=step):
        return LiveOutput(attempt, text, moment_of(tx, updated_at))
    return None


def prune_watches(act: Act) -> int:
    """Delete what is not read any more. Returns 0: nothing is left to do."""
    act.tx.later("prune_watches", before=act.now)
    act.tx.later("prune_live_output", before=act.now - KEPT_FOR)
    return 0
