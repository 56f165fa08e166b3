"""Taskflow's words for priorities, times and statuses, and Segue's. Pure."""

from __future__ import annotations

from datetime import UTC, datetime

from segue.errors import ConfigError, DefinitionError
from segue.given import shown
from segue.model import RunStatus, StepStatus

PRIORITIES = {"critical": 9, "high": 7, "normal": 5, "low": 3}
TIME_FORMAT = "%Y-%m-%dT%H:%M:%S"

_STEPS = {
    StepStatus.BLOCKED: "queued",
    StepStatus.READY: "queued",
    StepStatus.SENT: "pushed",
    StepStatus.RUNNING: "running",
    StepStatus.SUCCEEDED: "success",
    StepStatus.FAILED: "failed",
    StepStatus.SKIPPED: "dequeued",
    StepStatus.CANCELLED: "dequeued",
}
_RUNS = {
    RunStatus.PENDING: "queued",
    RunStatus.RUNNING: "running",
    RunStatus.PAUSED: "running",
    RunStatus.SUCCEEDED: "success",
    RunStatus.FAILED: "failed",
    RunStatus.CANCELLED: "dequeued",
}


def priority_of(of: str, word: object) -> int:
    """The number of a priority. Raises DefinitionError."""
    if not isinstance(word, str) or word not in PRIORITIES:
        raise DefinitionError(f"{of}: the priority {shown(word)} is not known; choose {', '.join(PRIORITIES)}")
    return PRIORITIES[word]


def step_status(status: StepStatus, *, failures: int) -> str:
    """The status of a task instance."""
    return "retry" if status is StepStatus.READY and failures else _STEPS[status]


def run_status(status: RunStatus) -> str:
    """The status of a workflow instance."""
    return _RUNS[status]


def utc(of: str, moment: object) -> datetime:
    """A time, which is UTC if it has no time zone. Raises DefinitionError."""
    if not isinstance(moment, datetime):
        raise DefinitionError(f"{of}={shown(moment)} is not a datetime; without a time zone it is taken as UTC")
    return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)


def typed_time(option: str, text: str) -> datetime:
    """A time of the command line, which is UTC if it has no time zone. Raises ConfigError."""
    try:
        return utc(option, datetime.fromisoformat(text))
    except (ValueError, OverflowError):
        raise ConfigError(f"{option} takes a time such as 2026-11-20T06:00:00, in UTC; not {text!r}.") from None
