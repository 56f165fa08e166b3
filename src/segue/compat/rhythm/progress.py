"""`Progress`: how far a loop of a task is, how fast it goes, and when it will be done."""

from __future__ import annotations

import functools
import operator
import time
from collections.abc import Callable, Iterable, Iterator
from typing import Any

NEVER_SECONDS = 1e100
"""A time that cannot be estimated. JSON has no infinity."""

_STANDS_STILL = 1e-8  # of the whole, in a second
_NO_TIME_SECONDS = 1e-6


class ExponentialWeightedAverage:
    """An average in which each value counts `alpha` times as much as the one after it."""

    def __init__(self, alpha: float = 0.9, start: float = 0) -> None:
        self.alpha = alpha
        self._sum = start
        self._missing = 1.0  # the share of the weights that no value has had yet

    def update(self, x: float) -> float:
        """Add a value, and return the average."""
        self._sum += (1 - self.alpha) * (x - self._sum)
        self._missing *= self.alpha
        return self._sum / (1 - self._missing)


class ETA:
    """Estimates the time that is left, from a progress between 0 and 1. Rates are per second."""

    def __init__(self, alpha: float = 0.9) -> None:
        self.avg_rate: float | None = None
        self.wt_avg_rate: float | None = None
        self._average = ExponentialWeightedAverage(alpha)
        self._first: float | None = None
        self._last: tuple[float, float] | None = None

    def update(self, progress: float) -> float:
        """The seconds that are left, at this progress."""
        if not 0 <= progress <= 1:
            return 0
        now = time.perf_counter()
        before, self._last = self._last, (now, progress)
        if before is None or self._first is None:
            self._first = now
            return NEVER_SECONDS
        self.wt_avg_rate = self._average.update((progress - before[1]) / (now - before[0] + _NO_TIME_SECONDS))
        self.avg_rate = progress / (now - self._first + _NO_TIME_SECONDS)
        return NEVER_SECONDS if abs(self.wt_avg_rate) <= _STANDS_STILL else (1 - progress) / self.wt_avg_rate


def throttle(wait_time: float) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Let a function be called at most once in so many seconds; other calls return None."""

    def throttled(function: Callable[..., Any]) -> Callable[..., Any]:
        last: list[float] = []

        @functools.wraps(function)
        def call(*args: Any, **kwargs: Any) -> Any:
            if last and time.perf_counter() - last[0] < wait_time:
                return None
            found = function(*args, **kwargs)
            last[:] = [time.perf_counter()]
            return found

        return call

    return throttled


def get_length(it: Iterable[Any]) -> int | None:
    """How many items there are, if that is known."""
    return operator.length_hint(it, -1) if operator.length_hint(it, -1) >= 0 else None


class Progress:
    """Reports the progress of a task, at most once in `throttle_time` seconds.

    Numbers are multiplied by `unit_scale`. Without `total` it is that of the iterable, if it has a length. Example::

        for line in Progress(self, name="lines", units="lines")(lines): ...
    """

    def __init__(
        self, celery_task: Any = None, name: str = "", total: float | None = None, units: str | None = None,
        throttle_time: float = 1.0, unit_scale: float = 1.0,
    ) -> None:  # fmt: skip
        self.celery_task = celery_task
        self.name = name
        self.units = units
        self.total = None if total is None else total * unit_scale
        self.unit_scale = unit_scale
        self.eta = ETA()
        self._report = throttle(throttle_time)(self._reported)
        self._items: Iterator[Any] = iter(())
        self._count = 0

    def update(self, done: float) -> dict[str, Any] | None:
        """Report that so much is done. Returns what was reported; None if the last report was just now."""
        found: dict[str, Any] | None = self._report(done)
        return found

    def _reported(self, done: float) -> dict[str, Any]:
        done *= self.unit_scale
        fraction, seconds, weighted, average = None, None, None, None
        if self.total:
            fraction = done / self.total
            seconds = self.eta.update(fraction)
            weighted = self.total * self.eta.wt_avg_rate if self.eta.wt_avg_rate else None
            average = self.total * self.eta.avg_rate if self.eta.avg_rate else None
        report = {
            "name": self.name, "fraction_done": fraction, "done": done, "total": self.total, "units": self.units,
            "time_remaining_sec": seconds, "wt_avg_rate": weighted, "avg_rate": average,
        }  # fmt: skip
        if self.celery_task:
            self.celery_task.update_progress(report)
        return report

    def __call__(self, it: Iterable[Any], immediate: bool = True) -> Progress:
        """Iterate over these items, and report how many have come; with `immediate` also before the first."""
        if self.total is None:
            self.total = get_length(it)
        self._items = iter(it)
        if immediate:
            self.update(0)
        return self

    def __iter__(self) -> Progress:
        return self

    def __next__(self) -> Any:
        item = next(self._items)
        self._count += 1
        self.update(self._count)
        return item
