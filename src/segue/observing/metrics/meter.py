"""What the code calls to count. Without metrics, `metering.meter` is None, and that is all that is looked at.

Promise: what counts never raises, and takes no lock of the database. Values that only a look can tell are asked for
when the metrics are read.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from typing import NamedTuple, Protocol

from segue.observing.metrics import registry
from segue.observing.metrics.registry import Metric


class Meter(Protocol):
    """Takes the numbers; see observing/metrics/prometheus.py."""

    def add(self, metric: Metric, *values: str, amount: float = 1.0) -> None:
        """Add to a counter. The values are those of its labels, in their order."""
        ...

    def observe(self, metric: Metric, *values: str, amount: float) -> None:
        """Add an observation to a histogram."""
        ...

    def ask(self, metric: Metric, *values: str, value: Callable[[], float]) -> Callable[[], None]:
        """Call this whenever the gauge is read. Returns what ends that."""
        ...


class EndedAttempt(NamedTuple):
    """An attempt whose task is not known where it ended."""

    run_id: str
    step: int
    outcome: str
    seconds: float


class Listener(Protocol):
    """Hears of ends whose names must be looked up; see loop/measuring.py."""

    def runs_ended(self, run_ids: Iterable[str]) -> None:
        """These runs have ended, or may have."""
        ...

    def attempts_ended(self, attempts: Iterable[EndedAttempt]) -> None:
        """These attempts have ended."""
        ...


class Metering:
    """The meter of this process, and who looks up what it hears."""

    def __init__(self) -> None:
        self.meter: Meter | None = None
        self.listener: Listener | None = None

    def attempt_ended(self, task: str, queue: str, outcome: str, seconds: float) -> None:
        """An attempt ended, in whichever process. Those that were handed back did not run."""
        meter = self.meter
        if meter is None:
            return
        with suppress(Exception):
            meter.add(registry.ATTEMPTS, task, queue, outcome)
            if outcome != "released":
                meter.observe(registry.ATTEMPT_SECONDS, task, amount=seconds)

    def add(self, metric: Metric, *values: str, amount: float = 1.0) -> None:
        """Add to a counter, if there is a meter."""
        if self.meter is not None:
            with suppress(Exception):
                self.meter.add(metric, *values, amount=amount)

    def observe(self, metric: Metric, *values: str, amount: float) -> None:
        """Add an observation, if there is a meter."""
        if self.meter is not None:
            with suppress(Exception):
                self.meter.observe(metric, *values, amount=amount)

    def runs_ended(self, run_ids: Sequence[str]) -> None:
        """These runs ended, and that is committed."""
        if self.listener is not None and run_ids:
            self.listener.runs_ended(run_ids)

    def attempts_ended(self, attempts: Iterable[EndedAttempt]) -> None:
        """Attempts at an executor ended, and that is committed."""
        if self.listener is not None:
            self.listener.attempts_ended(attempts)

    def forget_listener(self) -> None:
        """A fork has no thread that looks anything up."""
        self.listener = None


metering = Metering()
"""The only one."""

os.register_at_fork(after_in_child=metering.forget_listener)
