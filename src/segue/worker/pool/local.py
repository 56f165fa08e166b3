"""The common part of the pools that run attempts inside the worker's own process.

Nothing in this process can be killed. At its timeout, or when it is cancelled, an attempt is asked to end (its next
`progress` raises `Cancelled`, or its coroutine is cancelled). A timed-out attempt is reported as failed immediately and
*abandoned*: it may continue, but its late result is dropped. Use the process pool for code that may hang.

The entries belong to the thread that drives the pool. Runners only write `begun_at` and put news into the inbox.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from time import monotonic  # by name: a task may replace `time.monotonic`

from segue.attempt.around import attempting_process
from segue.attempt.outcomes import broke, cancelled, overridden, released, timed_out
from segue.attempt.secrets import hide_so_far
from segue.engine.transactional import TaskTransactions
from segue.loop.self_pipe import Wakeup
from segue.model import Attempt, Job, Outcome, Progress
from segue.payloads.keeping import Payloads
from segue.store.protocol import Store
from segue.worker.pool import News
from segue.worker.pool.routing import Tail, routing
from segue.worker.pool.waiting import Waiter


class Entry:
    """A job in a local pool."""

    __slots__ = ("_ticket", "abandoned", "begun_at", "job", "must_end", "tail")

    def __init__(self, job: Job) -> None:
        self.job = job
        self.begun_at: float | None = None
        self.must_end = False
        self.abandoned = False
        self.tail: Tail | None = None  # of what it prints, once it runs
        self._ticket = [None]

    def take(self) -> bool:
        """True for one caller only: the runner that begins the job, or the pool that takes it back before one does."""
        try:
            self._ticket.pop()
        except IndexError:
            return False
        return True

    def asked_to_end(self) -> bool:
        """Whether the attempt should end at its next report of progress."""
        return self.must_end


class LocalPool:
    """`size` attempts at the same time; a subclass defines how an attempt begins and how it is interrupted.

    Transactional tasks need the `store`, and long values the `payloads`.
    """

    def __init__(self, size: int, store: Store | None = None, payloads: Payloads | None = None) -> None:
        self._size = size
        self._payloads = payloads
        self._transactions = None if store is None else TaskTransactions(lambda: store)
        self._waiter = Waiter()
        self._wakeup = Wakeup()
        self._waiter.watch(self._wakeup.fileno())
        self._waiting: deque[Entry] = deque()
        self._running: dict[Attempt, Entry] = {}
        self._inbox: deque[tuple[Entry, News]] = deque()  # filled by the runners
        self._news: list[News] = []
        self._is_routing = False
        self._is_open = False

    def _begin(self, entry: Entry) -> None:
        raise NotImplementedError

    def _interrupt(self, entry: Entry) -> None:
        raise NotImplementedError

    def _close(self) -> None:
        raise NotImplementedError

    def start(self) -> None:
        """Begin to route the output of attempts."""
        routing.install()
        self._is_routing = self._is_open = True
        attempting_process.begin()

    @property
    def capacity(self) -> int:
        """Free places."""
        return max(0, self._size - len(self._running) - len(self._waiting)) if self._is_open else 0

    @property
    def in_flight(self) -> list[Attempt]:
        """The attempts that were submitted and have not come back."""
        found = list(self._running)
        found += [_key(entry.job) for entry in self._waiting]
        found += [_key(item) for item in self._news if isinstance(item, Outcome)]
        return found

    def submit(self, jobs: Sequence[Job]) -> None:
        """Begin these jobs; those beyond `capacity` wait for a place."""
        self._waiting.extend(Entry(job) for job in jobs)
        self._fill()

    def collect(self, timeout_seconds: float, extra_fds: Sequence[int] = ()) -> list[News]:
        """Wait for news; see `Pool.collect`."""
        deadline = monotonic() + timeout_seconds
        called = False
        while True:
            now = monotonic()
            wait_seconds = 0.0 if self._news or called else self._next_alarm(deadline) - now
            ready, rung = self._waiter.wait(wait_seconds, extra_fds)
            called = called or rung
            if ready:
                self._wakeup.answer()
            self._read_inbox()
            now = monotonic()
            self._end_overdue(now)
            self._fill()
            if self._news or called or now >= deadline:
                news, self._news = self._news, []
                return news

    def wake(self) -> None:
        """Make `collect` return."""
        self._waiter.wake()

    def cancel(self, run_id: str, step: int) -> None:
        """Drop this step's attempt if it has not begun, otherwise ask it to end; see the module's docstring."""
        for entry in [entry for entry in self._waiting if entry.job.run_id == run_id and entry.job.step == step]:
            self._waiting.remove(entry)
            self._news.append(cancelled(entry.job))
        for entry in self._running.values():
            if entry.job.run_id == run_id and entry.job.step == step and not entry.must_end:
                entry.must_end = True
                if entry.take():  # no runner has begun it, and none will
                    self._inbox.append((entry, cancelled(entry.job)))
                    self._wakeup.ring()
                else:
                    self._interrupt(entry)

    def output_of(self, run_id: str, step: int) -> str | None:
        """The end of what this step's attempt has printed so far; see `Pool.output_of`."""
        for entry in self._running.values():
            if entry.job.run_id == run_id and entry.job.step == step and entry.tail is not None:
                return hide_so_far(entry.job, entry.tail.so_far())
        return None

    def recall(self) -> None:
        """Hand back jobs that have not begun."""
        self._news += [released(entry.job) for entry in self._waiting]
        self._waiting.clear()

    def stop(self, grace_seconds: float) -> list[Outcome]:
        """Let running attempts finish within `grace_seconds`; those that still run then are abandoned and released."""
        self._is_open = False
        self.recall()
        deadline = monotonic() + grace_seconds
        news: list[News] = []
        while self._running and (left := deadline - monotonic()) > 0:
            news += self.collect(left)
        self._read_inbox()
        news += self._news
        news += [released(entry.job) for entry in self._running.values()]
        self._shut()
        return [item for item in news if isinstance(item, Outcome)]

    def kill(self) -> None:
        """Abandon everything."""
        self._is_open = False
        self._shut()

    def _post(self, entry: Entry, item: News) -> None:
        """Called by runners, from their threads."""
        if not entry.abandoned:
            self._inbox.append((entry, item))
            self._wakeup.ring()

    def _report(self, entry: Entry, progress: Progress) -> None:
        self._post(entry, progress)

    def _fill(self) -> None:
        while self._waiting and len(self._running) < self._size:
            entry = self._waiting.popleft()
            self._running[_key(entry.job)] = entry
            try:
                self._begin(entry)
            except Exception as exc:  # noqa: BLE001 - this attempt fails, the worker continues
                self._post(entry, broke(entry.job, exc))

    def _read_inbox(self) -> None:
        while self._inbox:
            entry, item = self._inbox.popleft()
            if entry.abandoned or self._running.get(_key(entry.job)) is not entry:
                continue  # a late or second result
            if isinstance(item, Outcome):
                del self._running[_key(entry.job)]
                if entry.must_end:
                    item = overridden(item, cancelled(entry.job))
            self._news.append(item)

    def _next_alarm(self, deadline: float) -> float:
        alarm = deadline
        for entry in self._running.values():
            timeout = entry.job.timeout
            if timeout is not None:
                alarm = min(alarm, (entry.begun_at or monotonic()) + timeout)
        return alarm

    def _end_overdue(self, now: float) -> None:
        for key, entry in list(self._running.items()):
            timeout, begun_at = entry.job.timeout, entry.begun_at
            if timeout is not None and begun_at is not None and now - begun_at >= timeout:
                del self._running[key]
                self._news.append(cancelled(entry.job) if entry.must_end else timed_out(entry.job))
                self._abandon(entry)

    def _abandon(self, entry: Entry) -> None:
        entry.abandoned = True
        entry.must_end = True
        if self._transactions is not None:  # otherwise its rows would stay locked, on SQLite the whole database
            self._transactions.revoke(_key(entry.job))
        if not entry.take():  # otherwise no runner has begun it, and none will
            self._interrupt(entry)

    def _shut(self) -> None:
        for entry in self._running.values():
            self._abandon(entry)
        self._running.clear()
        self._waiting.clear()
        self._news.clear()
        self._close()
        if self._transactions is not None:
            self._transactions.close()
        if self._is_routing:  # a pool may be killed before it starts, or after it was stopped
            self._is_routing = False
            routing.remove()
            attempting_process.end()
        self._waiter.close()
        self._wakeup.close()


def _key(item: Job | Outcome) -> Attempt:
    return (item.run_id, item.step, item.attempt)
