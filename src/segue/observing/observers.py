"""Functions of the user's that are told what happened, in the process where it happened: `@segue.on("run.failed")`.

Promises: an observer never holds up the work and never changes it. It is called after the commit, by one thread of its
own; what it raises is logged; when it cannot keep up, events are dropped with a warning. What it has not been told
when the process dies is lost. Without observers there is no thread, no queue and no cost.
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
from segue.model import ErrorInfo
from segue.observing.journal import Happening
from segue.observing.kinds import expand

if TYPE_CHECKING:
    from logging import Logger

MOST_WAITING = 10_000
"""So many happenings wait for their observers at most; those that come then are dropped."""

FLUSH_SECONDS = 2.0
"""How long the end of a process, or of a `Segue`, waits for observers that have not been told everything."""


class Event(msgspec.Struct, frozen=True):
    """Something that happened to a run or to a step of it."""

    id: str  # the same whoever is told, and however often
    kind: str  # "run.failed", "step.retrying" ...
    at: datetime  # by the database's clock
    run_id: str | None = None
    workflow: str | None = None
    key: str | None = None  # of the run
    tags: tuple[str, ...] = ()  # of the run
    step: int | None = None  # None: about the run
    name: str | None = None  # of the step
    attempt: int | None = None
    error: ErrorInfo | None = None  # of the step, or of the step that decided how the run ended
    detail: dict[str, object] = {}  # what else is known: who paused it and why, how late it is


Observer = Callable[[Event], object]
Describe = Callable[[Sequence[Happening], datetime], Sequence[Event]]
F = TypeVar("F", bound=Observer)


class Observers:
    """Who wants to hear of what in this process."""

    def __init__(self) -> None:
        self.wanted: frozenset[str] = frozenset()
        self._registered: dict[tuple[object, ...], tuple[Observer, frozenset[str]]] = {}
        self._news = threading.Condition()
        self._waiting: deque[tuple[Sequence[Happening], datetime, Describe]] = deque()
        self._count = 0  # of happenings that wait, or are being told
        self._dropped = 0
        self._thread: threading.Thread | None = None

    def add(self, observer: Observer, kinds: frozenset[str]) -> None:
        """Register a function; the same function of the same module, defined again, replaces itself."""
        self._registered[_identity(observer)] = (observer, kinds)
        self._update()

    def remove(self, observer: Observer) -> None:
        """Do not call this function any more."""
        self._registered.pop(_identity(observer), None)
        self._update()

    def publish(self, happenings: Sequence[Happening], at: datetime, describe: Describe) -> None:
        """Have the observers told of what was committed. Returns at once; `describe` is called by their thread."""
        mine = [happening for happening in happenings if happening.kind in self.wanted]
        if not mine:
            return
        with self._news:
            room = MOST_WAITING - self._count
            if len(mine) > room:
                if not self._dropped:
                    _logger().warning("observers do not keep up: events are dropped until they do")
                self._dropped += len(mine) - room
                mine = mine[:room]
            if not mine:
                return
            self._waiting.append((mine, at, describe))
            self._count += len(mine)
            if self._thread is None or not self._thread.is_alive():
                self._thread = threading.Thread(target=self._tell_for_ever, name="segue-observers", daemon=True)
                self._thread.start()
            self._news.notify_all()

    def flush(self, timeout: float = FLUSH_SECONDS) -> bool:
        """Wait until everything has been told, at most `timeout` seconds; False when something is left."""
        if self._count == 0 or threading.current_thread() is self._thread:
            return self._count == 0
        with self._news:
            return self._news.wait_for(lambda: self._count == 0, timeout)

    def _update(self) -> None:
        self.wanted = frozenset().union(*(kinds for _, kinds in self._registered.values()))

    def _tell_for_ever(self) -> None:
        while True:
            with self._news:
                self._news.wait_for(lambda: self._waiting)
                happenings, at, describe = self._waiting.popleft()
            try:
                self._tell(happenings, at, describe)
            finally:
                with self._news:
                    self._count -= len(happenings)
                    if self._dropped and not self._waiting:
                        _logger().warning("observers have caught up; %d events were dropped", self._dropped)
                        self._dropped = 0
                    self._news.notify_all()

    def _tell(self, happenings: Sequence[Happening], at: datetime, describe: Describe) -> None:
        try:
            events = describe(happenings, at)
        except Exception:  # noqa: BLE001 - whatever it is, the thread must go on
            _logger().exception(
                "%d events are not told to their observers: they could not be looked up", len(happenings)
            )
            return
        for event in events:
            for observer, kinds in list(self._registered.values()):
                if event.kind in kinds:
                    _call(observer, event)


observers = Observers()
"""Those of this process."""


def on(*kinds: str) -> Callable[[F], F]:
    """Have a function called with the `Event` when one of these kinds happens in this process.

    A kind may have `*` for any text: `run.*`. The function is called after the commit, in a thread of its own, and may
    miss events: when the process dies, or when it is too slow. What it raises is logged. What must not be missed is a
    subscription (`Segue.subscriptions`) or a hook of the workflow. Raises ConfigError, listing the kinds, for one that
    does not exist.

    Example::

        @segue.on("run.failed", "step.retrying")
        def count(event: segue.Event) -> None:
            metrics.increment(event.kind, workflow=event.workflow)
    """
    if not kinds or not all(isinstance(kind, str) for kind in kinds):
        raise DefinitionError(f"on({', '.join(map(repr, kinds))}) was asked; say of what: @segue.on('run.failed')")
    wanted = expand(kinds)

    def register(function: F) -> F:
        _check(function, kinds)
        observers.add(function, wanted)
        return function

    return register


def _check(function: object, kinds: Sequence[str]) -> None:
    if not callable(function) or iscoroutinefunction(function):
        raise DefinitionError(
            f"@on({', '.join(map(repr, kinds))}) was put on {function!r}; an observer is a plain function (def) "
            "that takes the event"
        )


def _identity(observer: Observer) -> tuple[object, ...]:
    name = getattr(observer, "__qualname__", "")
    if not name or "<" in name:  # made anew each time, like a lambda: each is another one
        return (id(observer),)
    return (getattr(observer, "__module__", None), name, id(getattr(observer, "__self__", None)))


def _call(observer: Observer, event: Event) -> None:
    try:
        observer(event)
    except (Exception, SystemExit):  # noqa: BLE001 - the observer is the user's code
        name = getattr(observer, "__qualname__", repr(observer))
        _logger().exception("the observer %s failed; %s of run %s goes on", name, event.kind, event.run_id)


def _begin_anew() -> None:
    """In a fork there is no thread, and what waits is the parent's to tell."""
    observers._news = threading.Condition()
    observers._waiting = deque()
    observers._count = observers._dropped = 0
    observers._thread = None


os.register_at_fork(after_in_child=_begin_anew)
atexit.register(observers.flush)


def _logger() -> Logger:
    import logging  # noqa: PLC0415 - takes milliseconds, and most processes have no observers

    return logging.getLogger("segue.observing")
