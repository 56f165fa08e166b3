"""When observers hear of what happens in a transaction of the project: after its commit, and not after a rollback.

Observers have a thread of their own, which sees only what is committed. In tests nothing is: the events are described
at once, in the test's own thread.
"""

from __future__ import annotations

from functools import partial
from typing import Any

from django.db import transaction

from segue.contrib.django.addresses import connection_of
from segue.engine.act import Act
from segue.engine.notes import describe
from segue.engine.watch import Watch
from segue.observing.observers import observers
from segue.store.protocol import Store


class ProjectWatch(Watch):
    """Waits for the commit of the project's transaction."""

    def __init__(self, store: Store, alias: str, **given: Any) -> None:
        super().__init__(store, **given)
        self._alias = alias

    def publish(self, act: Act) -> None:
        """Pass the events to the observers when they are true for everybody."""
        if act.journal is not None and connection_of(self._alias).in_atomic_block:
            transaction.on_commit(partial(super().publish, act), using=self._alias, robust=True)
        else:
            super().publish(act)


class PromptWatch(Watch):
    """Describes events where they happen, for tests."""

    def publish(self, act: Act) -> None:
        """Pass the events to the observers."""
        journal = act.journal
        if journal is None or not observers.wanted:
            return
        raw_events = [each for each in journal.raw_events if each.kind in observers.wanted]
        if raw_events:
            events = describe(self._store, raw_events, journal.at, prefix=self._prefix)
            observers.publish(raw_events, journal.at, lambda *_: events)
