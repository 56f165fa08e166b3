"""An act: one transaction of the engine, with its time and the events and ids that it collects.

A *verb* is a function `(act, run_id, ...) -> Done`. Every other function that changes runs takes an act as well, as its
first argument. A function that only reads takes the transaction.
"""

from __future__ import annotations

from datetime import datetime

from segue.engine.ids import Ids, process_ids
from segue.observing.journal import Journal
from segue.observing.metrics.meter import metering
from segue.observing.metrics.registry import Metric
from segue.store.protocol import Transaction


class Act:
    """The state of the engine while it changes something.

    `ended_runs` are the runs that became final in it, `unfinished` those that need further transactions, and `counts`
    what metrics count. All are valid once it is committed.
    """

    __slots__ = ("counts", "ended_runs", "failed_runs", "ids", "journal", "loads_large_runs", "now", "tx", "unfinished")

    def __init__(
        self, tx: Transaction, now: datetime, journal: Journal | None = None, *, ids: Ids = process_ids
    ) -> None:
        self.tx = tx
        self.now = now
        self.journal = journal  # None if there is no observer or subscription
        self.ids = ids
        self.ended_runs: list[str] = []
        self.failed_runs: list[tuple[str, str | None]] = []  # with the JSON of the failure
        self.unfinished: list[str] = []
        self.counts: list[tuple[Metric, tuple[str, ...]]] = []
        self.loads_large_runs = False  # under their lock, because reading them ahead failed

    def count(self, metric: Metric, *values: str) -> None:
        """Add one to a counter when this is committed, if this process has metrics."""
        if metering.meter is not None:
            self.counts.append((metric, values))

    def new_id(self) -> str:
        """An id for a row that this act writes."""
        return self.ids.new(self.now)
