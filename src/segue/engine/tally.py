"""What a process counts of the attempts that end in it, until it writes that into its own rows of `segue_statistics`.

These are hints. A process that dies takes what it has not written with it. Nothing is written for an attempt: a worker
writes with its heartbeat, and a process of an executor at most every ten seconds.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Sequence
from datetime import UTC, datetime
from typing import Any
from uuid import uuid4

from segue.engine.claiming.claimed import ClaimedRow
from segue.engine.histogram import Histogram, bucket_of, encoded, join
from segue.model import Attempt, Outcome, Verdict
from segue.store.protocol import Conversions, Row

MINUTE = 60
EVERY_SECONDS = 10.0
MOST_CELLS = 100  # of a minute; further tasks are counted together
MEASURED_EVERY = 8
"""Of the steps of one claim, which were ready at about the same time, so many count as having waited equally long."""

MOST_SECONDS = 1e9
MOST_BEGUN = 100_000  # attempts that are remembered

Key = tuple[int, str, str]  # the minute, the queue, the task
Origin = tuple[str, str, float, int]  # the queue, the task, how long a step was ready, and the bucket of that

_NOT_COUNTED = frozenset({Verdict.RELEASED, Verdict.SUSPENDED})  # the step comes again, and this was no try
_FAILED = frozenset({Verdict.FAILED, Verdict.LOST})


class Cell:
    """The attempts at one task that ended in one minute."""

    __slots__ = ("attempts", "failed", "is_new", "seconds", "took", "waited", "waits")

    def __init__(self) -> None:
        self.attempts = self.failed = 0
        self.seconds = self.waited = 0.0
        self.took: Histogram = {}
        self.waits: Histogram = {}
        self.is_new = True  # it has what was not written yet

    def count(self, seconds: float, has_failed: bool, waited: float | None = None, waited_bucket: int = 0) -> None:
        """Count an attempt, and how long its step had been ready, if that is known."""
        self.attempts += 1
        self.is_new = True
        if has_failed:
            self.failed += 1
        if not 0.0 <= seconds < MOST_SECONDS:  # a process outside may say anything
            seconds = 0.0
        self.seconds += seconds
        bucket, took = bucket_of(seconds) if seconds else 0, self.took
        took[bucket] = took.get(bucket, 0) + 1
        if waited is not None:
            self.waited += waited
            waits = self.waits
            waits[waited_bucket] = waits.get(waited_bucket, 0) + 1

    def add(self, other: Cell) -> None:
        """Add the attempts of another."""
        self.attempts += other.attempts
        self.failed += other.failed
        self.seconds += other.seconds
        self.waited += other.waited
        join(self.took, other.took)
        join(self.waits, other.waits)


class Tally:
    """The counts of one process.

    Example::

        tally.began(rows, now, store.conversions)
        tally.ended(outcomes, now)
        if tally.is_due(now):
            tx.each("put_statistics", tally.rows(tx.time))
            tally.was_written(now)  # once that is committed
    """

    def __init__(self) -> None:
        self._begun: dict[Attempt, Origin] = {}
        self._cells: dict[Key, Cell] = {}
        self._process, self._pid = uuid4().hex, os.getpid()
        self._written_at: datetime | None = None

    def began(self, rows: Sequence[ClaimedRow], now: datetime, conversions: Conversions) -> None:
        """These attempts were claimed."""
        begun = self._begun
        if len(begun) > MOST_BEGUN:
            begun.clear()
        before = ("", "")
        origin: Origin = ("", "", 0.0, 0)
        for index, row in enumerate(rows):
            task, queue = named = row.task, row.queue
            if named != before or index % MEASURED_EVERY == 0:
                waited = _seconds_since(row.ready_at, now, conversions)
                before, origin = named, (queue, task, waited, bucket_of(waited))
            begun[row[:3]] = origin

    def ended(self, outcomes: Iterable[Outcome], now: datetime) -> None:
        """These attempts have ended; those that this process did not claim are not counted."""
        minute, forget = int(now.timestamp()) // MINUTE, self._begun.pop
        before: Origin | None = None
        cell: Cell | None = None
        for outcome in outcomes:
            origin = forget((outcome.run_id, outcome.step, outcome.attempt), None)
            if origin is None or outcome.verdict in _NOT_COUNTED:
                continue
            if outcome.verdict == Verdict.SKIPPED and not outcome.seconds:  # its condition was false: nothing ran
                continue
            if cell is None or origin is not before:  # steps of one claim share it
                before, cell = origin, self._cell(minute, *origin[:2])
            cell.count(outcome.seconds, outcome.verdict in _FAILED, origin[2], origin[3])

    def ended_outside(self, outcomes: Iterable[Outcome], now: datetime, queue: str) -> None:
        """These attempts have ended at an executor: its queues begin with `queue`, and no more is known of them."""
        minute = int(now.timestamp()) // MINUTE
        for outcome in outcomes:
            if outcome.verdict not in _NOT_COUNTED:
                self._cell(minute, queue, "").count(outcome.seconds, outcome.verdict in _FAILED)

    def is_due(self, now: datetime) -> bool:
        """Whether there is something to write, and the last time is long enough ago."""
        if not self._cells:
            return False
        if self._written_at is None:
            self._written_at = now
        return not 0.0 <= (now - self._written_at).total_seconds() < EVERY_SECONDS

    def forget(self) -> None:
        """Forget everything: it could not be written, and nothing may fail because of it."""
        self._cells = {}

    def rows(self, time: Callable[[datetime], Any]) -> list[Row]:
        """The rows to be written."""
        if self._pid != os.getpid():  # a fork counts for itself
            self._process, self._pid = uuid4().hex, os.getpid()
        return [
            (
                MINUTE, time(datetime.fromtimestamp(minute * MINUTE, UTC)), self._process, queue, task, cell.attempts,
                cell.failed, cell.seconds, cell.waited, encoded(cell.took), encoded(cell.waits),
            )
            for (minute, queue, task), cell in self._cells.items()
            if cell.is_new
        ]  # fmt: skip

    def was_written(self, now: datetime) -> None:
        """All rows are committed: minutes that are over are forgotten."""
        self._written_at = now
        minute = int(now.timestamp()) // MINUTE
        self._cells = {key: cell for key, cell in self._cells.items() if key[0] == minute}
        for cell in self._cells.values():
            cell.is_new = False

    def _cell(self, minute: int, queue: str, task: str) -> Cell:
        found = self._cells.get((minute, queue, task))
        if found is not None:
            return found
        if len(self._cells) >= MOST_CELLS:
            if len(self._cells) >= 2 * MOST_CELLS:
                queue = ""
            return self._cells.setdefault((minute, queue, ""), Cell())
        return self._cells.setdefault((minute, queue, task), Cell())


def _seconds_since(raw: Any, now: datetime, conversions: Conversions) -> float:
    try:
        since = conversions.datetime(raw)
    except (TypeError, ValueError):  # a damaged time
        return 0.0
    return 0.0 if since is None else max((now - since).total_seconds(), 0.0)
