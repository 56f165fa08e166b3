"""Calls what users wrote, each time in a thread of its own, so that what does not return holds up nobody else.

A thread cannot be ended from outside. So there may be only so many of them: who calls a workflow that has not returned
from several calls, or when many workflows have not, is refused. They are daemons: the process may end meanwhile.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from contextvars import Context
from typing import Any, Generic, TypeVar

MOST_OF_ONE = 4  # calls of one workflow that have not returned
MOST = 16  # calls that have not returned

T = TypeVar("T")

_unanswered: list[Call[Any]] = []
_lock = threading.Lock()


class NoAnswerError(Exception):
    """A call has not returned yet, or cannot be made because others have not."""


class Call(Generic[T]):
    """What was called, on its way."""

    def __init__(self, of: str, act: Callable[[], T]) -> None:
        self.of = of
        self._act = act
        self._begun = time.monotonic()
        self._returned = threading.Event()
        self._result: T | None = None
        self._error: BaseException | None = None
        threading.Thread(target=Context().run, args=(self._run,), name=f"segue-calls-{of}", daemon=True).start()

    @property
    def has_returned(self) -> bool:
        """Whether `result` may be asked for."""
        return self._returned.is_set()

    def wait(self, seconds: float) -> bool:
        """Wait at most so long; True when it has returned."""
        return self._returned.wait(seconds)

    def result(self) -> T:
        """What it returned; raises what it raised, and NoAnswerError when it has not returned."""
        if not self.has_returned:
            seconds = time.monotonic() - self._begun
            raise NoAnswerError(f"workflow {self.of} has not returned since it was called, {seconds:.1f} s ago")
        if self._error is not None:
            if isinstance(self._error, Exception):
                raise self._error
            raise RuntimeError(f"workflow {self.of} raised {type(self._error).__name__}") from self._error
        return self._result  # type: ignore[return-value]  # None is what it returned, then

    def _run(self) -> None:
        try:
            self._result = self._act()
        except BaseException as error:  # noqa: BLE001 - whatever it is, it ends this thread alone
            self._error = error
        self._returned.set()


def call_aside(of: str, act: Callable[[], T]) -> Call[T]:
    """Call `act`, which calls the workflow `of`, in a thread of its own.

    Raises NoAnswerError when too many calls have not returned.
    """
    with _lock:
        _unanswered[:] = [call for call in _unanswered if not call.has_returned]
        same = sum(call.of == of for call in _unanswered)
        if same >= MOST_OF_ONE or len(_unanswered) >= MOST:
            what = f"{same} calls of workflow {of} have" if same >= MOST_OF_ONE else f"{MOST} calls of workflows have"
            raise NoAnswerError(f"{what} not returned, so it is not called again; mend it, and start this process anew")
        call = Call(of, act)
        _unanswered.append(call)
    return call
