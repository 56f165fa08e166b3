"""Whether this process traces. Without tracing, `tracing.spans` is None, and that is all that is looked at."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from datetime import datetime
from typing import Any, NamedTuple, Protocol


class TracedAttempt(NamedTuple):
    """What the span of an attempt says."""

    run_id: str
    step: int
    attempt: int
    name: str  # of the step
    task: str
    queue: str = ""
    waited: float | None = None  # seconds from ready to claimed, where that is known
    trace: str | None = None  # what `segue_runs.trace` has, where it was read
    secrets: Callable[[], list[str]] = list  # texts that must not be in a span


class EndedRun(NamedTuple):
    """What the span of a run says."""

    run_id: str
    workflow: str
    key: str | None
    status: str
    steps: int
    error_type: str | None
    created_at: datetime
    finished_at: datetime
    trace: str | None


ReadEnds = Callable[[Sequence[str]], Sequence[EndedRun]]


class Spans(Protocol):
    """Writes spans; see observing/tracing/spans.py. Nothing here raises because of a provider."""

    reads_traces: bool
    """Whether the attempts of a run belong to the trace that was current at its start, which must be looked up."""

    def started(self, run_id: str, workflow: str) -> str | None:
        """A run is being started. Returns what is stored with it."""
        ...

    def attempt(self, facts: TracedAttempt) -> AbstractContextManager[Any]:
        """The span of an attempt, current within the block; an exception that leaves the block is its error."""
        ...

    def failed(self, error_type: str, message: str) -> None:
        """The attempt whose span is current has failed, where no exception leaves its block."""
        ...

    def runs_ended(self, run_ids: Sequence[str], read: ReadEnds) -> None:
        """These runs have ended, or may have. A thread reads how, and writes their spans."""
        ...

    def traceparent(self) -> str | None:
        """The current span, in the form of the header `traceparent`."""
        ...

    def traceparent_of_run(self, run_id: str, trace: str | None) -> str:
        """The span of a run in this form, for a process that is not Segue's."""
        ...

    def ids(self) -> dict[str, str]:
        """The ids of the current span, for a log record; empty if there is none."""
        ...

    def flush(self) -> None:
        """Send what is left. The process, or a child of a pool, is about to end."""
        ...


class Tracing:
    """The spans of this process, if it traces."""

    spans: Spans | None = None


tracing = Tracing()
"""The only one."""
