"""Listens for notifications from other processes; a broken connection is replaced in the background.

Promises: nothing here raises because the database is unreachable, and a broken connection does not wake the worker.
Without notifications the worker still polls.
"""

from __future__ import annotations

import time
from contextlib import suppress

from segue.errors import StoreError
from segue.observing.harmless_log import get_logger
from segue.store.protocol import Store, Waker

REOPEN_SECONDS = 2.0

logger = get_logger("segue.worker")


class Wakeups:
    """The store's waker, which is opened again after it breaks."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._waker: Waker | None = None
        self._open_at = 0.0

    @property
    def is_open(self) -> bool:
        """Whether it listens, as far as is known."""
        return self._waker is not None

    @property
    def fds(self) -> tuple[int, ...]:
        """The descriptors to wait on: readable when there is a notification."""
        waker = self._waker
        return () if waker is None or waker.fd is None else (waker.fd,)

    @property
    def poll_seconds(self) -> float | None:
        """How often to call `woken`, where there are no descriptors to wait on."""
        waker = self._waker
        return None if waker is None or waker.fd is not None else waker.poll_seconds

    def open(self) -> bool:
        """Listen, unless it already does or has just tried. True if it began to: earlier notifications were missed.

        Call it when the database has just answered, so that it does not wait for an unreachable one.
        """
        now = time.monotonic()
        if self._waker is not None or now < self._open_at:
            return False
        self._open_at = now + REOPEN_SECONDS
        try:
            self._waker = self._store.waker()
        except StoreError as error:
            logger.warning("not listening for wake-ups: %s; polling continues", error)
            return False
        return True

    def woken(self) -> bool:
        """True if a notification came since the last call."""
        if self._waker is None:
            return False
        try:
            return self._waker.woken()
        except StoreError as error:
            logger.warning("stopped listening for wake-ups for a while: %s; polling continues", error)
            self.close()
            return True

    def close(self) -> None:
        """Stop listening."""
        waker, self._waker = self._waker, None
        if waker is not None:
            with suppress(StoreError):
                waker.close()
