"""Tolerates an unreachable database for a while."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TypeVar

from segue.errors import PASSING_ERRORS

T = TypeVar("T")


class Patience:
    """Repeats a question; if the database has not answered for `seconds` in a row, its error is raised.

    Example::

        patience = Patience(30)
        while not patience.ask(run_has_ended, otherwise=False):
            time.sleep(0.1)
    """

    def __init__(self, seconds: float, *, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._seconds = seconds
        self._monotonic = monotonic
        self._away_since: float | None = None

    def ask(self, question: Callable[[], T], *, otherwise: T) -> T:
        """The answer, or `otherwise` while the database is away. Raises its error after `seconds` without an answer."""
        try:
            answer = question()
        except PASSING_ERRORS:
            now = self._monotonic()
            if self._away_since is None:
                self._away_since = now
            if now - self._away_since >= self._seconds:
                raise
            return otherwise
        self._away_since = None
        return answer
