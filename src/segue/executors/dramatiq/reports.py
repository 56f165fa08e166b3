"""What worker threads hand to the desk: questions, and how attempts ended."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from typing import Any

from segue.engine.act import Act
from segue.engine.dispatch import SentStep
from segue.engine.engine import Engine
from segue.engine.executing import retry_changed
from segue.model import Attempt, Outcome


class Report:
    """The end of an attempt. With `again_seconds`, another one follows, with the arguments and the spec given."""

    def __init__(
        self, attempt: Attempt, outcome: Outcome, *, holds_places: bool = False, again_seconds: float | None = None,
        args: str = "", spec: str | None = None,
    ) -> None:  # fmt: skip
        self.attempt = attempt
        self.holds_places = holds_places
        self.is_repeated = False  # it may be recorded already
        self.is_refused = False  # it came too late, as far as is known
        self.outcome: Outcome | None = outcome if again_seconds is None else None
        self._again = None if again_seconds is None else (outcome, again_seconds, args, spec)

    def before(self, engine: Engine, *, by: str) -> None:
        """Do what must be done in a transaction of its own: a retry that changes the step."""
        if self._again is None:
            return
        outcome, seconds, args, spec = self._again
        accepted = engine.act(_retry, outcome, by=by, after_seconds=seconds, args=args, spec=spec)
        self.is_refused, self._again = not accepted, None


class NotRecordedError(Exception):
    """The end of an attempt is not in the database."""


class Question:
    """A worker thread that waits for an answer."""

    __slots__ = ("answer", "attempt", "done", "report")

    def __init__(self, attempt: Attempt, report: Report | None) -> None:
        self.attempt = attempt
        self.report = report  # None: may it begin?
        self.done = threading.Event()
        self.answer: bool | Sequence[SentStep] | Exception = False

    def say(self, answer: bool | Sequence[SentStep] | Exception) -> None:
        """Answer."""
        self.answer = answer
        self.done.set()


def _retry(act: Act, /, outcome: Outcome, **how: Any) -> bool:
    return retry_changed(act, outcome, **how)
