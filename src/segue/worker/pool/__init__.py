"""Pools: where a worker's attempts run. One protocol, four ways: processes, threads, one event loop, inline.

A pool is driven by one thread, in turns: ask `capacity`, `submit` that many jobs, `collect` what came of them. Only
`wake` may be called from elsewhere. What a pool promises, whichever it is:

* each job submitted comes back as exactly one `Outcome`, whatever the task does (unless the pool is killed);
* `Progress` of an attempt comes before its outcome;
* `released` means that the attempt has not begun, or was ended by `stop`: it is no try.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from segue.model import Job, Outcome, Progress

Attempt = tuple[str, int, int]
"""(run_id, step, attempt): what an outcome is the outcome of."""

News = Outcome | Progress
"""What `collect` returns."""


class Pool(Protocol):
    """Runs attempts for one worker loop."""

    def start(self) -> None:
        """Make it ready to take jobs; raises `WorkerError` when the tasks' modules cannot be imported."""
        ...

    @property
    def capacity(self) -> int:
        """How many more jobs it wants now: free places, and a few ahead when tasks turn out short."""
        ...

    @property
    def in_flight(self) -> list[Attempt]:
        """The attempts that were submitted and have not come back."""
        ...

    def submit(self, jobs: Sequence[Job]) -> None:
        """Take these jobs; never waits. More than `capacity` are taken, too, but may come back as released."""
        ...

    def collect(self, timeout_seconds: float, extra_fds: Sequence[int] = ()) -> list[News]:
        """Wait for news, for one of the `extra_fds` to be readable, for `wake`, or for the timeout.

        Returns everything that is there, in order; an empty list when something other than news ended the wait. The
        caller reads from the extra descriptors itself.
        """
        ...

    def wake(self) -> None:
        """Make the waiting (or the next) `collect` return now; safe in signal handlers and other threads."""
        ...

    def cancel(self, run_id: str, step: int) -> None:
        """End this step's attempt: its outcome will be `cancelled`. What is not in flight is left alone."""
        ...

    def recall(self) -> None:
        """Hand back what has not begun; the next `collect` returns these as `released`."""
        ...

    def stop(self, grace_seconds: float) -> list[Outcome]:
        """Wait for what runs, for `grace_seconds`; then end it as `released`. Returns all outcomes that were left."""
        ...

    def kill(self) -> None:
        """End everything at once, and say nothing about it."""
        ...
