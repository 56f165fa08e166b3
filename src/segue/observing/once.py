"""Reports something once, and again after a while if it persists: for logs of loops that run many times a second."""

from __future__ import annotations

import time
from collections.abc import Callable, Hashable

AGAIN_SECONDS = 300.0
MOST_REMEMBERED = 1000


class Once:
    """Remembers what was reported, and when.

    Example::

        if once.is_news(("held", run_id)):
            logger.warning("run %s is held", run_id)
    """

    def __init__(
        self, *, again_seconds: float = AGAIN_SECONDS, monotonic: Callable[[], float] = time.monotonic
    ) -> None:
        self._again_seconds = again_seconds
        self._monotonic = monotonic
        self._said: dict[Hashable, float] = {}

    def is_news(self, what: Hashable) -> bool:
        """True the first time, and then once in `again_seconds`."""
        now = self._monotonic()
        said_at = self._said.get(what)
        if said_at is not None and now < said_at + self._again_seconds:
            return False
        self._said.pop(what, None)
        if len(self._said) >= MOST_REMEMBERED:
            del self._said[next(iter(self._said))]
        self._said[what] = now
        return True

    def forget(self, what: Hashable) -> None:
        """Forget it: the next time is news again."""
        self._said.pop(what, None)
