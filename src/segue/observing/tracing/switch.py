"""Whether this process traces. Without tracing, `tracing.spans` is None, and that is all that is looked at."""

from __future__ import annotations

from typing import Protocol


class Spans(Protocol):
    """What the code asks of the spans, which are attached to attempts and ends of runs (observing/extensions.py)."""

    reads_traces: bool
    """Whether the attempts of a run belong to the trace that was current at its start, which must be looked up."""

    def started(self, run_id: str, workflow: str) -> str | None:
        """A run is being started. Returns what is stored with it."""
        ...

    def failed(self, error_type: str, message: str) -> None:
        """The attempt whose span is current has failed, where no exception leaves its block."""
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


class Tracing:
    """The spans of this process, if it traces."""

    spans: Spans | None = None


tracing = Tracing()
"""The only one."""
