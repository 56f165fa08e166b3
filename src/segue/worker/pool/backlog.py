"""The jobs of a process pool that are not yet with a child, and how they are shared among the children."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Iterable, Iterator, Sequence

from segue.attempt.outcomes import cancelled, not_sent, released
from segue.model import Job, Outcome
from segue.worker.pool.slot import Slot
from segue.worker.pool.window import LONG_SECONDS, Window

_LONGEST_SECONDS = 0.1
"""A job that finds no child for this long goes back, so that another worker may take it."""


class Backlog:
    """Sends jobs to `slots`, as many ahead as the window allows; each child gets `max_jobs` in its life."""

    def __init__(self, slots: Sequence[Slot], max_jobs: int) -> None:
        self.window = Window()
        self._slots = slots
        self._max_jobs = max_jobs
        self._jobs: deque[Job] = deque()
        self._since = 0.0

    def __iter__(self) -> Iterator[Job]:
        return iter(self._jobs)

    def room(self, now: float) -> int:
        """How many more jobs the children would take."""
        return max(0, sum(self._room(slot, now) for slot in self._slots) - len(self._jobs))

    def release_at(self) -> float:
        """When the remaining jobs go back; never, if none remain."""
        return self._since + _LONGEST_SECONDS if self._jobs else math.inf

    def add(self, jobs: Iterable[Job], now: float) -> None:
        """Add these jobs at the end."""
        if not self._jobs:
            self._since = now
        self._jobs.extend(jobs)

    def put_back(self, jobs: Sequence[Job], now: float) -> None:
        """Add these jobs, which a child has not begun, at the front."""
        if jobs and not self._jobs:
            self._since = now
        self._jobs.extendleft(reversed(jobs))

    def drop(self, run_id: str, step: int) -> list[Outcome]:
        """Remove the jobs of this step, as cancelled."""
        dropped = [job for job in self._jobs if job.step == step and job.run_id == run_id]
        if dropped:
            self._jobs = deque(job for job in self._jobs if job.step != step or job.run_id != run_id)
        return [cancelled(job) for job in dropped]

    def release(self) -> list[Outcome]:
        """Remove all jobs, as released."""
        outcomes = [released(job) for job in self._jobs]
        self._jobs.clear()
        return outcomes

    def feed(self, now: float) -> list[Outcome]:
        """Fill the windows, the emptiest first, all to the same level. Returns outcomes of jobs that cannot be sent."""
        jobs, failed = self._jobs, list[Outcome]()
        if not jobs:
            return failed
        slots = sorted((slot for slot in self._slots if self._room(slot, now)), key=lambda slot: len(slot.queue))
        to_share = len(jobs) + sum(len(slot.queue) for slot in slots)
        for index, slot in enumerate(slots):
            load = len(slot.queue)
            level = math.ceil(to_share / (len(slots) - index))
            to_share -= load
            for _ in range(min(level - load, self._room(slot, now))):
                if not jobs:
                    return failed
                job = jobs.popleft()
                try:
                    was_sent = slot.send(job, now)
                except (OSError, ValueError) as exc:  # TMPDIR has no room for it; only this attempt fails
                    failed.append(not_sent(job, exc))
                    was_sent = True
                if not was_sent:
                    jobs.appendleft(job)
                    break
                to_share -= 1
        return failed

    def _room(self, slot: Slot, now: float) -> int:
        if not slot.takes_jobs:
            return 0
        load = len(slot.queue)
        window = 1 if load and now - slot.head_since > LONG_SECONDS else self.window.size
        return max(0, min(window, self._max_jobs - slot.served) - load)
