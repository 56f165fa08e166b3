"""Gives each attempt in a child process the same surroundings, whatever the attempt before it changed.

Restored after each attempt: signal handlers, the signal mask, the wake-up descriptor, timers (`signal.alarm`,
`setitimer`, `faulthandler.dump_traceback_later`), the working directory and the umask. Restored after a long attempt,
and now and then: resource limits. A child whose user or limits cannot be restored is replaced.

The check takes a third of a child's time for the shortest task. If a task was short and changed nothing many times in a
row, `Trust` therefore checks only some of its attempts.

The state of the interpreter is not restored: modules and their contents, `os.environ`, `sys.path`, the locale, threads,
open files.
"""

from __future__ import annotations

import _signal  # type: ignore[import-not-found]  # `signal.getsignal` makes an enum of its result, which is most of its cost
import contextlib
import operator
import os
import resource
import signal
import sys
from typing import Any

_LIMITS = tuple(
    number
    for name in ("NOFILE", "AS", "DATA", "STACK", "FSIZE", "CPU", "NPROC", "CORE")
    if (number := getattr(resource, f"RLIMIT_{name}", None)) is not None
)
_UNCATCHABLE = (signal.SIGKILL, signal.SIGSTOP)


CLEAN_BEFORE_TRUST = 64
LOOK_EVERY = 16


class Trust:
    """The tasks that have never changed anything so far, and need not be checked each time."""

    def __init__(self) -> None:
        self._clean: dict[str, int] = {}

    def wants_a_look(self, task: str) -> bool:
        """Whether to check after this attempt."""
        clean = self._clean.get(task, 0)
        self._clean[task] = clean + 1
        return clean < CLEAN_BEFORE_TRUST or clean % LOOK_EVERY == 0

    def lose(self, task: str) -> None:
        """Note that the task has changed something, or took long."""
        self._clean[task] = 0


class Surroundings:
    """Remembers the state when it is made, and restores it."""

    def __init__(self) -> None:
        self._signals = [int(number) for number in sorted(signal.valid_signals()) if number not in _UNCATCHABLE]
        self._handlers = [_signal.getsignal(number) for number in self._signals]
        self._mask = signal.pthread_sigmask(signal.SIG_BLOCK, ())
        self._folder = _working_directory()
        self._umask = os.umask(0o077)
        os.umask(self._umask)
        self._limits = [(number, resource.getrlimit(number)) for number in _LIMITS]
        self._user = _user()

    def put_back(self) -> bool:
        """Restore the state that is cheap to check, in some microseconds. True if nothing had changed."""
        was_same = bool(_signal.set_wakeup_fd(-1) == -1)
        was_same &= bool(_signal.alarm(0) == 0)
        was_same &= os.umask(self._umask) == self._umask
        if _signal.pthread_sigmask(signal.SIG_BLOCK, ()) != self._mask:
            signal.pthread_sigmask(signal.SIG_SETMASK, self._mask)
            was_same = False
        if not all(map(operator.is_, map(_signal.getsignal, self._signals), self._handlers)):
            self._put_back_handlers()
            was_same = False
        if "faulthandler" in sys.modules:
            sys.modules["faulthandler"].cancel_dump_traceback_later()
        if self._folder is not None and _working_directory() != self._folder:
            with contextlib.suppress(OSError):
                os.chdir(self._folder)
            was_same = False
        return was_same

    def put_back_slowly(self) -> bool:
        """Restore the state that is expensive to check. False if something has changed permanently."""
        for which in (signal.ITIMER_VIRTUAL, signal.ITIMER_PROF):
            signal.setitimer(which, 0)
        with contextlib.suppress(OSError, ValueError):
            for number, wanted in self._limits:
                if resource.getrlimit(number) != wanted:
                    resource.setrlimit(number, wanted)
            return _user() == self._user
        return False

    def _put_back_handlers(self) -> None:
        for number, handler in zip(self._signals, self._handlers, strict=True):
            now: Any = _signal.getsignal(number)
            if now is not handler and handler is not None:  # None: C code had set it, and Python cannot restore it
                with contextlib.suppress(OSError, ValueError):
                    signal.signal(number, handler)


def _working_directory() -> str | None:
    """None if it was removed."""
    try:
        return os.getcwd()
    except OSError:
        return None


def _user() -> tuple[Any, ...]:
    if hasattr(os, "getresuid"):
        return os.getresuid(), os.getresgid()
    return os.geteuid(), os.getegid()  # macOS
