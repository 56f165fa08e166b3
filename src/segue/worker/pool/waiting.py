"""Waiting for several descriptors at once, and being woken from elsewhere."""

from __future__ import annotations

import contextlib
import math
import os
import select
from collections.abc import Sequence


class Doorbell:
    """A descriptor that can be read after `ring`, until `answer`; rings from any thread or signal handler."""

    def __init__(self) -> None:
        self._read, self._write = os.pipe()
        os.set_blocking(self._read, False)
        os.set_blocking(self._write, False)

    def fileno(self) -> int:
        """What to poll."""
        return self._read

    def ring(self) -> None:
        """Make it readable."""
        with contextlib.suppress(OSError):  # full: it rings already; closed: nobody listens
            os.write(self._write, b"\0")

    def answer(self) -> None:
        """Make it silent."""
        with contextlib.suppress(BlockingIOError):
            os.read(self._read, 4096)

    def close(self) -> None:
        """Free the descriptors; closing twice does nothing."""
        if self._read >= 0:
            os.close(self._read)
            os.close(self._write)
            self._read = self._write = -1


class Waiter:
    """Keeps its descriptors registered between waits.

    `poll` and not `epoll`: it looks at descriptors afresh each time, so that a database socket that was closed and
    opened again under the same number is still seen.
    """

    def __init__(self) -> None:
        self._poll = select.poll()
        self._bell = Doorbell()
        self._bell_fd = self._bell.fileno()
        self._poll.register(self._bell_fd, select.POLLIN)
        self._extra: tuple[int, ...] = ()

    def watch(self, descriptor: int) -> None:
        """Report this descriptor when it can be read."""
        self._poll.register(descriptor, select.POLLIN)

    def unwatch(self, descriptor: int) -> None:
        """Do not report it any more; what is not watched is left alone."""
        with contextlib.suppress(KeyError):
            self._poll.unregister(descriptor)

    def wait(self, timeout_seconds: float, extra_fds: Sequence[int] = ()) -> tuple[list[int], bool]:
        """The watched descriptors that can be read, and whether a wake-up or an extra descriptor ended the wait."""
        if self._extra != extra_fds:
            self._watch_extra(tuple(extra_fds))
        ready: list[int] = []
        called = False
        for descriptor, _ in self._poll.poll(max(0, math.ceil(timeout_seconds * 1000))):
            if descriptor == self._bell_fd:
                called = True
                self._bell.answer()
            elif descriptor in self._extra:
                called = True
            else:
                ready.append(descriptor)
        return ready, called

    def wake(self) -> None:
        """End the wait that is going on, or the next one."""
        self._bell.ring()

    def close(self) -> None:
        """Free the descriptors."""
        self._bell.close()

    def _watch_extra(self, extra_fds: tuple[int, ...]) -> None:
        for descriptor in self._extra:
            self.unwatch(descriptor)
        for descriptor in extra_fds:
            self.watch(descriptor)
        self._extra = extra_fds
