"""Signal handlers for this process only: a fork of it gets the handlers from before.

A task may fork, as `multiprocessing` does. One of Segue's handlers in such a process would act on a copy of the worker:
it would take a SIGTERM that should end the fork for a request to stop the worker. The signals are blocked during a
fork, because a fork drops a signal that arrives before it has its own handlers.
"""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Callable
from types import FrameType
from typing import Any

Handler = Callable[[int, FrameType | None], Any] | int | None

_own: dict[int, tuple[Handler, Handler]] = {}  # by signal: Segue's handler, and the one for forks
_forking = threading.local()  # the signals that a thread had blocked before it forks


def handle(number: int, handler: Handler, *, in_forks: Handler) -> None:
    """Handle a signal in this process; a fork of it has `in_forks`, unless it sets another handler."""
    _own[number] = (handler, in_forks)
    signal.signal(number, handler)


def restore(number: int, handler: Handler) -> None:
    """Restore the previous handler."""
    _own.pop(number, None)
    signal.signal(number, signal.SIG_DFL if handler is None else handler)


def _before_fork() -> None:
    if _own:
        _forking.mask = signal.pthread_sigmask(signal.SIG_BLOCK, _own)


def _after_fork() -> None:
    mask = _forking.__dict__.pop("mask", None)
    if mask is not None:
        signal.pthread_sigmask(signal.SIG_SETMASK, mask)


def _in_fork() -> None:
    for number, (handler, before) in _own.items():
        if signal.getsignal(number) == handler:
            signal.signal(number, signal.SIG_DFL if before is None else before)
    _own.clear()
    _after_fork()


os.register_at_fork(before=_before_fork, after_in_parent=_after_fork, after_in_child=_in_fork)
