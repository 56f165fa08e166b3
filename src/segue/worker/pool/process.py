"""The process pool: child processes that take one job at a time, supervised so that no task can hurt the worker.

A task may crash, hang, ignore signals, fill its output or eat memory: it costs this one attempt. Children are forked by
a zygote (see `zygote`), hold a few jobs ahead when tasks are short (see `window`), and give back what they have not
begun whenever it would wait behind a long task (see `slot`).

How an attempt is ended, at its timeout or on `cancel`: SIGTERM to the child's process group, which raises `Cancelled`
inside the task; `kill_grace_seconds` later SIGKILL.
"""

from __future__ import annotations

import math
import signal
import time
from collections import deque
from collections.abc import Iterable, Sequence

from segue.model import Job, Outcome
from segue.worker.pool import Attempt, News
from segue.worker.pool.endings import cancelled, died, overridden, released, timed_out, zygote_lost
from segue.worker.pool.nursery import Nursery
from segue.worker.pool.slot import Slot, key_of
from segue.worker.pool.waiting import Waiter
from segue.worker.pool.window import LONG_SECONDS, Window
from segue.worker.runner import RESULT_LIMIT_BYTES

KILL_GRACE_SECONDS = 5.0
MAX_JOBS = 10_000
_BACKLOG_SECONDS = 0.1
"""A job that finds no child for this long goes back, so that another worker may take it."""
_FAREWELL_SECONDS = 1.0


