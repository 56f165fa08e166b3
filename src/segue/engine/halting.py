"""Halts that are acknowledged: after a pause has returned, an executor begins nothing of the run, also nothing queued.

A fenced executor asks before each attempt begins, and is refused; but its question may have been answered just now. One
that does not ask may have thousands of messages of a run in its broker. So a pause announces a halt to each executor
that was sent steps of the run: it raises the executor's epoch, in its own transaction. Every process of the executor
reads the epoch, then the runs that are halted, tells its children, and writes the epoch into its row among the workers.
From then on it gives messages of those runs back. The pause waits for these answers (`await_halts`), but not forever,
and names the processes that did not answer.

Invariant: a process reads the epoch before the halted runs. So the halt that it acknowledges is one that it knows.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from datetime import timedelta

from segue.engine.act import Act
from segue.engine.acts import Acts
from segue.engine.stored import moment_of

PATIENCE_SECONDS = 5.0
"""How long a pause waits for answers."""

SILENT_SECONDS = 10.0
"""A process whose last heartbeat is older is not waited for: it is dead or stopped, and its lease will show that."""

_LOOK_SECONDS = 0.02


def announce_halts(act: Act, run_id: str) -> None:
    """Announce a halt to each executor that was sent steps of the run.

    The caller holds the run's lock, and nothing of the run can be sent any more.
    """
    for executor in sorted(executor for (executor,) in act.tx.all("executors_to_halt", run_id=run_id)):
        act.tx.later("raise_halt", executor=executor)


def await_halts(engine: Acts, run_ids: Sequence[str], *, seconds: float = PATIENCE_SECONDS) -> list[str]:
    """Wait until the live processes of executors have acknowledged that these runs are paused.

    Returns the names of those that have not. A run of which no step is sent any more needs no answer.
    """
    end = time.monotonic() + seconds
    while True:
        silent, busy = _unanswered(engine, run_ids)
        if not busy or time.monotonic() >= end:
            return sorted(silent | busy)
        time.sleep(_LOOK_SECONDS)


def _unanswered(engine: Acts, run_ids: Sequence[str]) -> tuple[set[str], set[str]]:
    """The names of live processes that have not acknowledged: those that are silent, and those that may still do it."""
    now = engine.store.now()
    silent: set[str] = set()
    busy: set[str] = set()
    with engine.reading() as tx:
        found = {row for run_id in run_ids for row in tx.all("unanswered_halts", run_id=run_id, now=now)}
        for name, heartbeat_at in found:
            at = moment_of(tx, heartbeat_at)
            is_silent = at is None or at < now - timedelta(seconds=SILENT_SECONDS)
            (silent if is_silent else busy).add(str(name))
    return silent, busy
