"""The sizes that Fargate has. Pure.

It sells processors and memory in steps, and each number of processors with some amounts of memory only. What is asked
for is rounded up to the smallest size that has it.
"""

from __future__ import annotations

import math

from segue.dispatcher.protocol import RefusedError

MIB = 2**20
_SIZES: tuple[tuple[float, tuple[int, ...]], ...] = (
    (0.25, (512, 1024, 2048)),
    (0.5, tuple(range(1024, 4096 + 1, 1024))),
    (1, tuple(range(2048, 8192 + 1, 1024))),
    (2, tuple(range(4096, 16384 + 1, 1024))),
    (4, tuple(range(8192, 30720 + 1, 1024))),
    (8, tuple(range(16384, 61440 + 1, 4096))),
    (16, tuple(range(32768, 122880 + 1, 8192))),
)
LEAST_DISK_GIB, MOST_DISK_GIB = 21, 200


def size_for(cpu: float | None, memory_bytes: int | None) -> tuple[str, int]:
    """The processors, as Amazon writes them, and the memory in MiB. Raises RefusedError."""
    asked_mib = math.ceil((memory_bytes or 0) / MIB)
    for processors, memories in _SIZES:
        if processors < (cpu or 0):
            continue
        for memory in memories:
            if memory >= asked_mib:
                return f"{processors:g}", memory
    raise RefusedError(
        f"Fargate has no size with cpu={cpu or 0:g} and memory={asked_mib} MiB; the largest has 16 processors and "
        "122880 MiB. Ask for less, or use instances of your own: platform='EC2'"
    )


def disk_gib_for(tmp_bytes: int) -> int:
    """The space on the disk in GiB, for `ephemeralStorage`. Raises RefusedError."""
    asked = max(LEAST_DISK_GIB, math.ceil(tmp_bytes / 2**30))
    if asked > MOST_DISK_GIB:
        raise RefusedError(f"Fargate has at most {MOST_DISK_GIB} GiB of disk, and tmp asks for {asked} GiB")
    return asked