class ProcessPool:
    """`size` child processes that have imported `modules`.

    A child is replaced after `max_jobs` jobs, and between two jobs when its memory has grown beyond `max_rss_mb`.
    Transactional tasks need `database_url`, to which each child that runs one keeps a connection.

    Example::

        pool = ProcessPool(4, modules=["shop.tasks"])
        pool.start()
        pool.submit(jobs[: pool.capacity])
        for news in pool.collect(timeout_seconds=1.0):
            ...
        pool.stop(grace_seconds=30)
    """

    def __init__(
        self,
        size: int,
        *,
        modules: Iterable[str] = (),
        kill_grace_seconds: float = KILL_GRACE_SECONDS,
        max_jobs: int = MAX_JOBS,
        max_rss_mb: int | None = None,
        result_limit_bytes: int = RESULT_LIMIT_BYTES,
        database_url: str | None = None,
    ) -> None:
        self._waiter = Waiter()
        self._nursery = Nursery(size, self._waiter, tuple(modules), max_rss_mb, result_limit_bytes, database_url)
        self._slots = self._nursery.slots
        self._kill_grace_seconds = kill_grace_seconds
        self._max_jobs = max_jobs
        self._window = Window()
        self._backlog: deque[Job] = deque()
        self._backlog_since = 0.0
        self._news: list[News] = []  # to be returned by the next collect
        self._stopping = False
        self._has_new_child = False

    def start(self) -> None:
        """Import the modules in the zygote and fork the children; raises `WorkerError` when an import fails."""
        self._nursery.start()

    @property
    def capacity(self) -> int:
        """Free places in the children's windows, less what waits for a child."""
        if self._stopping:
            return 0
        now = time.monotonic()
        return max(0, sum(self._room(slot, now) for slot in self._slots) - len(self._backlog))

    @property
    def in_flight(self) -> list[Attempt]:
        """The attempts that were submitted and have not come back, those whose outcome waits to be collected too."""
        found = [key_of(job) for slot in self._slots for job in slot.queue]
        found += [key_of(job) for job in self._backlog]
        found += [key_of(item) for item in self._news if isinstance(item, Outcome)]
        return found

    @property
    def child_pids(self) -> list[int]:
        """The process ids of the children that live now."""
        return [slot.pid for slot in self._slots if slot.is_open and slot.pid]

    @property
    def zygote_pid(self) -> int:
        """The process id of the zygote."""
        return self._nursery.zygote_pid

    def submit(self, jobs: Sequence[Job]) -> None:
        """Send these jobs to the children, evenly; what does not fit comes back as released, soon."""
        now = time.monotonic()
        if not self._backlog:
            self._backlog_since = now
        self._backlog.extend(jobs)
        self._feed(now)

    def collect(self, timeout_seconds: float, extra_fds: Sequence[int] = ()) -> list[News]:
        """Wait for news; see `Pool.collect`. Raises `WorkerError` when a restarted zygote cannot import the modules."""
        deadline = time.monotonic() + timeout_seconds
        called = False
        self._has_new_child = False
        while True:
            now = time.monotonic()
            wait_seconds = 0.0 if self._news or called else self._next_alarm(deadline) - now
            ready, rung = self._waiter.wait(wait_seconds, extra_fds)
            called = called or rung
            now = time.monotonic()
            if ready:
                self._read(ready, now)
            self._tend(now)
            called = called or self._has_new_child  # there is capacity again
            if self._news or called or now >= deadline:
                news, self._news = self._news, []
                return news

    def wake(self) -> None:
        """Make `collect` return."""
        self._waiter.wake()

    def cancel(self, run_id: str, step: int) -> None:
        """End this step's attempt, or drop it when it has not begun."""
        now = time.monotonic()
        for slot in self._slots:
            if any(job.step == step and job.run_id == run_id for job in slot.queue):
                self._take_back(slot, now)
                head = slot.queue[0] if slot.queue else None
                if head is not None and head.step == step and head.run_id == run_id:
                    self._end(slot, cancelled(head), now)
        kept = deque[Job]()
        for job in self._backlog:
            if job.step == step and job.run_id == run_id:
                self._news.append(cancelled(job))
            else:
                kept.append(job)
        self._backlog = kept
        self._feed(now)

    def recall(self) -> None:
        """Hand back what has not begun."""
        now = time.monotonic()
        for slot in self._slots:
            self._take_back(slot, now)
        self._release_backlog()

    def stop(self, grace_seconds: float) -> list[Outcome]:
        """Let what runs finish, for `grace_seconds`, then end it as released; no process is left afterwards."""
        self._stopping = True
        self.recall()
        deadline = time.monotonic() + grace_seconds
        outcomes = self._collect_until(deadline)
        now = time.monotonic()
        for slot in self._slots:
            if slot.queue and slot.ending is None:
                self._end(slot, released(slot.queue[0]), now)
        outcomes += self._collect_until(now + min(_FAREWELL_SECONDS, self._kill_grace_seconds))
        outcomes += [slot.ending or released(job) for slot in self._slots for job in slot.queue]
        self.kill()
        return outcomes

    def kill(self) -> None:
        """Kill all children and the zygote; nothing more comes back."""
        self._stopping = True
        self._nursery.close()
        for slot in self._slots:
            slot.queue.clear()
        self._backlog.clear()
        self._news.clear()
        self._waiter.close()

    # ------------------------------------------------------------------ sending

    def _room(self, slot: Slot, now: float) -> int:
        if not slot.takes_jobs:
            return 0
        load = len(slot.queue)
        window = 1 if load and now - slot.head_since > LONG_SECONDS else self._window.size
        return max(0, min(window, self._max_jobs - slot.served) - load)

    def _feed(self, now: float) -> None:
        """Fill the children's windows from the backlog, the emptiest child first, all to the same level."""
        backlog = self._backlog
        if not backlog:
            return
        slots = sorted((slot for slot in self._slots if self._room(slot, now)), key=lambda slot: len(slot.queue))
        to_share = len(backlog) + sum(len(slot.queue) for slot in slots)
        for index, slot in enumerate(slots):
            load = len(slot.queue)
            level = math.ceil(to_share / (len(slots) - index))
            to_share -= load
            for _ in range(min(level - load, self._room(slot, now))):
                if not backlog:
                    return
                job = backlog.popleft()
                if not slot.send(job, now):
                    backlog.appendleft(job)
                    break
                to_share -= 1

    def _take_back(self, slot: Slot, now: float) -> None:
        """Put what this child has not begun at the front of the backlog; only what it runs is left in its queue."""
        if len(slot.queue) == 0 or not slot.is_open:
            return
        jobs = slot.take_back()
        if jobs:
            if not self._backlog:
                self._backlog_since = now
            self._backlog.extendleft(reversed(jobs))
        if len(slot.queue) > 1:
            self._hear(slot, slot.read_all(now), now)

    def _release_backlog(self) -> None:
        self._news += [released(job) for job in self._backlog]
        self._backlog.clear()

    # ------------------------------------------------------------------ hearing

    def _read(self, ready: list[int], now: float) -> None:
        seconds, count = 0.0, 0
        for descriptor in ready:
            slot = self._nursery.slot_at(descriptor)
            if slot is None:
                self._attend_births_and_deaths(now)
                continue
            news = slot.read(now)
            if slot.is_silent:
                self._waiter.unwatch(descriptor)
            for item in news:
                if isinstance(item, Outcome):
                    seconds += item.seconds
                    count += 1
            self._hear(slot, news, now)
        if count:
            self._window.learn(seconds, count)

    def _hear(self, slot: Slot, news: list[News], now: float) -> None:
        ending = slot.ending
        if ending is not None:
            news = [overridden(item, ending) if isinstance(item, Outcome) else item for item in news]
        self._news += news
        if (slot.wants_to_retire or slot.served >= self._max_jobs) and not slot.retiring:
            slot.retiring = True
            self._take_back(slot, now)
            slot.tell_to_stop()

    def _attend_births_and_deaths(self, now: float) -> None:
        for slot, exit_code in self._nursery.attend(now):
            self._hear(slot, slot.read_all(now), now)
            jobs = slot.take_back()
            self._backlog.extendleft(reversed(jobs))
            for job in slot.queue:
                outcome = slot.ending
                if outcome is None:
                    outcome = self._death_of(job, exit_code)
                outcome.output = slot.last_output()
                outcome.seconds = now - slot.head_since
                self._news.append(outcome)
            died_idle = not slot.queue
            slot.queue.clear()
            self._nursery.bury(slot, now, died_idle=died_idle)

    def _death_of(self, job: Job, exit_code: int | None) -> Outcome:
        if exit_code is None:
            return zygote_lost(job)
        if self._stopping and exit_code in (-signal.SIGTERM, 128 + signal.SIGTERM):
            return released(job)
        return died(job, exit_code)

    # ------------------------------------------------------------------ by the clock

    def _next_alarm(self, deadline: float) -> float:
        """When something must be done even if nothing is heard."""
        alarm = deadline
        for slot in self._slots:
            if not slot.is_open:
                if not self._stopping:
                    alarm = min(alarm, slot.reopen_at)
            elif slot.ending is not None:
                if slot.kill_at:
                    alarm = min(alarm, slot.kill_at)
            elif slot.queue:
                timeout = slot.queue[0].timeout
                if timeout is not None and slot.pid:
                    alarm = min(alarm, slot.head_since + timeout)
                if len(slot.queue) > 1:
                    alarm = min(alarm, slot.head_since + LONG_SECONDS)
        return min(alarm, self._backlog_since + _BACKLOG_SECONDS) if self._backlog else alarm

    def _tend(self, now: float) -> None:
        """Do what is due: end attempts at their timeout, take jobs from behind long ones, give jobs out, reopen."""
        for slot in self._slots:
            if not slot.is_open:
                if now >= slot.reopen_at and not self._stopping:
                    self._nursery.open(slot)
                    self._has_new_child = True
            elif slot.ending is not None:
                if slot.kill_at and now >= slot.kill_at:
                    slot.kill_at = 0.0
                    self._nursery.signal(slot, signal.SIGKILL)
            elif slot.queue:
                self._tend_busy(slot, now)
        self._feed(now)
        if self._backlog and now - self._backlog_since > _BACKLOG_SECONDS:
            self._release_backlog()

    def _tend_busy(self, slot: Slot, now: float) -> None:
        if len(slot.queue) > 1 and now - slot.head_since > LONG_SECONDS:
            self._take_back(slot, now)
        head = slot.queue[0] if slot.queue else None
        if head is None or head.timeout is None or not slot.pid or now - slot.head_since < head.timeout:
            return
        self._take_back(slot, now)
        self._hear(slot, slot.read_all(now), now)
        if slot.queue and slot.queue[0] is head:
            self._end(slot, timed_out(head), now)

    def _end(self, slot: Slot, outcome: Outcome, now: float) -> None:
        """Begin the ladder for the job that this child runs; everything behind it has been taken back."""
        slot.ending = outcome
        slot.kill_at = now + self._kill_grace_seconds
        self._nursery.signal(slot, signal.SIGTERM)

    def _collect_until(self, deadline: float) -> list[Outcome]:
        outcomes: list[Outcome] = []
        while True:
            outcomes += [item for item in self._news if isinstance(item, Outcome)]
            self._news.clear()
            left = deadline - time.monotonic()
            if not any(slot.queue for slot in self._slots) or left <= 0:
                self._release_backlog()
                return outcomes + [item for item in self._news if isinstance(item, Outcome)]
            self._news += self.collect(left)
