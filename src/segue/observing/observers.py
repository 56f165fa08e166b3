"""Observers: functions of the user that are called with events, in the process where they happened:
`@segue.on("run.failed")`.

Promises: an observer never delays the work and never changes it. It is called after the commit, in a separate thread.
Its exceptions are logged. If it is too slow, events are dropped with a warning. Events that it has not received when
the process dies are lost. Without observers, the feature needs no thread and no queue.
"""

from __future__ import annotations

import atexit
import os
import threading
from collections import deque
from collections.abc import Callable, Sequence
from datetime import datetime
from inspect import iscoroutinefunction
from typing import TYPE_CHECKING, TypeVar

import msgspec

from segue.errors import DefinitionError
from segue.given import attribute, described, shown
from segue.jsonable import Jsonable
from segue.model import ErrorInfo
from segue.observing.journal import RawEvent
from segue.observing.kinds import Kind, Pattern, expand

if TYPE_CHECKING:
    from segue.observing.harmless_log import HarmlessLogger

MOST_WAITING = 10_000
"""How many raw events may wait for their observers; further events are dropped."""

FLUSH_SECONDS = 2.0
"""How long the end of a process, or of a `Segue`, waits for observers to receive the remaining events."""


class Event(Jsonable, msgspec.Struct, frozen=True):
    """Something that happened to a run or to one of its steps."""

    id: str  # the same for every observer and every delivery
    kind: str  # "run.failed", "step.retrying" ...
    at: datetime  # by the database's clock
    run_id: str | None = None
    workflow: str | None = None
    key: str | None = None  # of the run
    tags: tuple[str, ...] = ()  # of the run
    step: int | None = None  # None: the event is about the run
    name: str | None = None  # of the step
    attempt: int | None = None
    error: ErrorInfo | None = None  # of the step, or of the step that decided the outcome of the run
    detail: dict[str, object] = {}  # further facts: who paused it and why, how late it is
    namespace: str = ""
    metadata: dict[str, object] = {}  # of the run
    arguments: list[object] | None = None  # of the run: [args, kwargs]; None: not stored, or longer than 64 KiB


Observer = Callable[[Event], object]
Describe = Callable[[Sequence[RawEvent], datetime], Sequence[Event]]
F = TypeVar("F", bound=Observer)


class Observers:
    """The observers of this process, by kind of event."""

    def __init__(self) -> None:
        self.wanted: frozenset[str] = frozenset()
        self._registered: dict[tuple[object, ...], tuple[Observer, frozenset[str]]] = {}
        self._news = threading.Condition()
        self._waiting: deque[tuple[Sequence[RawEvent], datetime, Describe]] = deque()
        self._count = 0  # of raw events that wait or are being delivered
        self._dropped = 0
        self._thread: threading.Thread | None = None

    def add(self, observer: Observer, kinds: frozenset[str]) -> None:
        """Register a function. A function of the same module and name, defined again, replaces the old one."""
        self._registered[_identity(observer)] = (observer, kinds)
        self._update()

    def remove(self, observer: Observer) -> None:
        """Do not call this function any more."""
        self._registered.pop(_identity(observer), None)
        self._update()

    def publish(self, raw_events: Sequence[RawEvent], at: datetime, describe: Describe) -> None:
        """Deliver committed events to the observers. Returns immediately; the observers' thread calls `describe`."""
        mine = [raw_event for raw_event in raw_events if raw_event.kind in self.wanted]
        if not mine:
            return
        with self._news:
            room = MOST_WAITING - self._count
            if len(mine) > room:
                if not self._dropped:
                    _logger().warning("observers are too slow: events are dropped until they catch up")
                self._dropped += len(mine) - room
                mine = mine[:room]
            if not mine:
                return
            self._waiting.append((mine, at, describe))
            self._count += len(mine)
            if self._thread is None or not self._thread.is_alive():
                self._thread = threading.Thread(target=self._deliver_forever, name="segue-observers", daemon=True)
                self._thread.start()
            self._news.notify_all()

    def flush(self, timeout: float = FLUSH_SECONDS) -> bool:
        """Wait until all events are delivered, at most `timeout` seconds. Returns False if some remain."""
        if self._count == 0 or threading.current_thread() is self._thread:
            return self._count == 0
        with self._news:
            return self._news.wait_for(lambda: self._count == 0, timeout)

    def _update(self) -> None:
        self.wanted = frozenset().union(*(kinds for _, kinds in self._registered.values()))

    def _deliver_forever(self) -> None:
        while True:
            with self._news:
                self._news.wait_for(lambda: self._waiting)
                raw_events, at, describe = self._waiting.popleft()
            try:
                self._deliver(raw_events, at, describe)
            finally:
                with self._news:
                    self._count -= len(raw_events)
                    if self._dropped and not self._waiting:
                        _logger().warning("observers have caught up; %d events were dropped", self._dropped)
                        self._dropped = 0
                    self._news.notify_all()

    def _deliver(self, raw_events: Sequence[RawEvent], at: datetime, describe: Describe) -> None:
        try:
            events = describe(raw_events, at)
        except Exception:  # noqa: BLE001 - the thread must continue after any error
            _logger().exception(
                "%d events are not delivered to their observers: they could not be looked up", len(raw_events)
            )
            return
        for event in events:
            for observer, kinds in list(self._registered.values()):
                if event.kind in kinds:
                    _call(observer, event)


