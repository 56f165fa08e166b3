"""One attempt in the worker thread that runs it, from its begin to the ack of its message."""

from __future__ import annotations

import threading
import time
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any

from dramatiq.middleware import Interrupt, raise_thread_exception
from dramatiq.threading import is_gevent_active

from segue.authoring.context import Context, checked_progress
from segue.given import MESSAGE_LIMIT_BYTES, clean
from segue.model import Attempt, Progress

if TYPE_CHECKING:
    from segue.executors.dramatiq.desk import Desk


class CancelledStep(Interrupt):
    """Raised in the thread of an actor whose run was cancelled, as Dramatiq's `TimeLimitExceeded` is."""


class RunningAttempt:
    """What is known of an attempt while its message is with this process."""

    def __init__(self, desk: Desk, attempt: Attempt, message: Any, *, holds_places: bool) -> None:
        self.desk = desk
        self.attempt = attempt
        self.message = message
        self.holds_places = holds_places
        self.retries = int(message.options.get("retries") or 0)  # before this try
        self.begun_at = time.monotonic()
        self.seconds = 0.0
        self.returned = False
        self.result: Any = None
        self.error: BaseException | None = None
        self.skipped = False
        self.retry_seconds: float | None = None
        self.retry_message: Any = None
        self.is_recorded = False
        self.is_asked_to_end = False
        self.use: Any = None  # the context that is to be left
        self.span: Any = None  # likewise
        self.taken_fence: Any = None  # while a copy of its message is sent
        self.thread = threading.current_thread()
        self._thread_id: int | None = threading.get_ident()  # None: its body has ended
        self._lock = threading.Lock()
        self._greenlet = _current_greenlet()

    @property
    def context(self) -> Context:
        """What `segue.current` and `segue.progress` see. The step is called by the name of its actor."""
        run_id, step, number = self.attempt
        actor = str(self.message.actor_name)
        return Context(
            run_id, step, number, actor, f"{self.desk.door.name}:{actor}", self._note, self.retries,
            cancelled=lambda: self.is_asked_to_end,
        )  # fmt: skip

    def ended(self, result: Any, error: BaseException | None) -> None:
        """Note how the body ended. A result counts, whatever is raised after it."""
        with self._lock:
            self._thread_id = None
        self.seconds = time.monotonic() - self.begun_at
        if error is None:
            self.returned, self.result = True, result
        else:
            self.error = error

    def has_recorded(self) -> None:
        """Its end is in the database."""
        self.is_recorded = True
        self.error = self.result = None  # which hold frames, and through them the message
        self.leave()

    def leave(self) -> None:
        """This process has the attempt no more."""
        if self.desk.running.get(self.attempt) is self:
            del self.desk.running[self.attempt]

    def ask_to_end(self) -> None:
        """Let the body be interrupted, once."""
        with self._lock:
            if self.is_asked_to_end or self._thread_id is None:
                return
            self.is_asked_to_end = True
            if self._greenlet is None:
                raise_thread_exception(self._thread_id, CancelledStep)
            else:  # no exception can be raised in it from outside, but when it is its turn
                self._greenlet.kill(CancelledStep, block=False)

    def _note(self, done: float, total: float | None, message: str) -> None:
        done, total, message = checked_progress(done, total, message)
        self.desk.note_progress(Progress(*self.attempt, done, total, clean(message, MESSAGE_LIMIT_BYTES)))


def _current_greenlet() -> Any:
    """What runs the actor in the place of a thread, with `dramatiq-gevent`; None in a thread."""
    if not is_gevent_active():
        return None
    from gevent import getcurrent  # noqa: PLC0415 - where it is active, it is installed

    return getcurrent()


_current: ContextVar[RunningAttempt | None] = ContextVar("segue_dramatiq_attempt", default=None)


def current_attempt() -> RunningAttempt | None:
    """The attempt whose body runs in this context."""
    return _current.get()


def set_current(attempt: RunningAttempt | None) -> None:
    """Say which attempt this context runs."""
    _current.set(attempt)
