"""What the figures depend on: the machine, the versions, and the time of a durable write to its disk."""

from __future__ import annotations

import os
import platform
import tempfile
import time
from collections.abc import Iterable
from pathlib import Path
from statistics import median

from segue.version import __version__

_WRITES = 200
_PAGE = bytes(4096)


def describe(databases: Iterable[str]) -> dict[str, str]:
    """Facts in the order in which they are printed."""
    return {
        "segue": __version__,
        "python": f"{platform.python_implementation()} {platform.python_version()}",
        "databases": "; ".join(databases),
        "cores": f"{_cores()} ({_processor()})",
        "system": f"{platform.system()} {platform.release()}",
        "fdatasync": f"{fdatasync_ms():.2f} ms for 4 kB in {tempfile.gettempdir()}",
        "load before": f"{os.getloadavg()[0]:.2f}",
    }


def fdatasync_ms(folder: Path | None = None) -> float:
    """How long a small durable write takes, in the folder for temporary files or the given one."""
    flush = getattr(os, "fdatasync", os.fsync)
    with tempfile.TemporaryFile(dir=folder) as file:
        descriptor = file.fileno()
        times = []
        for _ in range(_WRITES):
            begun = time.perf_counter()
            os.pwrite(descriptor, _PAGE, 0)
            flush(descriptor)
            times.append(time.perf_counter() - begun)
    return median(times) * 1000


def _cores() -> int:
    affinity = getattr(os, "sched_getaffinity", None)
    return len(affinity(0)) if affinity else os.cpu_count() or 1


def _processor() -> str:
    try:
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    except OSError:
        pass
    return platform.processor() or platform.machine()