observers = Observers()
"""The observers of this process."""


def on(*kinds: Kind | Pattern) -> Callable[[F], F]:
    """Call a function with the `Event` whenever one of these kinds happens in this process.

    A kind may contain `*` for any text: `run.*`. The function is called after the commit, in a separate thread. It may
    miss events if the process dies or the function is too slow. Its exceptions are logged. If no event may be missed,
    use a subscription (`Segue.subscriptions`) or a hook of the workflow. Raises ConfigError, listing the kinds, for an
    unknown kind.

    Example::

        @segue.on("run.failed", "step.retrying")
        def count(event: segue.Event) -> None:
            metrics.increment(event.kind, workflow=event.workflow)
    """
    if not kinds or not all(isinstance(kind, str) for kind in kinds):
        raise DefinitionError(f"on({', '.join(map(shown, kinds))}) has no kind of event; write @segue.on('run.failed')")
    wanted = expand(kinds)

    def register(function: F) -> F:
        _check(function, kinds)
        observers.add(function, wanted)
        return function

    return register


def _check(function: object, kinds: Sequence[str]) -> None:
    if not callable(function) or iscoroutinefunction(function):
        raise DefinitionError(
            f"@on({', '.join(map(shown, kinds))}) was put on {shown(function)}; an observer is a plain function (def) "
            "that takes the event"
        )


def _identity(observer: Observer) -> tuple[object, ...]:
    name = getattr(observer, "__qualname__", "")
    if not name or "<" in name:  # made new each time, like a lambda: each is a different observer
        return (id(observer),)
    return (getattr(observer, "__module__", None), name, id(getattr(observer, "__self__", None)))


def _call(observer: Observer, event: Event) -> None:
    try:
        observer(event)
    except BaseException as exc:  # noqa: BLE001 - the observer is the user's code, and may raise anything
        name = attribute(observer, "__qualname__")
        text = name if isinstance(name, str) else shown(observer)
        _logger().error(
            "the observer %s failed; %s of run %s continues\n%s",
            text,
            event.kind,
            event.run_id,
            described(exc).traceback,
        )


def _reset_after_fork() -> None:
    """A fork has no such thread; the parent delivers the waiting events."""
    observers._news = threading.Condition()
    observers._waiting = deque()
    observers._count = observers._dropped = 0
    observers._thread = None


os.register_at_fork(after_in_child=_reset_after_fork)
atexit.register(observers.flush)


def _logger() -> HarmlessLogger:
    from segue.observing.harmless_log import get_logger  # noqa: PLC0415 - takes milliseconds, and few have observers

    return get_logger("segue.observing")
