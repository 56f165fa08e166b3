"""The options of a worker."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class WorkerOptions:
    """How a worker behaves. Times are in seconds."""

    queues: tuple[str, ...] = ("default",)
    concurrency: int = 2
    pool: str = "process"
    lease_seconds: float = 30.0
    grace_seconds: float = 30.0  # for running steps, when it is asked to stop
    patience_seconds: float = 30.0  # at its start, for an unreachable database
    run_id: str | None = None  # work on this run only, and stop when it is final
    burst: bool = False  # stop when there is nothing to do
    awaits_timers: bool = True  # with `burst`: a step that waits for its time is something to do
