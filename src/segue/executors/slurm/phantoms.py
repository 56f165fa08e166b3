"""Jobs that Slurm shows as running, although nothing of them is on their machine any more.

A slurmd that is killed while it launches a job loses it, or loses that it has ended, and slurmctld may show it as
running until its time limit. The spool knows better: whether the attempt has begun, and what it has left.
"""

from __future__ import annotations

import time
from pathlib import Path

from segue.attempt import spool
from segue.dispatcher.protocol import Cause, Phase, Sighting

NO_JOB = "no job"
"""Who has begun an attempt whose job did not begin in time. A job that comes later finds this, and ends."""


class Phantoms:
    """Looks into the spool for each job that is shown as running, once in so many seconds."""

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._look_at: dict[str, float] = {}  # by push
        self._has_left: set[str] = set()  # pushes whose attempt had left its end at the last look

    def judged(self, running: Sighting, folder: Path) -> Sighting:
        """The sighting of a job that is shown as running, or what it really is. Raises OSError."""
        push_id, now = running.push_id, time.monotonic()
        look_at = self._look_at.setdefault(push_id, now + self._seconds)
        if now < look_at:
            return running
        self._look_at[push_id] = now + self._seconds
        code = _left(folder)
        if code is not None:
            if push_id in self._has_left:
                return running._replace(phase=Phase.ENDED, cause=Cause.EXIT, exit_code=code)
            self._has_left.add(push_id)
            return running
        holder = spool.begun_by(folder)
        if holder is None:
            spool.make_folder(folder)
            holder = NO_JOB if spool.begin(folder, NO_JOB) else spool.begun_by(folder)
        if holder != NO_JOB:
            return running
        reason = f"Slurm shows that it runs, and it has not begun within {self._seconds:g} s: its machine has lost it"
        return running._replace(phase=Phase.ENDED, cause=Cause.LOST, reason=reason)

    def forget(self, push_id: str) -> None:
        """It has ended."""
        self._look_at.pop(push_id, None)
        self._has_left.discard(push_id)


def _left(folder: Path) -> int | None:
    """The exit code of an attempt that has left its end; None if it has not."""
    code = spool.read_exit_code(folder)
    return 0 if code is None and spool.read_outcome(folder) is not None else code
