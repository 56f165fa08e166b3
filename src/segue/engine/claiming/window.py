"""The window of an executor: about how many steps of one queue may be sent and not have begun.

The rest waits in the database. There it takes no memory of the broker, a more urgent step overtakes it, and a cancel
reaches it. The processes of an executor count only while more steps are ready than they send; what they remember about
that is theirs alone, so together they may send some more than the window says.
"""

from __future__ import annotations

from collections.abc import Callable

from segue.engine.act import Act

WINDOW = 1000
FOR_EACH_PLACE = 20
"""The window grows with the processes that begin steps, so that they do not wait for the next count."""

UNCOUNTED = 100
"""A process that has not just counted sends at most so many at once."""

COUNT_SECONDS = 0.1
"""How long a count holds, at least."""

_SECONDS_FOR_EACH = 0.00002  # a count of very many takes longer, and holds longer

FIRST_CHARACTER = "\1"
"""The first that a name in a database can hold: a name with it added is the first one behind that name."""

_FEWEST = 20
_MOST_COUNTED = 10_000_000


class Window:
    """What one process knows of the window of an executor."""

    def __init__(self, monotonic: Callable[[], float]) -> None:
        self._monotonic = monotonic
        self._count_at: float | None = None  # None: nothing is kept back, as far as this process knows
        self._woke_at = -COUNT_SECONDS
        self.full: tuple[str, ...] = ()  # queues from which nothing is sent until the next count, in order

    @property
    def is_due(self) -> bool:
        """Whether to count before anything more is sent."""
        return self._count_at is not None and self._monotonic() >= self._count_at

    @property
    def look_seconds(self) -> float | None:
        """When to count again, in seconds from now; None: that is not needed."""
        return None if self._count_at is None else max(self._count_at - self._monotonic(), 0.0)

    def overflowed(self) -> None:
        """More steps may be ready than were sent: count before the next."""
        self._count_at = self._monotonic()

    def count(self, act: Act, executor: str, *, size: int, want: int) -> int:
        """Count what is sent, and see which queues are full; returns how many may be sent of each of the others."""
        [(processes, places)] = act.tx.all("places_of_executor", executor=executor, now=act.now)
        size = max(size, FOR_EACH_PLACE * int(places))
        most = max(min(want, size // 2), 1)
        counts = act.tx.all("sent_by_queue", executor=executor, limit=_MOST_COUNTED)
        self.full = tuple(sorted(str(queue) for queue, count in counts if count + most > size))
        holds = max(COUNT_SECONDS, _SECONDS_FOR_EACH * sum(int(count) for _, count in counts))
        self._count_at = self._monotonic() + holds if self.full else None
        return max(most // max(int(processes), 1), min(most, _FEWEST))  # other processes may count just now, too

    def ranges(self, low: str, high: str) -> list[tuple[str, str]]:
        """The queues from `low` to `high`, which is not among them, without those that are full."""
        found = []
        for queue in self.full:
            if low <= queue < high:
                found.append((low, queue))
                low = queue + FIRST_CHARACTER
        return [*found, (low, high)]

    def may_wake(self) -> bool:
        """Whether to wake other processes for steps that were not sent. While a queue is full, that is now and then."""
        now = self._monotonic()
        if self.full and now < self._woke_at + COUNT_SECONDS:
            return False
        self._woke_at = now
        return True
