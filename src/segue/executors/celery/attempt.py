"""One attempt in the process that runs it: what came of it is recorded once, before Celery stores its result."""

from __future__ import annotations

import signal
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any

from segue.attempt.outcomes import describe
from segue.engine.backoff import longer_wait
from segue.errors import PASSING_ERRORS
from segue.executors.celery.context import ProgressOfAttempt
from segue.executors.celery.errback import Failure, call_errback
from segue.executors.celery.publish import StepHeader
from segue.executors.celery.standins import Relatives
from segue.model import Detour, ErrorInfo, Outcome, Verdict
from segue.observing.harmless_log import get_logger
from segue.observing.tracing.switch import tracing
from segue.plan.codec import encode
from segue.plan.graph import Plan

if TYPE_CHECKING:
    from segue.engine.dispatch import SentStep
    from segue.executors.celery.door import Door

logger = get_logger("segue.celery")

REPORT_PATIENCE_SECONDS = 60.0
_LONGEST_WAIT_SECONDS = 5.0

_current: ContextVar[RunningAttempt | None] = ContextVar("segue_celery_attempt", default=None)


class RunningAttempt:
    """An attempt that this process runs, or that its main process speaks for."""

    def __init__(self, door: Door, header: StepHeader, task_id: str) -> None:
        self.door = door
        self.header = header
        self.task_id = task_id
        self.is_recorded = False
        self.retry: RetryAsked | None = None
        self.replacement: Plan | None = None
        self.progress = ProgressOfAttempt(self)
        self.relatives = Relatives(door, header) if header.kin else None
        self.added: Counter[str] = Counter()  # what the task added to its chord
        self._errbacks: list[SentStep] = []
        self._begun = time.monotonic()

    def succeeded(self, result: str, detour: Detour | None = None) -> None:
        """Record that the task returned."""
        seconds, placed = self._seconds, self.door.values.of_result(result)
        self._record(Outcome(*self.header.attempt, Verdict.SUCCEEDED, result=placed, seconds=seconds, detour=detour))

    def dispatched(self, result: str) -> None:
        """Record that the task returned, and that Celery has dispatched what was left in its request."""
        relatives = self.relatives
        if relatives is None:
            self.succeeded(result)
        elif relatives.inserted is not None:
            self.replaced(relatives.inserted, relatives.detour())
        else:
            self.succeeded(result, relatives.detour())

    def replaced(self, plan: Plan, detour: Detour | None = None) -> None:
        """Record that the task replaced itself with a canvas: the step waits for it, and has its result."""
        if detour is None and self.relatives is not None:
            detour = self.relatives.of_replacement
        text = encode(self.door.values.of_plan(plan))
        self._record(Outcome(*self.header.attempt, Verdict.EXPANDED, result=text, seconds=self._seconds, detour=detour))

    def failed(self, error: BaseException | ErrorInfo, detour: Detour | None = None) -> None:
        """Record that the attempt failed. Celery's own retries come before that, so it is not tried again.

        `follow_failure` comes when Celery has stored the failure: error callbacks may look at that.
        """
        info = error if isinstance(error, ErrorInfo) else describe(error)
        if tracing.spans is not None:
            tracing.spans.failed(info.type, info.message)
        outcome = Outcome(
            *self.header.attempt, Verdict.FAILED, error=info, retryable=False, seconds=self._seconds, detour=detour
        )
        self._patiently(lambda: self.door.desk.exchange([outcome], freed=self._freed, inline=self._errbacks))

    def follow_failure(self, error: BaseException, request: Any = None, traceback: Any = None) -> None:
        """Tell the result backend of what will not run, and call the error callbacks that want the exception."""
        self.door.desk.mirror()
        failure = Failure(self.task_id, request, error, traceback)
        while self._errbacks:
            outcomes = [call_errback(self.door, step, failure) for step in self._errbacks]
            self._errbacks = []
            self.is_recorded = False
            self._record(*outcomes)

    def skipped(self, reason: BaseException) -> None:
        """Record that the task raised `Ignore`: what follows is skipped."""
        self._record(Outcome(*self.header.attempt, Verdict.SKIPPED, error=describe(reason), retryable=False))

    def cancelled(self) -> None:
        """Record that the task ended because it was asked to."""
        self._record(Outcome(*self.header.attempt, Verdict.CANCELLED, seconds=self._seconds))

    def lost(self, error: BaseException) -> None:
        """Record that the process of the attempt died."""
        self._record(Outcome(*self.header.attempt, Verdict.LOST, error=describe(error), seconds=self._seconds))

    def result_before_death(self) -> str | None:
        """The result, if the process died after it had recorded it."""
        return self.door.desk.result_before_death(self.header.attempt)

    def revoked(self, reason: str) -> None:
        """Record that Celery turned the message away, or ended the task, because it was revoked or had expired."""
        self.failed(ErrorInfo("TaskRevokedError", reason or "revoked"))

    def given_back(self) -> None:
        """Celery puts the message back into its queue. A step that is known to run here must not be, for other workers
        to take it; it is sent again, and that message is old.
        """
        self._patiently(lambda: self.door.desk.give_back(self.header))

    def retried(self, reason: BaseException) -> None:
        """Record that the task asked to be tried again."""
        asked, error = self.retry, describe(reason)
        if asked is None:
            self.failed(error)
            return
        self._patiently(lambda: self.door.desk.retry(self.header, asked, error, self._seconds))

    @property
    def _freed(self) -> int:
        """How many attempts give places of limits back when this one ends."""
        return int(self.header.holds_places)

    @property
    def _seconds(self) -> float:
        return time.monotonic() - self._begun

    def _record(self, *outcomes: Outcome) -> None:
        self._patiently(lambda: self.door.desk.exchange(list(outcomes), freed=self._freed))

    def _patiently(self, act: Callable[[], object]) -> None:
        """Do this once for the attempt, and again while the database is away."""
        if self.is_recorded:
            return
        self.is_recorded = True
        self.progress.write()
        end, wait = time.monotonic() + REPORT_PATIENCE_SECONDS, 0.0
        with undisturbed():
            while True:
                try:
                    act()
                    return
                except PASSING_ERRORS as error:
                    if time.monotonic() >= end:
                        logger.error(
                            "The end of %s could not be recorded: %s. It will be sent again.", self.task_id, error
                        )
                        return
                    logger.warning("The end of %s cannot be recorded yet: %s", self.task_id, error)
                    wait = longer_wait(wait, first_seconds=0.1, longest_seconds=_LONGEST_WAIT_SECONDS)
                    time.sleep(wait)
                except Exception:  # Celery would make a failure of it, though the task did what it should
                    logger.exception("The end of %s could not be recorded. It will be sent again.", self.task_id)
                    return


class RetryAsked:
    """The retry that a task asked for: Celery would have sent it as a message at once."""

    def __init__(self, args: Any, kwargs: Any, options: dict[str, Any]) -> None:
        self.args = args
        self.kwargs = kwargs
        self.options = options


def current_attempt() -> RunningAttempt | None:
    """The attempt that this context runs, if it is one of Segue's."""
    return _current.get()


@contextmanager
def running(attempt: RunningAttempt) -> Iterator[RunningAttempt]:
    """Run an attempt in this context."""
    token = _current.set(attempt)
    try:
        yield attempt
    finally:
        _current.reset(token)


@contextmanager
def undisturbed() -> Iterator[None]:
    """Keep Celery's soft time limit, which is SIGUSR1, from interrupting what has begun. It comes afterwards."""
    if threading.current_thread() is not threading.main_thread() or not hasattr(signal, "SIGUSR1"):
        yield
        return
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGUSR1})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
