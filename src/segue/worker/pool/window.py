"""How many jobs to send ahead to each child: one if tasks are long or unknown, up to 128 if they turn out short."""

from __future__ import annotations

import math

WORK_AHEAD_SECONDS = 0.020
LARGEST_WINDOW = 128
LONG_SECONDS = 0.050
"""A job that has run for this long must not have others waiting behind it."""

_SHORTEST_SECONDS = 0.000_05  # the overhead of a job, in addition to its task
_WEIGHT = 0.1


class Window:
    """Learns from how long jobs took. The window at most doubles with each lesson, and shrinks immediately."""

    def __init__(self) -> None:
        self.size = 1
        self._mean_seconds: float | None = None

    def learn(self, seconds: float, count: int) -> None:
        """Record that `count` jobs took `seconds` together."""
        mean = max(seconds / count, _SHORTEST_SECONDS)
        if self._mean_seconds is None:
            self._mean_seconds = mean
        else:
            self._mean_seconds += (mean - self._mean_seconds) * (1 - (1 - _WEIGHT) ** count)
        wanted = math.floor(WORK_AHEAD_SECONDS / self._mean_seconds)
        self.size = max(1, min(LARGEST_WINDOW, wanted, self.size * 2))
