"""A worker's ear for news from other processes, which goes deaf and hears again without anybody minding.

Promises: nothing here raises for want of a database, and a broken connection is no reason to wake up. Without news the
worker still polls.
"""

from __future__ import annotations

import logging
import time
from contextlib import suppress

from segue.errors import StoreError
from segue.store.protocol import Store, Waker

REOPEN_SECONDS = 2.0

logger = logging.getLogger("segue.worker")


class Wakeups:
    """The store's waker, opened anew after it broke."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._waker: Waker | None = None
        self._open_at = 0.0

    @property
    def fds(self) -> tuple[int, ...]:
        """What to wait on: readable when there is news."""
        waker = self._waker
        return () if waker is None or waker.fd is None else (waker.fd,)

    @property
    def poll_seconds(self) -> float | None:
        """How often to look with `woken`, where there is nothing to wait on."""
        waker = self._waker
        return None if waker is None or waker.fd is not None else waker.poll_seconds

    def open(self) -> bool:
        """Listen, unless it does already or tried just now. True when it began to: what came before was not heard.

        To be called when the database has just answered, so that it need not wait for one that is away.
        """
        now = time.monotonic()
        if self._waker is not None or now < self._open_at:
            return False
        self._open_at = now + REOPEN_SECONDS
        try:
            self._waker = self._store.waker()
        except StoreError as error:
            logger.warning("no wake-ups, polling goes on: %s", error)
            return False
        return True

    def woken(self) -> bool:
        """True when there was news since the last look."""
        if self._waker is None:
            return False
        try:
            return self._waker.woken()
        except StoreError as error:
            logger.warning("no more wake-ups for a while, polling goes on: %s", error)
            self.close()
            return True

    def close(self) -> None:
        """Stop listening."""
        waker, self._waker = self._waker, None
        if waker is not None:
            with suppress(StoreError):
                waker.close()
