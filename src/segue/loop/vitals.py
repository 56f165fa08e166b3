"""How a process that works for long says how it is: to HTTP probes and to systemd.

*Live* means that its loop goes round; otherwise a restart helps. *Ready* means that it works: its database answers, its
pool takes steps, and it is not stopping. A database that is away makes it unready, not dead.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from time import monotonic
from typing import Protocol

from segue.loop.probes import probes
from segue.loop.systemd import Systemd
from segue.observing.extensions import extensions

LIVE_SECONDS = 120.0
"""A loop may take so long for a round, as for a call of a database that is slow to refuse it."""


class Vitals(Protocol):
    """What is wrong with a process, in words; empty lists if nothing is."""

    def live(self) -> list[str]:
        """Why it should be restarted."""
        ...

    def ready(self) -> list[str]:
        """Why it does not work now."""
        ...


class Pulse:
    """The vitals of one loop, which says when it comes round and when its database has answered."""

    def __init__(
        self,
        name: str,
        *,
        stale_seconds: float,
        others: Callable[[], list[str]] = list,
        clock: Callable[[], float] = monotonic,
    ) -> None:
        self._name = name
        self._stale_seconds = stale_seconds
        self._others = others  # further reasons why it is not ready
        self._clock = clock
        self._came_round_at = self._answered_at = clock()

    def came_round(self) -> None:
        """The loop begins another round."""
        self._came_round_at = self._clock()

    def was_answered(self) -> None:
        """The database has done what it was asked."""
        self._came_round_at = self._answered_at = self._clock()

    @property
    def answer_age_seconds(self) -> float:
        """How long ago the database last did what it was asked."""
        return self._clock() - self._answered_at

    def live(self) -> list[str]:
        """Whether the loop goes round."""
        seconds = self._clock() - self._came_round_at
        return [] if seconds <= LIVE_SECONDS else [f"{self._name} has been stuck for {seconds:.0f} s"]

    def ready(self) -> list[str]:
        """Whether it also reaches the database, and what else it needs."""
        seconds = self.answer_age_seconds
        silent = (
            []
            if seconds <= self._stale_seconds
            else [f"the database has not answered {self._name} for {seconds:.0f} s"]
        )
        return [*self.live(), *silent, *self._others()]


@contextmanager
def reported(vitals: Vitals, address: str | None = None) -> Iterator[None]:
    """While the block runs, tell systemd, if it started this process, and probes at this address how the process is.

    At its end, traces and reports are sent.

    The address is `HOST:PORT`; `:PORT` for all interfaces. Raises ConfigError if it cannot be used. Example::

        with reported(worker.vitals, "127.0.0.1:8081"):
            ...
    """
    with ExitStack() as stack:
        if address is not None:
            stack.enter_context(probes(address, vitals.live, vitals.ready))
        stack.enter_context(Systemd(vitals.live))
        stack.callback(extensions.flush)  # while the database is still open
        yield
