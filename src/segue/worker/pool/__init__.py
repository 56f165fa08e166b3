"""Pools: where a worker's attempts run. One protocol, four ways: processes, threads, one event loop, inline.

One thread at a time drives a pool, in turns: read `capacity`, `submit` that many jobs, `collect` the news. Only `wake`
may be called from other threads. Every pool promises:

* each job submitted comes back as exactly one `Outcome`, whatever the task does (unless the pool is killed);
* `Progress` of an attempt comes before its outcome;
* `released` means that the attempt has not begun, or was ended by `stop`: it does not count as a try;
* `lost` means that something the pool itself depends on died, and the attempt with it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from segue.model import Attempt, Job, Outcome, Progress

News = Outcome | Progress
"""What `collect` returns."""


class Pool(Protocol):
    """Runs attempts for one worker loop."""

    def start(self) -> None:
        """Get ready to take jobs. Raises `WorkerError` if the tasks' modules cannot be imported."""
        ...

    @property
    def capacity(self) -> int:
        """How many more jobs it wants now: free places, and a few ahead if tasks are short."""
        ...

    @property
    def in_flight(self) -> list[Attempt]:
        """The attempts that were submitted and have not come back."""
        ...

    def submit(self, jobs: Sequence[Job]) -> None:
        """Take these jobs; never waits. Jobs beyond `capacity` may come back as released."""
        ...

    def collect(self, timeout_seconds: float, extra_fds: Sequence[int] = ()) -> list[News]:
        """Wait for news, for one of the `extra_fds` to become readable, for `wake`, or for the timeout.

        Returns all news so far, in order; an empty list if something else ended the wait. The caller reads from the
        extra descriptors itself.
        """
        ...

    def wake(self) -> None:
        """Make the current (or the next) `collect` return now. Safe in signal handlers and other threads."""
        ...

    def cancel(self, run_id: str, step: int) -> None:
        """End this step's attempt: its outcome will be `cancelled`. Does nothing if the attempt is not in flight."""
        ...

    def output_of(self, run_id: str, step: int) -> str | None:
        """The end of what the running attempt at this step has printed so far, without its secrets.

        None if it does not run here, or if the pool cannot say it meanwhile.
        """
        ...

    def recall(self) -> None:
        """Hand back jobs that have not begun; the next `collect` returns them as `released`."""
        ...

    def stop(self, grace_seconds: float) -> list[Outcome]:
        """Wait `grace_seconds` for running attempts, then end them as `released`. Returns all remaining outcomes."""
        ...

    def kill(self) -> None:
        """End everything immediately, and report nothing."""
        ...
