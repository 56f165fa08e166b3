"""Ids that are made without asking anybody: UUIDv7, so that ids sort by time.

Made by the client, a start whose answer was lost can be repeated under the same id and happens once.
"""

from __future__ import annotations

import os
import threading
from datetime import datetime

_lock = threading.Lock()
_last = 0


def new_id(now: datetime) -> str:
    """A new id. Ids of one process are strictly ascending, also within a millisecond."""
    global _last
    # 48 bits of milliseconds and 12 of a fraction, counted up when the clock stands still or goes back.
    stamp = int(now.timestamp() * 1000 * 4096)
    with _lock:
        _last = stamp = max(stamp, _last + 1)
    return _format(stamp, os.urandom(8))


def chance() -> float:
    """A number from 0 to 1, another one in each process. (The module `random` takes milliseconds to import.)"""
    return int.from_bytes(os.urandom(2), "big") / 65_536


def first_id_at(moment: datetime) -> str:
    """The smallest id of `moment`: everything older sorts before it."""
    return _format(int(moment.timestamp() * 1000 * 4096), bytes(8))


def _format(stamp: int, tail: bytes) -> str:
    high = f"{stamp >> 12:012x}"
    low = (int.from_bytes(tail, "big") & 0x3FFF_FFFF_FFFF_FFFF) | 0x8000_0000_0000_0000
    last = f"{low:016x}"
    return f"{high[:8]}-{high[8:]}-7{stamp & 0xFFF:03x}-{last[:4]}-{last[4:]}"
