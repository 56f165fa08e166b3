"""Who listens: observers in this process, and the subscriptions in the database.

A transaction is given a journal only when somebody does. What it notes is told twice. Before the commit, every event
that a subscription wants starts a run of its own, in the same transaction: it is there if and only if what happened is.
After the commit the observers of this process are told.

The subscriptions are remembered, and read again after a second. So a new one counts from about a second later on, and
a transaction pays for no look at them.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from datetime import datetime
from functools import partial

from segue.engine.happenings import describe
from segue.engine.subscriptions import Subscribed, active, start_notifications
from segue.observing.journal import Journal
from segue.observing.observers import observers
from segue.store.protocol import Store, Transaction

REREAD_SECONDS = 1.0
_NONE: frozenset[str] = frozenset()


class Watch:
    """What one process knows of those who listen to one database."""

    def __init__(self, store: Store, *, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._store = store
        self._monotonic = monotonic
        self._subscribed: list[Subscribed] = []
        self._kinds = _NONE  # that a subscription wants
        self._reread_at = float("-inf")

    def open(self, tx: Transaction, now: datetime) -> Journal | None:
        """Give the transaction a journal, when somebody listens."""
        if self._monotonic() >= self._reread_at:
            self._reread(tx)
        wanted = observers.wanted | self._kinds if self._kinds else observers.wanted
        if wanted:
            tx.journal = Journal(wanted, now)
        return tx.journal

    def notify(self, tx: Transaction, journal: Journal) -> int:
        """Start the runs that subscriptions ask for, in this transaction; returns how many."""
        if not self._kinds:
            return 0
        wanted = [each for each in journal.happenings if each.kind in self._kinds]
        return start_notifications(self._store, tx, self._subscribed, wanted, journal.at) if wanted else 0

    def publish(self, journal: Journal) -> None:
        """Have the observers of this process told, after the commit."""
        if journal.happenings and observers.wanted:
            observers.publish(journal.happenings, journal.at, partial(describe, self._store))

    @contextmanager
    def over(
        self, opened: AbstractContextManager[Transaction], now: datetime, *, is_ours: bool = True
    ) -> Iterator[Transaction]:
        """All of this around a transaction. One that its owner commits (not `is_ours`) tells no observers."""
        with opened as tx:
            journal = self.open(tx, now)
            yield tx
            if journal is not None:
                self.notify(tx, journal)
        if journal is not None and is_ours:
            self.publish(journal)

    def forget(self) -> None:
        """Read the subscriptions at the next transaction: this process has changed them."""
        self._reread_at = float("-inf")

    def _reread(self, tx: Transaction) -> None:
        self._subscribed = active(tx)
        self._kinds = _NONE.union(*(each.kinds for each in self._subscribed))
        self._reread_at = self._monotonic() + REREAD_SECONDS
