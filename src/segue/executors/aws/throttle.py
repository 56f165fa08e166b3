"""Keeps calls below a rate, which halves when Amazon asks for patience, and grows again while it does not."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

LEAST = 0.5
GROW_SECONDS = 10.0  # for one more call a second


class Throttle:
    """So many calls a second, from all threads of this process together.

    Example::

        submits = Throttle(20.0)
        if submits.wait(5.0):
            ...
    """

    def __init__(
        self, rate: float, *, monotonic: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:  # fmt: skip
        self._most = rate
        self._monotonic = monotonic
        self._sleep = sleep
        self._lock = threading.Lock()
        self._changed_at = self._filled_at = monotonic()
        self._rate = rate
        self._calls = max(rate, 1.0)  # that may be made now

    @property
    def rate(self) -> float:
        """The calls a second now."""
        with self._lock:
            self._fill()
            return self._rate

    def wait(self, seconds: float) -> bool:
        """Wait for the turn of one call. False, and no turn is taken, if that would take longer than `seconds`."""
        with self._lock:
            self._fill()
            needed = max(0.0, (1.0 - self._calls) / self._rate)
            if needed > seconds:
                return False
            self._calls -= 1.0
        if needed:
            self._sleep(needed)
        return True

    def slow_down(self) -> None:
        """Amazon asked for patience."""
        with self._lock:
            self._fill()
            self._rate = max(LEAST, self._rate / 2)
            self._calls = min(self._calls, 0.0)
            self._changed_at = self._monotonic()

    def _fill(self) -> None:
        now = self._monotonic()
        self._calls = min(max(self._rate, 1.0), self._calls + (now - self._filled_at) * self._rate)
        self._filled_at = now
        steps = int((now - self._changed_at) / GROW_SECONDS)
        if steps:
            self._rate = min(self._most, self._rate + steps)
            self._changed_at += steps * GROW_SECONDS
