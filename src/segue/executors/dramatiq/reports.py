"""What worker threads hand to the desk: questions, and how attempts ended."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from typing import Any

from segue.engine.act import Act
from segue.engine.dispatch import SentStep
from segue.engine.engine import Engine
from segue.engine.executing import retry_steps
from segue.executors.dramatiq import spec
from segue.model import Attempt, Outcome


class Report:
    """The end of an attempt. With `again_seconds`, another one follows, with what became of the message's options.

    `is_unknown`: the process did not know the actor.
    """

    def __init__(
        self, attempt: Attempt, outcome: Outcome, *, holds_places: bool = False, again_seconds: float | None = None,
        options: dict[str, Any] | None = None, is_unknown: bool = False,
    ) -> None:  # fmt: skip
        self.attempt = attempt
        self.holds_places = holds_places
        self.is_repeated = False  # it may be recorded already
        self.is_refused = False  # it came too late, as far as is known
        self.outcome: Outcome | None = outcome if again_seconds is None else None
        self.again_seconds = again_seconds
        self._again = None if again_seconds is None else (outcome, again_seconds)
        self._options = options or {}
        self._is_unknown = is_unknown

    def before(self, engine: Engine, *, by: str) -> None:
        """Do what must be done in a transaction of its own: a retry, which may change the step."""
        if self._again is None:
            return
        outcome, seconds = self._again
        self.is_refused = not engine.act(self._retry, outcome, by=by, after_seconds=seconds)
        self._again = None

    def _retry(self, act: Act, /, outcome: Outcome, *, by: str, after_seconds: float) -> bool:
        if not retry_steps(act, [outcome], by=by, after_seconds=after_seconds):
            return False
        for _, _, _, text, _, _ in act.tx.all("step_of_executor", run_id=outcome.run_id, step=outcome.step):
            changed = spec.changed(text, self._options, is_unknown=self._is_unknown)
            if changed != text:
                act.tx.all("change_spec", run_id=outcome.run_id, step=outcome.step, spec=changed)
        return True


class NotRecordedError(Exception):
    """The end of an attempt is not in the database."""


class Question:
    """What a worker thread asks, and the answer. It waits for that, unless there is something to do then."""

    __slots__ = ("answer", "attempt", "done", "report", "then")

    def __init__(
        self, attempt: Attempt, report: Report | None, *, then: Callable[[Question], object] | None = None
    ) -> None:  # fmt: skip
        self.attempt = attempt
        self.report = report  # None: may it begin?
        self.then = then  # called by the desk, so it must be quick
        self.done = threading.Event()
        self.answer: bool | Sequence[SentStep] | Exception = False

    def say(self, answer: bool | Sequence[SentStep] | Exception) -> None:
        """Answer."""
        self.answer = answer
        self.done.set()
        if self.then is not None:
            self.then(self)
