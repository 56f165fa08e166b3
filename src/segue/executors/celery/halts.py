"""Halts in the processes of a worker: messages of runs that are paused or being ended do not run.

The main process reads which runs are halted, and says in memory that its children share when that has changed. A child
looks there before each task, which costs no query; only after a change it reads the runs itself. When both know it, the
node acknowledges (engine/halting.py). Steps that are turned away are given back, and sent again after a resume.
"""

from __future__ import annotations

import struct
import time
from collections import deque
from typing import TYPE_CHECKING

from segue.engine.executing import recall_steps
from segue.errors import PASSING_ERRORS
from segue.model import Attempt, Outcome, Verdict
from segue.observing.harmless_log import get_logger

if TYPE_CHECKING:
    from segue.executors.celery.door import Door

logger = get_logger("segue.celery")

SETTLE_SECONDS = 0.05
"""A child that looked just before the change has begun its task by then."""

RECALLED_AT_ONCE = 500
_PLACE = 40  # of the epoch, in the memory that children share
_EPOCH = struct.Struct("<q")


class Halts:
    """What this process knows of halted runs."""

    def __init__(self, door: Door) -> None:
        self._door = door
        self._runs: frozenset[str] = frozenset()
        self._finalizers: frozenset[tuple[str, int]] = frozenset()  # their steps that run nevertheless
        self._epoch = 0  # of what it knows
        self._told: tuple[str, int] | None = None  # what this node acknowledged
        self._turned_away: deque[Attempt] = deque()

    def look(self, worker_id: str | None) -> None:
        """See which runs are halted, acknowledge that, and give back the steps whose messages were turned away."""
        epoch = self._read()
        memory = self._door.shared
        if memory is not None:
            _EPOCH.pack_into(memory, _PLACE, epoch)
        if worker_id is not None and self._told != (worker_id, epoch):
            if epoch:
                time.sleep(SETTLE_SECONDS)
            with self._door.engine.store.transaction() as tx:
                tx.all("acknowledge_halts", worker_id=worker_id, epoch=epoch)
            self._told = worker_id, epoch
        while self._turned_away:
            self._give_back()

    def turn_away(self, attempt: Attempt) -> bool:
        """Whether the message of an attempt is not to run. The node gives its step back. For the main process."""
        if not self._is_halted(attempt):
            return False
        self._turned_away.append(attempt)
        return True

    def stops(self, attempt: Attempt) -> bool:
        """The same, asked where the task would run, directly before that."""
        if not self._door.is_child:
            return self.turn_away(attempt)
        try:
            if self._shared_epoch != self._epoch:
                self._read()
            if not self._is_halted(attempt):
                return False
            self._read()  # its run may have been resumed since
            if not self._is_halted(attempt):
                return False
            engine = self._door.engine
            if not engine.act(recall_steps, [attempt]) and self._is_taken_here(attempt):
                engine.report([Outcome(*attempt, Verdict.RELEASED)], by=self._door.host)
        except PASSING_ERRORS as error:
            logger.warning("A task does not run, because it is not known whether its run is paused: %s", error)
        return True

    def _is_taken_here(self, attempt: Attempt) -> bool:
        """Whether the node took this delivery for a task that runs. Another worker may run another delivery of it."""
        node_id = self._door.node_id
        if node_id is None:
            return False
        run_id, step, number = attempt
        with self._door.engine.reading() as tx:
            return bool(tx.all("is_begun_by", run_id=run_id, step=step, attempt=number, worker_id=node_id))

    def _is_halted(self, attempt: Attempt) -> bool:
        run_id, step, _ = attempt
        return run_id in self._runs and (run_id, step) not in self._finalizers

    @property
    def _shared_epoch(self) -> int:
        memory = self._door.shared
        epoch: int = self._epoch if memory is None else _EPOCH.unpack_from(memory, _PLACE)[0]
        return epoch

    def _read(self) -> int:
        with self._door.engine.reading() as tx:
            epoch = next((int(epoch) for (epoch,) in tx.all("halt_epoch", executor=self._door.name)), 0)
            halted = [(str(run_id), has_finalizers) for run_id, has_finalizers in tx.all("halted_runs")]
            self._finalizers = frozenset(
                (run_id, step)
                for run_id, has_finalizers in halted
                if has_finalizers
                for (step,) in tx.all("finalizers_at_executors", run_id=run_id)
            )
            self._runs = frozenset(run_id for run_id, _ in halted)
        self._epoch = epoch  # after the runs: a child that is forked in between reads them itself
        return epoch

    def _give_back(self) -> None:
        count = min(len(self._turned_away), RECALLED_AT_ONCE)
        attempts = [self._turned_away.popleft() for _ in range(count)]
        try:
            self._door.engine.act(recall_steps, attempts)
        except BaseException:
            self._turned_away.extendleft(attempts)
            raise
