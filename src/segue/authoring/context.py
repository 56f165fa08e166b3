"""What a task may ask and report while it runs: its step, its progress, and whether it should stop.

The runner makes a `Context` for each attempt and activates it with `use`; tasks see it through `current` and
`progress`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence, Sized
from contextvars import ContextVar
from datetime import datetime
from numbers import Number
from typing import Any, Final, Protocol, TypeVar, overload

import msgspec

from segue.clock import SystemClock
from segue.errors import DefinitionError, SegueError
from segue.given import finite, shown
from segue.observing.tracing.switch import tracing

T = TypeVar("T")

REPORT_EVERY_SECONDS = 0.1
"""The shortest time between two reports of a loop over `progress(iterable)`."""


class Cancelled(BaseException):
    """Raised inside a task, by `progress`, when its run was cancelled or its attempt is to stop.

    It is not an `Exception`, so that a task's own `except Exception` lets it through. A task that raises it by itself
    cancels nothing: its attempt has failed.
    """


class Suspended(BaseException):
    """Raised inside a task by `sleep` and `wait_for`: the attempt ends, and the task comes again when that is over.

    It is not an `Exception`, so that a task's own `except Exception` lets it through. `finally` blocks run. Whatever
    the task does after it has no effect on its step.
    """


class Journal(Protocol):
    """What the running attempt records so that the next one goes on from there; see `segue.attempt.journal`."""

    def checkpoint(
        self, name: str, fn: Callable[..., Any], args: Sequence[Any], kwargs: Mapping[str, Any], *, transactional: bool
    ) -> Any:
        """The recorded result of the function; it is called only if there is none."""
        ...

    def sleep(self, *, seconds: float | None, until: datetime | None) -> None:
        """Return if this time is over; else raise Suspended."""
        ...

    def wait_for(self, name: str, *, timeout: float | None, default: str | None) -> Any:
        """The value of the message; raises Suspended if it has not come."""
        ...

    def begin_item(self, number: int) -> None:
        """From now on the calls are of this item of a batch, so names of earlier items may be used again."""
        ...

    def bulk(self, order: dict[str, Any]) -> dict[str, Any]:
        """Apply a verb to many runs; see `segue.attempt.bulk`."""
        ...


class NoStepError(SegueError, RuntimeError):
    """`current()` was called outside of a step."""


def _never() -> bool:
    return False


class Context(msgspec.Struct, frozen=True):
    """The running attempt."""

    run_id: str
    step: int
    attempt: int  # 1 for the first
    name: str  # of the step: "parse[3]"
    task: str
    report: Callable[[float, float | None, str], None]  # done, total, message
    failures: int = 0  # tries that failed before this one
    timeout: float | None = None  # seconds
    cancelled: Callable[[], bool] = _never
    journal: Journal | None = None  # None where nothing can be recorded: on Celery, Dramatiq
    secrets: Callable[[], list[str]] = list  # texts in arguments that are annotated with `Secret`

    @property
    def traceparent(self) -> str | None:
        """The current span in the form of the header `traceparent`; None if this process does not trace."""
        return None if tracing.spans is None else tracing.spans.traceparent()

    @property
    def idempotency_key(self) -> str:
        """The same for every attempt at this step, and for no other: lets other services detect repeated requests."""
        return f"{self.run_id}:{self.step}"


_context: Final[ContextVar[Context | None]] = ContextVar("segue_context", default=None)
_clock = SystemClock()


def running() -> Context | None:
    """The running attempt; None outside of a step."""
    return _context.get()


def current() -> Context:
    """The running attempt. Raises `NoStepError` outside of a step.

    Example::

        payments.charge(order, idempotency_key=current().idempotency_key)
    """
    context = _context.get()
    if context is None:
        raise NoStepError(
            "current() was called where no step is running; call it inside a task that Segue runs, "
            "or pass its values as arguments"
        )
    return context


def begin_item(number: int) -> None:
    """Say that the step goes on with this item of its batch."""
    context = _context.get()
    if context is not None and context.journal is not None:
        context.journal.begin_item(number)


class use:  # noqa: N801 - used as `with use(context):`
    """Make this the current attempt within the block, for the runner.

    A class, because the context manager of a generator sets attributes of an exception that passes it.
    """

    __slots__ = ("_before", "_context")

    def __init__(self, context: Context) -> None:
        self._context = context

    def __enter__(self) -> Context:
        self._before = _context.set(self._context)
        return self._context

    def __exit__(self, *_: object) -> None:
        _context.reset(self._before)


@overload
def progress(done: float, total: float | None = None, message: str = "") -> None: ...
@overload
def progress(done: Iterable[T], total: float | None = None, message: str = "") -> Iterator[T]: ...
def progress(done: float | Iterable[T], total: float | None = None, message: str = "") -> Iterator[T] | None:
    """Report the progress of the step, or iterate over an iterable and report it on the way.

    Rate and remaining time are computed from the reports. Raises `Cancelled` if the step is to stop. Outside of a step
    it reports nothing, so the task remains a plain function.

    Example::

        for path in progress(paths, message="parsing"):
            parse(path)
        progress(30, 120, "rows")
    """
    if isinstance(done, (int, float)) or not _is_iterable(done):
        said = checked_progress(done, total, message)
        context = _context.get()
        if context is not None:
            _report(context, *said)
        return None
    _, total, message = checked_progress(0, total, message)
    return _going_through(done, total, message)


def checked_progress(done: object, total: object, message: object) -> tuple[float, float | None, str]:
    """The progress in its stored form. Raises DefinitionError for values that are not numbers or text."""
    how_far, of = finite(done), None if total is None else finite(total)
    if how_far is None or (of is None and total is not None):
        name, value = ("done", done) if how_far is None else ("total", total)
        raise DefinitionError(
            f"progress({name}={shown(value)}) was called; give a finite number"
            + (", or an iterable that is not a text" if name == "done" else ", or leave it out")
        )
    if type(message) is str:
        return how_far, of, message
    if message is None:
        return how_far, of, ""
    if not issubclass(type(message), str):
        raise DefinitionError(f"progress(message={shown(message)}) was called; give a text")
    return how_far, of, str.__str__(message)


def _is_iterable(value: object) -> bool:
    """Whether `progress` iterates over it. It does not iterate over a number, nor over the letters of a text."""
    kind = type(value)
    if issubclass(kind, (str, bytes, Number)):
        return False
    return hasattr(kind, "__iter__") or hasattr(kind, "__getitem__")


def _going_through(items: Iterable[T], total: float | None, message: str) -> Iterator[T]:
    context = _context.get()
    if context is None:
        yield from items
        return
    if total is None and isinstance(items, Sized):
        total = len(items)
    count = 0
    _report(context, count, total, message)
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


def _report(context: Context, done: float, total: float | None, message: str) -> None:
    if context.cancelled():
        raise Cancelled
    context.report(done, total, message)
