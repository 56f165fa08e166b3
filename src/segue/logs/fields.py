"""Adds the attempt to log records: `run`, `step`, `attempt`, `task` and `worker`."""

from __future__ import annotations

import logging
from typing import Any

from segue.authoring.context import running

FIELDS = ("run", "step", "attempt", "task", "worker")


class AttemptFields(logging.Filter):
    """A filter for handlers that lets every record pass, and gives those of a running attempt its fields.

    It covers what libraries log inside a task, too. A field that the record has already is kept. Segue adds it to the
    handlers of its own log; add it to other handlers, as of a Celery worker, like this::

        handler.addFilter(AttemptFields())
        handler.setFormatter(logging.Formatter("%(run)s %(step)s %(message)s", defaults=dict.fromkeys(FIELDS)))
    """

    def filter(self, record: logging.LogRecord) -> bool:
        """Add the fields."""
        for name, value in attempt_fields().items():
            record.__dict__.setdefault(name, value)
        if "worker" not in record.__dict__ and "run" in record.__dict__ and _this.worker is not None:
            record.__dict__["worker"] = _this.worker
        return True


def attempt_fields() -> dict[str, Any]:
    """The fields of the running attempt, without the worker; none outside of an attempt."""
    context = running()
    if context is None:
        return {}
    return {"run": context.run_id, "step": context.name, "attempt": context.attempt, "task": context.task}


class _This:
    """The worker of this process; with several, the latest."""

    worker: str | None = None


_this = _This()


def name_worker(worker: str | None) -> None:
    """Say which worker this process is, for the field `worker`."""
    _this.worker = worker
