"""What traces and reports of errors attach to the work of this process. Without them, all of it is empty.

Each has a name, so that attaching it again replaces it. What is attached must not raise.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, suppress
from datetime import datetime
from types import TracebackType
from typing import Any, NamedTuple

FLUSH_SECONDS = 2.0


class AttemptFacts(NamedTuple):
    """What is known about an attempt."""

    run_id: str
    step: int
    attempt: int
    name: str  # of the step
    task: str
    queue: str = ""
    waited: float | None = None  # seconds from ready to claimed, where that is known
    trace: str | None = None  # what `segue_runs.trace` has, where it was read
    secrets: Callable[[], list[str]] = list  # texts that must not leave the process


class EndedRun(NamedTuple):
    """A run that has ended."""

    run_id: str
    workflow: str
    key: str | None
    status: str
    steps: int
    error_type: str | None
    created_at: datetime
    finished_at: datetime
    trace: str | None
    schedule: str | None  # that started it


class Tick(NamedTuple):
    """A schedule starts a run."""

    schedule: str
    run_id: str
    expression: str
    timezone: str


class LostAttempt(NamedTuple):
    """An attempt that ended without an exception of its task: a timeout, or the death of its process."""

    run_id: str
    step: str
    attempt: int
    task: str
    queue: str
    error_type: str
    message: str


ReadEnds = Callable[[Sequence[str]], Sequence[EndedRun]]


class Extensions:
    """What is attached."""

    _news: threading.Condition
    _waiting: list[tuple[list[str], ReadEnds]]
    _thread: threading.Thread | None

    def __init__(self) -> None:
        self.around: dict[str, Callable[[AttemptFacts], AbstractContextManager[Any]]] = {}
        self.lost: dict[str, Callable[[LostAttempt], None]] = {}
        self.ticks: dict[str, Callable[[Tick], None]] = {}
        self.ended: dict[str, Callable[[EndedRun], None]] = {}
        self.flushes: dict[str, Callable[[], None]] = {}
        self._forget_thread()

    def detach(self, name: str) -> None:
        """Remove all that has this name."""
        for attached in (self.around, self.lost, self.ticks, self.ended, self.flushes):
            attached.pop(name, None)

    def attempt(self, facts: AttemptFacts) -> AbstractContextManager[Any]:
        """What is attached around attempts, as one block."""
        return _Block([attach(facts) for attach in self.around.values()])

    def runs_ended(self, run_ids: Sequence[str], read: ReadEnds) -> None:
        """These runs have ended, or may have. A thread reads how, and passes it on."""
        if not self.ended:
            return
        with self._news:
            self._waiting.append((list(run_ids), read))
            if self._thread is None:
                self._thread = threading.Thread(target=self._pass_on, name="segue-ended-runs", daemon=True)
                self._thread.start()
            self._news.notify_all()

    def flush(self) -> None:
        """Send what is left: the process, or a child of a pool, is about to end."""
        with self._news:
            self._news.wait_for(lambda: not self._waiting, FLUSH_SECONDS)
        for flush in list(self.flushes.values()):
            flush()

    def _pass_on(self) -> None:
        while True:
            with self._news:
                self._news.wait_for(lambda: self._waiting)
                run_ids, read = self._waiting[0]
            with suppress(Exception):  # the database is away, and with it the only knowledge of these ends
                for run in read(run_ids):
                    for receive in list(self.ended.values()):
                        receive(run)
            with self._news:
                self._waiting.pop(0)
                self._news.notify_all()

    def _forget_thread(self) -> None:
        """A fork has no such thread; its parent passes on what waits."""
        self._news = threading.Condition()
        self._waiting = []
        self._thread = None


class _Block:
    """A class, because the context manager of a generator sets attributes of an exception that passes it."""

    __slots__ = ("_managers",)

    def __init__(self, managers: list[AbstractContextManager[Any]]) -> None:
        self._managers = managers

    def __enter__(self) -> None:
        for manager in self._managers:
            manager.__enter__()

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        for manager in reversed(self._managers):
            manager.__exit__(kind, error, at)


extensions = Extensions()
"""The only one."""

os.register_at_fork(after_in_child=extensions._forget_thread)
