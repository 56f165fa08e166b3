"""Adds the attempt to log records: `run`, `step`, `attempt`, `task` and `worker`, and the span that is current."""

from __future__ import annotations

import logging
from typing import Any

from segue.authoring.context import running
from segue.masking import without_secrets
from segue.observing.tracing.switch import tracing

FIELDS = ("run", "step", "attempt", "task", "worker", "trace_id", "span_id")


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
        secrets = attempt_secrets()
        if secrets:
            _hide(record, secrets)
        if "worker" not in record.__dict__ and "run" in record.__dict__ and _this.worker is not None:
            record.__dict__["worker"] = _this.worker
        return True


def attempt_fields() -> dict[str, Any]:
    """The fields of the running attempt, without the worker, and of the current span; none outside of them."""
    context = running()
    span = {} if tracing.spans is None else tracing.spans.ids()
    if context is None:
        return span
    return span | {"run": context.run_id, "step": context.name, "attempt": context.attempt, "task": context.task}


def attempt_secrets() -> list[str]:
    """The texts in the arguments of the running attempt that are annotated with `Secret`."""
    context = running()
    return [] if context is None else context.secrets()


def _hide(record: logging.LogRecord, secrets: list[str]) -> None:
    record.msg, record.args = without_secrets(record.getMessage(), secrets), None
    if record.exc_info and not record.exc_text:
        record.exc_text = _formatter.formatException(record.exc_info)
    for name, value in list(record.__dict__.items()):
        if isinstance(value, str):
            record.__dict__[name] = without_secrets(value, secrets)


_formatter = logging.Formatter()


class _This:
    """The worker of this process; with several, the latest."""

    worker: str | None = None


_this = _This()


def name_worker(worker: str | None) -> None:
    """Say which worker this process is, for the field `worker`."""
    _this.worker = worker
