"""When a worker that is to end by itself has been idle for long enough."""

from __future__ import annotations

from collections.abc import Callable
from time import monotonic
from typing import Protocol

STUCK_POOL_SECONDS = 20.0


class Idling:
    """Since when there has been nothing to do. Without `seconds`, it is never over.

    It begins with the first question, so that a worker which took long to start looks for work all the same.

    Example::

        idling = Idling(600.0, time.monotonic)
        idling.is_over(is_busy=False)  # True after ten minutes without anything to do
    """

    def __init__(self, seconds: float | None, monotonic: Callable[[], float]) -> None:
        self._seconds = seconds
        self._monotonic = monotonic
        self._since: float | None = None

    def is_over(self, *, is_busy: bool) -> bool:
        """To be asked often: what happens between two questions is not known here."""
        if self._seconds is None:
            return False
        now = self._monotonic()
        if is_busy or self._since is None:
            self._since = now
        return now - self._since >= self._seconds


class Stopping(Protocol):
    """The part of the caretaker that `complaints` needs."""

    @property
    def is_stopping(self) -> bool:
        """Whether the worker was asked to stop."""
        ...


def complaints(caretaker: Stopping, took_at: float) -> list[str]:
    """Why a worker is not ready, beside its loop and its database: its pool last had room or attempts at this time."""
    if caretaker.is_stopping:
        return ["it is stopping"]
    seconds = monotonic() - took_at
    return [f"its pool has taken nothing for {seconds:.0f} s"] if seconds > STUCK_POOL_SECONDS else []
