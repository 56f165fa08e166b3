"""Waits for several descriptors at the same time; another thread can end the wait."""

from __future__ import annotations

import contextlib
import math
import select
from collections.abc import Sequence

from segue.loop.self_pipe import Wakeup


class Waiter:
    """Keeps its descriptors registered between waits.

    It uses `poll`, not `epoll`: `poll` resolves the numbers in each call, so that a database socket that was closed and
    opened again under the same number is still watched.
    """

    def __init__(self) -> None:
        self._poll = select.poll()
        self._wakeup = Wakeup()
        self._wakeup_fd = self._wakeup.fileno()
        self._poll.register(self._wakeup_fd, select.POLLIN)
        self._extra: tuple[int, ...] = ()

    def watch(self, descriptor: int) -> None:
        """Report this descriptor when it is readable."""
        self._poll.register(descriptor, select.POLLIN)

    def unwatch(self, descriptor: int) -> None:
        """Do not report it any more. Does nothing for a descriptor that is not watched."""
        with contextlib.suppress(KeyError):
            self._poll.unregister(descriptor)

    def wait(self, timeout_seconds: float, extra_fds: Sequence[int] = ()) -> tuple[list[int], bool]:
        """The watched descriptors that are readable, and whether a wake-up or an extra descriptor ended the wait."""
        if self._extra != extra_fds:
            self._watch_extra(tuple(extra_fds))
        ready: list[int] = []
        called = False
        for descriptor, _ in self._poll.poll(max(0, math.ceil(timeout_seconds * 1000))):
            if descriptor == self._wakeup_fd:
                called = True
                self._wakeup.answer()
            elif descriptor in self._extra:
                called = True
            else:
                ready.append(descriptor)
        return ready, called

    def wake(self) -> None:
        """End the current wait, or the next one."""
        self._wakeup.ring()

    def close(self) -> None:
        """Free the descriptors."""
        self._wakeup.close()

    def _watch_extra(self, extra_fds: tuple[int, ...]) -> None:
        for descriptor in self._extra:
            self.unwatch(descriptor)
        for descriptor in extra_fds:
            self.watch(descriptor)
        self._extra = extra_fds
