"""Ids that are created without a central authority: UUIDv7, so that ids sort by time.

The client creates them, so a start whose answer was lost can be repeated under the same id and happens once.
"""

from __future__ import annotations

import os
import threading
from datetime import UTC, datetime

_FAR = 86_400_000 * 4096
"""A day. A clock that is so far behind the last id was wrong before, or it is another one, as in a test."""


_LAST_SECOND = 253_370_764_800  # 1 January 9999


class Ids:
    """Makes ids that are strictly ascending, also within a millisecond, unless the clock goes back by a day or more.

    Threads may share it.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._last = 0

    def new(self, now: datetime) -> str:
        """An id of the time `now`."""
        # 48 bits of milliseconds and 12 of a fraction, which are counted up if the clock stands still or goes back.
        stamp = int(now.timestamp() * 1000 * 4096)
        with self._lock:
            if self._last - stamp < _FAR:
                stamp = max(stamp, self._last + 1)
            self._last = stamp
        return _format(stamp, os.urandom(8))


process_ids = Ids()
"""The ids of this process, which all engines share that are not given others."""


def chance() -> float:
    """A number from 0 to 1, different in each process. (The module `random` takes milliseconds to import.)"""
    return int.from_bytes(os.urandom(2), "big") / 65_536


def first_id_at(moment: datetime) -> str:
    """The smallest id of `moment`: all older ids sort before it."""
    return _format(int(moment.timestamp() * 1000 * 4096), bytes(8))


def moment_of_id(id_: str) -> datetime:
    """The time at which an id was made. An id that was not made here has no meaningful time."""
    return datetime.fromtimestamp(min(int(id_.replace("-", "")[:12], 16) / 1000, _LAST_SECOND), UTC)


def _format(stamp: int, tail: bytes) -> str:
    high = f"{stamp >> 12:012x}"
    low = (int.from_bytes(tail, "big") & 0x3FFF_FFFF_FFFF_FFFF) | 0x8000_0000_0000_0000
    last = f"{low:016x}"
    return f"{high[:8]}-{high[8:]}-7{stamp & 0xFFF:03x}-{last[:4]}-{last[4:]}"
