"""What `segue.current` and `segue.progress` see inside a task that Celery runs for a step."""

from __future__ import annotations

import time
from functools import partial
from typing import TYPE_CHECKING, Any

from segue.authoring.context import Context, checked_progress
from segue.engine.executing import report_progress
from segue.errors import PASSING_ERRORS
from segue.given import MESSAGE_LIMIT_BYTES, clean
from segue.model import Progress
from segue.observing.harmless_log import get_logger

if TYPE_CHECKING:
    from segue.executors.celery.attempt import RunningAttempt

logger = get_logger("segue.celery")

INTERVAL_SECONDS = 0.5
"""Between two writes of progress; the last report is written in any case."""


def context_of(attempt: RunningAttempt, request: Any) -> Context:
    """The context of an attempt. Its step is called by the name of its task: the message does not carry another one."""
    run_id, step, number = attempt.header.attempt
    task = str(request.get("task") or "")
    return Context(
        run_id, step, number, task, f"{attempt.door.name}:{task}", attempt.progress.note, request.get("retries") or 0,
        cancelled=partial(attempt.door.is_asked_to_end, attempt.header.attempt),
    )  # fmt: skip


class ProgressOfAttempt:
    """The progress that an attempt reports, as far as it is not written yet."""

    def __init__(self, attempt: RunningAttempt) -> None:
        self._attempt = attempt
        self._withheld: Progress | None = None
        self._written_at = float("-inf")

    def note(self, done: float, total: float | None, message: str) -> None:
        """Write it, or keep it for later if the last one was written just now."""
        done, total, message = checked_progress(done, total, message)
        self._withheld = Progress(*self._attempt.header.attempt, done, total, clean(message, MESSAGE_LIMIT_BYTES))
        if self._attempt.door.is_in_worker:  # it cannot be written from here
            self._withheld = None
        elif time.monotonic() - self._written_at >= INTERVAL_SECONDS:
            self.write()

    def write(self) -> None:
        """Write what was kept. It is lost if the database is away: the task goes on."""
        progress, self._withheld = self._withheld, None
        if progress is None:
            return
        self._written_at = time.monotonic()
        door = self._attempt.door
        try:
            door.engine.act(report_progress, progress, worker_id=door.node_id)
        except PASSING_ERRORS as error:
            logger.debug("The progress of %s cannot be written: %s", self._attempt.task_id, error)
