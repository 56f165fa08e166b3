"""Which messages may be lost, of an executor whose processes report by themselves: sent, and not begun in time.

Those that may still wait in the broker are not: behind slow tasks, a message may wait for hours, and copies of it would
pile up. The broker can only say how many messages a queue has, not whose they are: it is believed for a while.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from datetime import timedelta
from typing import NamedTuple

from segue.engine.engine import Engine
from segue.engine.executing import Overdue, overdue, renew_all
from segue.model import Attempt

AT_ONCE = 500
RESENT_AT_ONCE = 100  # in one transaction, which locks their runs
SENT_WITHIN = timedelta(seconds=1)
BELIEVED_LEASES = 12
"""For so many leases a step is not sent again, if the broker may have its message."""


class Lateness(NamedTuple):
    """Judges what is late at one executor, in one namespace."""

    executor: str
    prefix: str  # of its queues' names, as they are stored
    lease_seconds: float
    depths: Callable[[Sequence[str]], Mapping[str, int]]  # how many messages each queue has; none that has none

    def renew(self, engine: Engine, attempts: Iterable[Attempt]) -> None:
        """Let attempts be late only when another lease has passed."""
        until = engine.store.now() + timedelta(seconds=self.lease_seconds)
        engine.act(renew_all, sorted(attempts), until=until)

    def lost(self, engine: Engine) -> Iterator[list[Attempt]]:
        """The attempts to be sent again, in parts. Those that may wait in the broker are renewed."""
        with engine.reading() as tx:
            found = overdue(tx, self.executor, engine.store.now(), prefix=self.prefix, limit=AT_ONCE)
        waiting = set(self._waiting(engine, found))
        if waiting:
            self.renew(engine, waiting)
        lost = [late.attempt for late in found if late.attempt not in waiting]
        for first in range(0, len(lost), RESENT_AT_ONCE):
            yield lost[first : first + RESENT_AT_ONCE]

    def _waiting(self, engine: Engine, found: Sequence[Overdue]) -> Iterator[Attempt]:
        """Those whose messages may wait in the broker.

        A queue gives out the oldest first, so what it has are the messages that were sent last, within the time that a
        process may take between its commit and its message.
        """
        believed = engine.store.now() - timedelta(seconds=BELIEVED_LEASES * self.lease_seconds)
        by_queue: dict[str, list[Overdue]] = defaultdict(list)
        for late in found:
            if late.sent_at is not None and late.sent_at > believed:
                by_queue[late.queue].append(late)
        for queue, depth in (self.depths(list(by_queue)) if by_queue else {}).items():
            with engine.reading() as tx:
                rows = tx.all("sent_last", executor=self.executor, queue=queue, before=depth - 1)
                oldest = tx.datetime(rows[0][0]) if rows else None  # fewer were sent than wait there
            for late in by_queue[queue]:
                if oldest is None or (late.sent_at is not None and late.sent_at >= oldest - SENT_WITHIN):
                    yield late.attempt
