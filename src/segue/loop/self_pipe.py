"""A wait that another thread or a signal handler can end.

A `threading.Event` may not be set in a handler that interrupts its own wait; a pipe may be written to anywhere.
"""

from __future__ import annotations

import contextlib
import math
import os
import select
import threading


class Wakeup:
    """Once rung, it stays rung until `answer`. It opens its descriptors when they are first needed.

    Example::

        wakeup = Wakeup()
        signal.signal(signal.SIGTERM, lambda *_: wakeup.ring())
        while not wakeup.wait(seconds_until_the_next_turn()):
            turn()
    """

    def __init__(self) -> None:
        self.is_rung = False
        # After a close, the numbers may belong to other files. The lock is reentrant, because a signal handler may ring
        # at any point of the same thread's work.
        self._lock = threading.RLock()
        self._ends: tuple[int, int] | None = None

    def fileno(self) -> int:
        """The descriptor to poll: readable while it is rung."""
        return self._opened()[0]

    @property
    def write_fd(self) -> int:
        """The descriptor for `signal.set_wakeup_fd`: writing makes `fileno` readable and does not change `is_rung`."""
        return self._opened()[1]

    def ring(self) -> None:
        """End the wait, or the next one. Safe in signal handlers and other threads, and after `close`."""
        self.is_rung = True  # before reading the pipe: `_opened` makes the pipe first, and reads this flag afterwards
        with self._lock:
            if self._ends is not None:
                _write(self._ends[1])

    def answer(self) -> None:
        """Reset it. Check the cause of the ring only after this."""
        self.is_rung = False
        with contextlib.suppress(BlockingIOError):
            os.read(self._opened()[0], 4096)

    def wait(self, seconds: float | None = None) -> bool:
        """Wait until it is rung, at most this many seconds. True if it is rung."""
        poll = select.poll()
        poll.register(self._opened()[0], select.POLLIN)
        if not self.is_rung:
            poll.poll(None if seconds is None else max(0, math.ceil(seconds * 1000)))
        return self.is_rung

    def close(self) -> None:
        """Free the descriptors; closing twice does nothing."""
        with self._lock:
            ends, self._ends = self._ends, None
            for end in ends or ():
                os.close(end)

    def _opened(self) -> tuple[int, int]:
        with self._lock:
            if self._ends is None:
                ends = os.pipe()
                for end in ends:
                    os.set_blocking(end, False)
                self._ends = ends
                if self.is_rung:
                    _write(ends[1])
            return self._ends


def _write(descriptor: int) -> None:
    with contextlib.suppress(OSError):  # the pipe is full: it is rung already
        os.write(descriptor, b"\0")
