"""Drives a worker's pool while its loop waits for the database, and stops the pool on request.

The loop is one thread. A call to the database takes milliseconds, but some ten seconds where a network drops packets.
Promises: an attempt ends at its timeout, however long a call takes; a request to stop takes effect during a call, and
so does the end of the grace period; a second request ends running attempts immediately.

A second thread checks a few times a second whether a call is taking long. If so, it drives the pool, and keeps the news
until the call returns. Invariant: the thread that uses the pool holds `_lock`. The loop holds it all the time, except
during the calls that it makes within `away`.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from contextlib import suppress
from types import TracebackType

from segue.model import Outcome, Verdict
from segue.observing.harmless_log import get_logger
from segue.worker.pool import News, Pool

LOOK_SECONDS = 0.25
"""A call that takes longer than this counts as long. A shorter time would cost an idle worker more."""

STUCK_SECONDS = 3.0
"""After the second request to stop, the database has so long to record the outcomes of ended attempts."""

_EXIT_GRACE_SECONDS = 1.0

logger = get_logger("segue.worker")


class Caretaker:
    """Looks after the pool beside the loop, while its `with` block lasts.

    Without `has_thread` only the loop drives the pool: with the inline pool, the loop runs the tasks as well.

    Example::

        with caretaker:
            pool.start()
            caretaker.pool_has_started()
            while not caretaker.has_ended:
                caretaker.attend()
                with caretaker.away:
                    engine.turn(...)
                hear(caretaker.take_news())
    """

    def __init__(self, pool: Pool, *, grace_seconds: float, has_thread: bool = True) -> None:
        self._pool = pool
        self._grace_seconds = grace_seconds
        self._lock = threading.Lock()
        self._is_over = threading.Event()
        self._thread = threading.Thread(target=self._keep, name="segue-caretaker", daemon=True) if has_thread else None
        self._away_since: float | None = None  # when the loop's current call to the database began; None: no call
        self._is_open = False  # the pool has started, and has not been ended
        self._requests = 0  # to stop; a number that a signal handler can change
        self._leave_at: float | None = None  # when the grace period ends; None: it is not stopping
        self._told_at: float | None = None  # when the second request was seen
        self._news: list[News] = []
        self.away = Away(self)
        """The block within which the loop calls the database and does not use the pool."""
        self.on_stuck: Callable[[], None] | None = None
        """Called, in the caretaker's thread, if the database hangs after two requests to stop."""

    def __enter__(self) -> Caretaker:
        self._lock.acquire()
        if self._thread is not None:
            self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._is_over.set()
        with suppress(RuntimeError):  # see `leave`
            self._lock.release()  # the thread may be waiting for it
        if self._thread is not None:
            self._thread.join(_EXIT_GRACE_SECONDS)

    # Stopping -----------------------------------------------------------------------------------------------------

    @property
    def is_asked(self) -> bool:
        """Whether it was asked to stop."""
        return self._requests > 0

    @property
    def is_stopping(self) -> bool:
        """Whether it is stopping: nothing new begins, and jobs that had not begun were handed back."""
        return self._leave_at is not None

    @property
    def has_ended(self) -> bool:
        """Whether the pool was ended, because the grace period was over or there were two requests."""
        return self.is_stopping and not self._is_open

    def ask_to_stop(self, *, at_once: bool = False) -> None:
        """Ask it to stop: warm at the first request, cold at the second or with `at_once`.

        Safe in any thread and in signal handlers.
        """
        self._requests += 2 if at_once else 1
        self._pool.wake()

    def pool_has_started(self) -> None:
        """From now on the pool is looked after."""
        self._is_open = True

    def attend(self) -> None:
        """Act on requests: begin to stop, or end the pool when its time is over."""
        if not self._is_open or not self._requests:
            return
        if self._leave_at is None:
            self._leave_at = time.monotonic() + self._grace_seconds
            self._pool.recall()
            logger.info("stopping: waiting up to %g s for running steps", self._grace_seconds)
        if self._requests > 1 or time.monotonic() >= self._leave_at:
            self.end_pool()

    def end_pool(self) -> None:
        """End running attempts, which are handed back. A second call does nothing."""
        if not self._is_open:
            return
        self._is_open = False
        if self._requests > 1:
            left = self._pool.in_flight
            self._pool.kill()
            self._news += [Outcome(*attempt, Verdict.RELEASED) for attempt in left]
        else:
            self._news += self._pool.stop(0)

    # Beside the loop ----------------------------------------------------------------------------------------------

    @property
    def has_news(self) -> bool:
        """Whether there is news to take."""
        return bool(self._news)

    def take_news(self) -> list[News]:
        """The news that the pool returned elsewhere than in the loop's own `collect`."""
        news, self._news = self._news, []
        return news

    def leave(self) -> None:
        """The loop begins a call to the database."""
        self._away_since = time.monotonic()
        try:  # noqa: SIM105 - `suppress` takes as long as all the rest
            self._lock.release()
        except RuntimeError:  # Ctrl-C came after the last call, before the lock was taken again
            pass

    def come_back(self) -> None:
        """The loop's call has returned, and the loop needs the pool."""
        self._away_since = None
        if not self._lock.acquire(blocking=False):
            self._pool.wake()
            self._lock.acquire()

    def _keep(self) -> None:
        while not self._is_over.wait(LOOK_SECONDS):
            since = self._away_since
            if since is None or time.monotonic() - since < LOOK_SECONDS:
                continue
            try:
                self._stand_in(since)
            except Exception:
                logger.exception("driving the pool during a call to the database failed, trying again")
            self._leave_if_stuck()

    def _stand_in(self, since: float) -> None:
        """Drive the pool until the loop returns from the call that began at `since`."""
        while True:
            with self._lock:
                if self._away_since != since:
                    return
                self.attend()
                if not self._is_open:
                    return
                self._news += self._pool.collect(LOOK_SECONDS)
                self.attend()

    def _leave_if_stuck(self) -> None:
        if self._requests < 2 or self._away_since is None:
            return
        now = time.monotonic()
        if self._told_at is None:
            self._told_at = now
        elif now - self._told_at >= STUCK_SECONDS and self.on_stuck is not None:
            call, self.on_stuck = self.on_stuck, None
            call()


class Away:
    """The block in which the loop calls the database. A class, because a generator costs ten times as much."""

    __slots__ = ("_caretaker",)

    def __init__(self, caretaker: Caretaker) -> None:
        self._caretaker = caretaker

    def __enter__(self) -> None:
        self._caretaker.leave()

    def __exit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._caretaker.come_back()
