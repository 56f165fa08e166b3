"""The process pool: child processes that take one job at a time, supervised so that no task can hurt the worker.

A task may crash, hang, ignore signals, fill its output or use up memory: only its own attempt is lost. A zygote forks
the children (see `zygote`). They hold a few jobs ahead when tasks are short (see `backlog`), and give back jobs that
would wait behind a long task (see `slot`).

To end an attempt, at its timeout or on `cancel`, the pool sends SIGTERM to the child's process group, which raises
`Cancelled` inside the task; `kill_grace_seconds` later it sends SIGKILL.
"""

from __future__ import annotations

import signal
from collections.abc import Iterable, Sequence
from time import monotonic  # by name: a task may replace `time.monotonic`

from segue.attempt.outcomes import (
    RESULT_LIMIT_BYTES,
    cancelled,
    died,
    garbled,
    overridden,
    released,
    timed_out,
    zygote_lost,
)
from segue.attempt.secrets import hide_in, hide_so_far
from segue.model import Attempt, Job, Outcome
from segue.observing.metrics import registry
from segue.observing.metrics.meter import metering
from segue.payloads.address import PayloadsAddress
from segue.worker.pool import News
from segue.worker.pool.backlog import Backlog
from segue.worker.pool.children import Children
from segue.worker.pool.deadlines import has_timed_out, holds_up_others, is_to_be_killed, next_alarm
from segue.worker.pool.slot import Slot, key_of
from segue.worker.pool.waiting import Waiter

KILL_GRACE_SECONDS = 5.0
MAX_JOBS = 10_000
_EXIT_GRACE_SECONDS = 1.0


