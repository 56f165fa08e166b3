"""Delivers events: to the observers in this process, and to the subscriptions in the database.

A transaction gets a journal only if there is an observer or subscription. Its notes are used twice. Before the commit,
every event that a subscription wants starts a run, in the same transaction: the run exists if and only if the event
happened. After the commit the observers of this process are called.

The subscriptions are cached, and read again after a second. A new one is therefore used within about a second, and a
transaction does not pay for reading them.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from datetime import datetime
from functools import partial

from segue.engine.act import Act
from segue.engine.ids import Ids, process_ids
from segue.engine.measuring import runs_ended
from segue.engine.notes import describe
from segue.engine.subscriptions import Subscribed, active, start_notifications
from segue.observing.journal import Journal
from segue.observing.metrics.meter import metering
from segue.observing.observers import observers
from segue.store.protocol import Store, Transaction

REREAD_SECONDS = 1.0
_NONE: frozenset[str] = frozenset()


class Watch:
    """The observers and subscriptions of one database, as this process knows them."""

    def __init__(
        self, store: Store, *, ids: Ids = process_ids, monotonic: Callable[[], float] = time.monotonic,
        prefix: str | None = None,
    ) -> None:  # fmt: skip
        self._store = store
        self._prefix = prefix  # of the namespace of the observers; None: all
        self._ids = ids
        self._monotonic = monotonic
        self._subscribed: list[Subscribed] = []
        self._kinds = _NONE  # that a subscription wants
        self._reread_at = float("-inf")

    @property
    def is_quiet(self) -> bool:
        """Whether there are no listeners, as read a short time ago."""
        return not (observers.wanted or self._kinds) and self._monotonic() < self._reread_at

    def begin(self, tx: Transaction, now: datetime) -> Act:
        """An act in this transaction, with a journal if there is an observer or subscription."""
        if self._monotonic() >= self._reread_at:
            self._reread(tx)
        wanted = observers.wanted | self._kinds if self._kinds else observers.wanted
        return Act(tx, now, Journal(wanted, now) if wanted else None, ids=self._ids)

    def notify(self, act: Act) -> int:
        """Start the runs of the subscriptions, in this transaction. Returns how many."""
        if act.journal is None or not self._kinds:
            return 0
        wanted = [each for each in act.journal.raw_events if each.kind in self._kinds]
        return start_notifications(act, self._subscribed, wanted) if wanted else 0

    def publish(self, act: Act) -> None:
        """Pass the events to the observers of this process, and failures to its log, and count, after the commit."""
        if metering.meter is not None:
            for metric, values in act.counts:
                metering.add(metric, *values)
        if act.ended_runs:
            runs_ended(self._store, act.ended_runs)
        if act.failed_runs:
            # `logging` takes milliseconds to import, and is needed only after an error.
            from segue.observing.failed_runs import say_failed  # noqa: PLC0415

            say_failed(act.failed_runs)
        journal = act.journal
        if journal is None or not journal.raw_events or not observers.wanted:
            return
        try:
            observers.publish(journal.raw_events, journal.at, partial(describe, self._store, prefix=self._prefix))
        except Exception:  # noqa: BLE001 - the commit is done, whether observers can be called or not
            from segue.observing.harmless_log import get_logger  # noqa: PLC0415 - as above

            get_logger("segue.engine").exception("the observers do not receive these events")

    @contextmanager
    def over(
        self, opened: AbstractContextManager[Transaction], now: datetime, *, is_ours: bool = True
    ) -> Iterator[Act]:
        """An act, with all of this around it. If its owner commits it (not `is_ours`), observers are not called."""
        with opened as tx:
            act = self.begin(tx, now)
            yield act
            self.notify(act)
        if is_ours:
            self.publish(act)

    def forget(self) -> None:
        """Read the subscriptions at the next transaction: this process has changed them."""
        self._reread_at = float("-inf")

    def _reread(self, tx: Transaction) -> None:
        self._subscribed = active(tx)
        self._kinds = _NONE.union(*(each.kinds for each in self._subscribed))
        self._reread_at = self._monotonic() + REREAD_SECONDS
