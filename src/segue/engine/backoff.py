"""How long to wait before the next try. Pure: the jitter comes from the step's own identity, so a replay agrees."""

from __future__ import annotations

import zlib

from segue.model import Policy


def delay_seconds(policy: Policy, failures: int, *, seed: str) -> float:
    """Seconds before the try after failure number `failures` (1 for the first).

    Exponential, capped, and shortened by up to `retry_jitter` of itself so that a thousand steps that failed together
    do not come back together.
    """
    try:
        full = min(policy.retry_delay * policy.retry_factor ** (failures - 1), policy.retry_max_delay)
    except OverflowError:
        full = policy.retry_max_delay
    fraction = zlib.crc32(f"{seed}:{failures}".encode()) / 0xFFFF_FFFF
    return full * (1 - policy.retry_jitter * fraction)
