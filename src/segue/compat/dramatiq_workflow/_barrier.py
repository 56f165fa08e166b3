"""`AtMostOnceBarrier`, for projects that use it themselves. Segue's groups need no barrier."""

from __future__ import annotations

import logging
from typing import Any

from dramatiq.rate_limits import Barrier

logger = logging.getLogger(__name__)


class AtMostOnceBarrier(Barrier):
    """A barrier that lets at most one caller through. It cannot be waited for: `wait(block=True)` raises ValueError."""

    def __init__(self, backend: Any, key: str, *args: Any, ttl: int = 900_000) -> None:
        super().__init__(backend, key, *args, ttl=ttl)
        self.ran_key = f"{key}_ran"

    def create(self, parties: int) -> bool:
        """Begin to wait for so many callers."""
        self.backend.add(self.ran_key, -1, self.ttl)
        return bool(super().create(parties))

    def wait(self, *args: Any, block: bool = True, timeout: int | None = None) -> bool:
        """Count a caller. True for the last one, once."""
        if block:
            raise ValueError("Blocking is not supported by AtMostOnceBarrier")
        if not super().wait(*args, block=False):
            return False
        is_first = bool(self.backend.incr(self.ran_key, 1, 0, self.ttl))
        if not is_first:
            logger.warning("Barrier %s was passed already; this caller is turned away", self.key)
        return is_first
