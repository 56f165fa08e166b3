"""Calls the user's code, each time in a new thread, so that a call that does not return delays only its own caller.

A thread cannot be ended from outside, so their number is limited: a further call is refused if several calls of one
workflow, or many calls in all, have not returned. The threads are daemons: the process may end meanwhile.
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
    """A call that is running or has returned."""

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
        """Whether `result` may be used."""
        return self._returned.is_set()

    def wait(self, seconds: float) -> bool:
        """Wait at most this long. True if it has returned."""
        return self._returned.wait(seconds)

    def result(self) -> T:
        """The value that it returned. Raises what it raised, and NoAnswerError if it has not returned."""
        if not self.has_returned:
            seconds = time.monotonic() - self._begun
            raise NoAnswerError(f"workflow {self.of} has not returned since it was called, {seconds:.1f} s ago")
        if self._error is not None:
            if isinstance(self._error, Exception):
                raise self._error
            raise RuntimeError(f"workflow {self.of} raised {type(self._error).__name__}") from self._error
        return self._result  # type: ignore[return-value]  # it has returned, so None is its value

    def _run(self) -> None:
        try:
            self._result = self._act()
        except BaseException as error:  # noqa: BLE001 - any error ends only this thread
            self._error = error
        self._returned.set()


def call_in_thread(of: str, act: Callable[[], T]) -> Call[T]:
    """Call `act`, which calls the workflow `of`, in a new thread.

    Raises NoAnswerError when too many calls have not returned.
    """
    with _lock:
        _unanswered[:] = [call for call in _unanswered if not call.has_returned]
        same = sum(call.of == of for call in _unanswered)
        if same >= MOST_OF_ONE or len(_unanswered) >= MOST:
            what = f"{same} calls of workflow {of} have" if same >= MOST_OF_ONE else f"{MOST} calls of workflows have"
            raise NoAnswerError(f"{what} not returned, so it is not called again; fix it, and restart this process")
        call = Call(of, act)
        _unanswered.append(call)
    return call
