"""How long to wait before the next try of a step or of one of Segue's loops.

Pure: the jitter of a step is computed from its identity, so a repetition gives the same delay.
"""

from __future__ import annotations

import zlib

from segue.model import Policy


def delay_seconds(policy: Policy, failures: int, *, seed: str) -> float:
    """Seconds before the try after failure number `failures` (1 for the first).

    Exponential, capped, and shortened by up to `retry_jitter` of itself, so that a thousand steps that failed together
    do not retry together.
    """
    try:
        full = min(policy.retry_delay * policy.retry_factor ** (failures - 1), policy.retry_max_delay)
    except OverflowError:
        full = policy.retry_max_delay
    fraction = zlib.crc32(f"{seed}:{failures}".encode()) / 0xFFFF_FFFF
    return full * (1 - policy.retry_jitter * fraction)


def longer_wait(waited_seconds: float, *, first_seconds: float, longest_seconds: float) -> float:
    """Seconds before the next try of a loop that has just waited this long without success (0: the first time).

    Example::

        self._seconds = longer_wait(self._seconds, first_seconds=0.1, longest_seconds=5.0)
    """
    return min(max(waited_seconds * 2, first_seconds), longest_seconds)
