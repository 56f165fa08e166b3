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
from typing import NamedTuple

from segue.engine.act import Act
from segue.engine.acts import Acts
from segue.engine.stored import moment_of

PATIENCE_SECONDS = 5.0
"""How long a pause waits for answers."""

SILENT_SECONDS = 10.0
"""A process whose last heartbeat is older is not waited for: it is dead or stopped, and its lease will show that."""

_LOOK_SECONDS = 0.02


class Halt(NamedTuple):
    """What the processes of an executor must acknowledge."""

    executor: str
    epoch: int


def announce_halts(act: Act, run_id: str) -> tuple[Halt, ...]:
    """Announce a halt to each executor that was sent steps of the run.

    The caller holds the run's lock, and nothing of the run can be sent any more.
    """
    executors = sorted(executor for (executor,) in act.tx.all("executors_to_halt", run_id=run_id))
    return tuple(
        Halt(executor, int(epoch))
        for executor in executors
        for (epoch,) in act.tx.all("raise_halt", executor=executor)
    )  # fmt: skip


def await_halts(engine: Acts, halts: Sequence[Halt], *, seconds: float = PATIENCE_SECONDS) -> list[str]:
    """Wait until every live process of these executors has acknowledged. Returns the names of those that have not."""
    end = time.monotonic() + seconds
    while True:
        silent, busy = unanswered(engine, halts)
        if not busy or time.monotonic() >= end:
            return sorted(silent + busy)
        time.sleep(_LOOK_SECONDS)


def unanswered(engine: Acts, halts: Sequence[Halt]) -> tuple[list[str], list[str]]:
    """The names of live processes that have not acknowledged: those that are silent, and those that may still do it."""
    now = engine.store.now()
    silent: list[str] = []
    busy: list[str] = []
    with engine.reading() as tx:
        for executor, epoch in halts:
            for name, heartbeat_at in tx.all("unanswered_halts", executor=executor, epoch=epoch, now=now):
                at = moment_of(tx, heartbeat_at)
                is_silent = at is None or at < now - timedelta(seconds=SILENT_SECONDS)
                (silent if is_silent else busy).append(str(name))
    return silent, busy