class ProcessPool:
    """`size` child processes that have imported `modules`.

    A child is replaced after `max_jobs` jobs, and between two jobs if its memory has grown beyond `max_rss_mb`.
    Transactional tasks need `database_url`; each child that runs one keeps a connection to it. Each child opens the
    payload store at `payloads` for itself.

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
        payloads: PayloadsAddress | None = None,
    ) -> None:
        self._waiter = Waiter()
        self._children = Children(
            size, self._waiter, tuple(modules), max_rss_mb, result_limit_bytes, database_url, payloads
        )  # fmt: skip
        self._slots = self._children.slots
        self._kill_grace_seconds = kill_grace_seconds
        self._max_jobs = max_jobs
        self._backlog = Backlog(self._slots, max_jobs)
        self._news: list[News] = []  # to be returned by the next collect
        self._stopping = False
        self._has_new_child = False

    def start(self) -> None:
        """Import the modules in the zygote and fork the children. Raises `WorkerError` if an import fails."""
        self._children.start()

    @property
    def capacity(self) -> int:
        """Free places in the children's windows, minus the jobs that wait for a child."""
        if self._stopping:
            return 0
        return self._backlog.room(monotonic())

    @property
    def in_flight(self) -> list[Attempt]:
        """The attempts that were submitted and not yet collected."""
        found = [key_of(job) for slot in self._slots for job in slot.queue]
        found += [key_of(job) for job in self._backlog]
        found += [key_of(item) for item in self._news if isinstance(item, Outcome)]
        return found

    @property
    def child_pids(self) -> list[int]:
        """The process ids of the children that are alive now."""
        return [slot.pid for slot in self._slots if slot.is_open and slot.pid]

    @property
    def zygote_pid(self) -> int:
        """The process id of the zygote."""
        return self._children.zygote_pid

    def printed(self, position: int) -> tuple[bytes, int]:
        """What the attempt of the first child has printed behind a position, and the position behind that."""
        return self._slots[0].output_after(position)

    def submit(self, jobs: Sequence[Job]) -> None:
        """Send these jobs to the children, evenly; jobs that do not fit soon come back as released."""
        now = monotonic()
        self._backlog.add(jobs, now)
        self._news += self._backlog.feed(now)

    def collect(self, timeout_seconds: float, extra_fds: Sequence[int] = ()) -> list[News]:
        """Wait for news; see `Pool.collect`. Raises `WorkerError` if a restarted zygote cannot import the modules."""
        deadline = monotonic() + timeout_seconds
        called = False
        self._has_new_child = False
        while True:
            now = monotonic()
            wait_seconds = 0.0 if self._news or called else self._next_alarm(deadline) - now
            ready, rung = self._waiter.wait(wait_seconds, extra_fds)
            called = called or rung
            now = monotonic()
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
        """End this step's attempt, or drop it if it has not begun."""
        now = monotonic()
        for slot in self._slots:
            if any(job.step == step and job.run_id == run_id for job in slot.queue):
                self._take_back(slot, now)
                head = slot.queue[0] if slot.queue else None
                if head is not None and head.step == step and head.run_id == run_id:
                    self._end(slot, cancelled(head), now)
        self._news += self._backlog.drop(run_id, step)
        self._news += self._backlog.feed(now)

    def output_of(self, run_id: str, step: int) -> str | None:
        """The end of what this step's attempt has printed so far; see `Pool.output_of`."""
        for slot in self._slots:
            head = slot.queue[0] if slot.queue else None
            if head is not None and head.step == step and head.run_id == run_id:
                text = slot.output_so_far()
                for job in slot.queue:  # the child may have gone on to the next one
                    text = hide_so_far(job, text)
                return text
        return None

    def recall(self) -> None:
        """Hand back jobs that have not begun."""
        now = monotonic()
        for slot in self._slots:
            self._take_back(slot, now)
        self._news += self._backlog.release()

    def stop(self, grace_seconds: float) -> list[Outcome]:
        """Let running attempts finish within `grace_seconds`, then end them as released. Leaves no process."""
        self._stopping = True
        self.recall()
        deadline = monotonic() + grace_seconds
        outcomes = self._collect_until(deadline)
        now = monotonic()
        for slot in self._slots:
            if slot.queue and slot.ending is None:
                self._end(slot, released(slot.queue[0]), now)
        outcomes += self._collect_until(now + min(_EXIT_GRACE_SECONDS, self._kill_grace_seconds))
        outcomes += [slot.ending or released(job) for slot in self._slots for job in slot.queue]
        self.kill()
        return outcomes

    def kill(self) -> None:
        """Kill all children and the zygote; nothing more is reported."""
        self._stopping = True
        self._children.close()
        for slot in self._slots:
            slot.queue.clear()
        self._backlog.release()
        self._news.clear()
        self._waiter.close()

    # ------------------------------------------------------------------ sending

    def _take_back(self, slot: Slot, now: float) -> None:
        """Move the jobs that this child has not begun to the front of the backlog; its queue keeps the running one."""
        if len(slot.queue) == 0 or not slot.is_open:
            return
        self._backlog.put_back(slot.take_back(), now)
        if len(slot.queue) > 1:
            self._hear(slot, slot.read_all(now), now)

    # ------------------------------------------------------------------ hearing

    def _read(self, ready: list[int], now: float) -> None:
        seconds, count = 0.0, 0
        for descriptor in ready:
            slot = self._children.slot_at(descriptor)
            if slot is None:
                self._read_births_and_deaths(now)
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
            self._backlog.window.learn(seconds, count)

    def _hear(self, slot: Slot, news: list[News], now: float) -> None:
        ending = slot.ending
        if ending is not None:
            news = [overridden(item, ending) if isinstance(item, Outcome) else item for item in news]
        self._news += news
        if slot.is_garbled and not slot.retiring:
            self._give_up_on(slot, now)
            return
        if (slot.wants_to_retire or slot.served >= self._max_jobs) and not slot.retiring:
            slot.retiring = True
            self._take_back(slot, now)
            slot.tell_to_stop()

    def _give_up_on(self, slot: Slot, now: float) -> None:
        """Kill a child that sends garbled frames. Its running job has failed; the rest goes elsewhere."""
        slot.retiring = True
        self._children.silence(slot)
        self._take_back(slot, now)
        slot.tell_to_stop()  # in case it runs nothing
        if slot.queue and slot.ending is None:
            slot.ending = garbled(slot.queue[0])
            slot.kill_at = now

    def _read_births_and_deaths(self, now: float) -> None:
        for slot, exit_code in self._children.read_reports(now):
            self._hear(slot, slot.read_all(now), now)
            self._backlog.put_back(slot.take_back(), now)
            for job in slot.queue:
                outcome = slot.ending
                if outcome is None:
                    outcome = self._death_of(job, exit_code)
                outcome.output = hide_in(job, slot.last_output())
                outcome.seconds = now - slot.head_since
                self._news.append(outcome)
            died_idle = not slot.queue
            metering.add(registry.CHILDREN_ENDED, self._why_ended(slot))
            slot.queue.clear()
            self._children.close_dead(slot, now, died_idle=died_idle)

    def _why_ended(self, slot: Slot) -> str:
        if self._stopping:
            return "stopped"
        if slot.ending is not None:
            return "ended"  # a timeout, a cancellation, or garbled frames
        return "replaced" if slot.retiring else "died"

    def _death_of(self, job: Job, exit_code: int | None) -> Outcome:
        if exit_code is None:
            return zygote_lost(job)
        if self._stopping and exit_code in (-signal.SIGTERM, 128 + signal.SIGTERM):
            return released(job)
        return died(job, exit_code)

    # ------------------------------------------------------------------ by the clock

    def _next_alarm(self, deadline: float) -> float:
        """When the pool must act even if it receives nothing."""
        slots = (slot for slot in self._slots if slot.is_open or not self._stopping)
        return min([deadline, self._backlog.release_at(), *map(next_alarm, slots)])

    def _tend(self, now: float) -> None:
        """Act on what is due: end attempts at timeouts, take jobs from behind long ones, hand out jobs, open slots."""
        for slot in self._slots:
            if not slot.is_open:
                if now >= slot.reopen_at and not self._stopping and self._children.open(slot):
                    self._has_new_child = True
            elif slot.ending is not None:
                if is_to_be_killed(slot, now):
                    slot.kill_at = 0.0
                    self._children.signal(slot, signal.SIGKILL)
            elif slot.queue:
                self._tend_busy(slot, now)
        self._news += self._backlog.feed(now)
        if now > self._backlog.release_at():
            self._news += self._backlog.release()

    def _tend_busy(self, slot: Slot, now: float) -> None:
        if holds_up_others(slot, now):
            self._take_back(slot, now)
        if not has_timed_out(slot, now):
            return
        head = slot.queue[0]
        self._take_back(slot, now)
        self._hear(slot, slot.read_all(now), now)
        if slot.queue and slot.queue[0] is head:
            self._end(slot, timed_out(head), now)

    def _end(self, slot: Slot, outcome: Outcome, now: float) -> None:
        """Begin to end the job that this child runs; all jobs behind it have been taken back."""
        slot.ending = outcome
        slot.kill_at = now + self._kill_grace_seconds
        self._children.signal(slot, signal.SIGTERM)

    def _collect_until(self, deadline: float) -> list[Outcome]:
        outcomes: list[Outcome] = []
        while True:
            outcomes += [item for item in self._news if isinstance(item, Outcome)]
            self._news.clear()
            left = deadline - monotonic()
            if not any(slot.queue for slot in self._slots) or left <= 0:
                self._news += self._backlog.release()
                return outcomes + [item for item in self._news if isinstance(item, Outcome)]
            self._news += self.collect(left)
