"""What a task may ask and say while it runs: who it is, how far it is, whether it should stop.

The runner makes a `Context` for each attempt and puts it in place with `use`; tasks see it through `current` and
`progress`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sized
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Final, TypeVar, overload

import msgspec

from segue.clock import SystemClock
from segue.errors import SegueError

T = TypeVar("T")

REPORT_EVERY_SECONDS = 0.1
"""How often a loop over `progress(iterable)` reports at most."""


class Cancelled(BaseException):
    """Raised inside a task, by `progress`, when its run was cancelled or its attempt is to stop.

    Not an `Exception`, so that a task's own `except Exception` lets it through.
    """


class NoStepError(SegueError, RuntimeError):
    """`current()` was asked outside of a step."""


def _never() -> bool:
    return False


class Context(msgspec.Struct, frozen=True):
    """The attempt that is running now."""

    run_id: str
    step: int
    attempt: int  # 1 for the first
    name: str  # of the step: "parse[3]"
    task: str
    report: Callable[[float, float | None, str], None]  # done, total, message
    failures: int = 0  # tries that failed before this one
    timeout: float | None = None  # seconds
    cancelled: Callable[[], bool] = _never

    @property
    def idempotency_key(self) -> str:
        """The same for every attempt at this step, and for no other step: for asking another service to do it once."""
        return f"{self.run_id}:{self.step}"


_context: Final[ContextVar[Context | None]] = ContextVar("segue_context", default=None)
_clock = SystemClock()


def current() -> Context:
    """The attempt that is running; raises `NoStepError` outside of a step.

    Example::

        payments.charge(order, idempotency_key=current().idempotency_key)
    """
    context = _context.get()
    if context is None:
        raise NoStepError(
            "current() was asked where no step is running; call it inside a task that Segue runs, "
            "or give what it would tell as an argument"
        )
    return context


@contextmanager
def use(context: Context) -> Iterator[Context]:
    """Make this the current attempt, for the runner."""
    token = _context.set(context)
    try:
        yield context
    finally:
        _context.reset(token)


@overload
def progress(done: float, total: float | None = None, message: str = "") -> None: ...
@overload
def progress(done: Iterable[T], total: float | None = None, message: str = "") -> Iterator[T]: ...
def progress(done: float | Iterable[T], total: float | None = None, message: str = "") -> Iterator[T] | None:
    """Say how far the step is; or go through an iterable and say it on the way.

    Rate and time left are worked out from what is said. Raises `Cancelled` when the step is to stop. Outside of a step
    it says nothing, so the task remains a plain function.

    Example::

        for path in progress(paths, message="parsing"):
            parse(path)
        progress(30, 120, "rows")
    """
    if isinstance(done, (int, float)):
        context = _context.get()
        if context is not None:
            _say(context, done, total, message)
        return None
    return _going_through(done, total, message)


def _going_through(items: Iterable[T], total: float | None, message: str) -> Iterator[T]:
    context = _context.get()
    if context is None:
        yield from items
        return
    if total is None and isinstance(items, Sized):
        total = len(items)
    count = 0
    _say(context, count, total, message)
    said_at = _clock.monotonic()
    said = 0
    for item in items:
        yield item
        count += 1
        if context.cancelled():
            raise Cancelled
        now = _clock.monotonic()
        if now - said_at >= REPORT_EVERY_SECONDS:
            context.report(count, total, message)
            said_at, said = now, count
    if said != count:
        context.report(count, total, message)


def _say(context: Context, done: float, total: float | None, message: str) -> None:
    if context.cancelled():
        raise Cancelled
    context.report(done, total, message)
