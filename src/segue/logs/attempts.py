"""A line in the log for the end of each attempt, and its place in the metrics.

Promise: it never raises, and costs a worker a fraction of a microsecond for each step whose line is not wanted.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Iterable, Sequence
from contextlib import suppress
from typing import Any

from segue.logs.formats import ATTEMPTS
from segue.model import Attempt, Job, Outcome, Progress, Verdict
from segue.observing.extensions import LostAttempt, extensions
from segue.observing.metrics import registry
from segue.observing.metrics.meter import metering

logger = logging.getLogger(ATTEMPTS)
logger.addHandler(logging.NullHandler())  # a program without a log of its own prints nothing

_WORDS: dict[str, tuple[int, str]] = {
    Verdict.SUCCEEDED: (logging.INFO, "succeeded in"),
    Verdict.EXPANDED: (logging.INFO, "returned further steps after"),
    Verdict.SKIPPED: (logging.INFO, "was skipped by its task after"),
    Verdict.CANCELLED: (logging.INFO, "was cancelled after"),
    Verdict.RECORDED: (logging.INFO, "ended, with its transaction, after"),
    Verdict.RELEASED: (logging.DEBUG, "was handed back after"),
    Verdict.FAILED: (logging.WARNING, "failed after"),
    Verdict.LOST: (logging.ERROR, "was lost after"),
}


class AttemptLog:
    """Remembers the tasks of the attempts that one worker has, and says how each ended.

    Example::

        log = AttemptLog()
        log.began(jobs)
        log.ended(news)
    """

    def __init__(self) -> None:
        self._tasks: dict[Attempt, tuple[str, str, str]] = {}  # the task, the step and the queue of each

    def began(self, jobs: Iterable[Job]) -> None:
        """These attempts are in the pool now."""
        for job in jobs:
            self._tasks[job.run_id, job.step, job.attempt] = (job.task, job.name, job.queue)
            if metering.meter is not None:
                metering.observe(registry.WAIT_SECONDS, job.queue, amount=job.waited)

    def ended(self, news: Sequence[Outcome | Progress]) -> None:
        """These attempts came back; progress is not said."""
        lowest = logger.getEffectiveLevel() if news else 0
        for outcome in news:
            if isinstance(outcome, Progress):
                continue
            task, step, queue = self._tasks.pop(
                (outcome.run_id, outcome.step, outcome.attempt), ("", f"#{outcome.step}", "")
            )
            if metering.meter is not None:
                _count(outcome, task or "unknown", queue)
            if extensions.lost:
                _say_lost(outcome, task, step, queue)
            level, words = _WORDS.get(outcome.verdict, (logging.INFO, "ended after"))
            if level >= lowest:
                with suppress(Exception):  # a handler of the user raised, or a full disk
                    logger.handle(_record(outcome, task or step, step, level, words))


def _count(outcome: Outcome, task: str, queue: str) -> None:
    is_recorded = outcome.verdict == Verdict.RECORDED
    metering.attempt_ended(task, queue, "succeeded" if is_recorded else str(outcome.verdict), outcome.seconds)
    if is_recorded:  # in its own process, which does not say whether the run ended with it
        metering.runs_ended([outcome.run_id])


def _say_lost(outcome: Outcome, task: str, step: str, queue: str) -> None:
    """Pass on an end that no exception of the task explains: it has no traceback."""
    error = outcome.error
    if outcome.verdict not in (Verdict.FAILED, Verdict.LOST) or error is None or error.traceback:
        return
    lost = LostAttempt(outcome.run_id, step, outcome.attempt, task, queue, error.type, error.message)
    for receive in list(extensions.lost.values()):
        receive(lost)


def _record(outcome: Outcome, task: str, step: str, level: int, words: str) -> logging.LogRecord:
    """Made by hand: `logger.log` would look for its caller, which takes most of its time, and refuse a traceback."""
    error = outcome.error
    fields: dict[str, Any] = {
        "name": ATTEMPTS, "levelno": level, "levelname": logging.getLevelName(level), "process": os.getpid(),
        "msg": f"{task} {words} {outcome.seconds:.3f} s ({step}, attempt {outcome.attempt} of run {outcome.run_id})",
        "run": outcome.run_id, "step": step, "attempt": outcome.attempt, "task": task,
        "outcome": str(outcome.verdict), "seconds": round(outcome.seconds, 6),
        "module": "attempts", "pathname": __file__, "filename": "attempts.py",
    }  # fmt: skip
    if error is not None:
        fields["msg"] += f": {error.type}: {error.message}"
        if outcome.verdict != Verdict.SKIPPED:  # to skip is no fault, and its message says why
            fields["exc_text"] = error.traceback.rstrip() or None
        fields["error"] = error.type
    return logging.makeLogRecord(fields)
