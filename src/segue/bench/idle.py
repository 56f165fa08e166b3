"""What Segue costs while it is idle: idle workers, their database, `import segue`."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator

from segue.bench import processes
from segue.bench.scratch import POSTGRES
from segue.bench.setting import Setting
from segue.bench.workloads import Figure, Sizes

FALL_ASLEEP_SECONDS = 4.0
WINDOWS = 2


def idle(setting: Setting, sizes: Sizes, repeat: int | None) -> Iterator[Figure]:
    """CPU time of the worker's processes, and of the whole PostgreSQL server if it runs on this machine."""
    setting.warm_up()
    worker, server = setting.crew.pid, _server(setting)
    if worker is None or not processes.is_known():
        return
    setting.segue.close()  # its pool has a separate thread, which keeps a connection active
    time.sleep(FALL_ASLEEP_SECONDS)
    for _ in range(min(repeat or WINDOWS, WINDOWS)):
        before = _used(worker, server)
        begun = time.monotonic()
        time.sleep(sizes.idle_seconds)
        per_minute = 60 / (time.monotonic() - begun)
        after = _used(worker, server)
        yield "idle worker", "CPU s/min", (after[0] - before[0]) * per_minute
        if server is not None:
            yield "idle database server", "CPU s/min", (after[1] - before[1]) * per_minute


def _used(worker: int, server: int | None) -> tuple[float, float]:
    return processes.tree_cpu_seconds(worker), processes.tree_cpu_seconds(server) if server is not None else 0.0


def _server(setting: Setting) -> int | None:
    """The first process of the PostgreSQL server; None if it is not on this machine."""
    if setting.scratch.dialect != POSTGRES or not processes.is_known():
        return None
    backend: int = setting.scratch.run_sql("SELECT pid FROM pg_stat_activity WHERE backend_type = 'checkpointer'")[0][0]
    name = processes.name_of(backend)
    return processes.parent_of(backend) if name is not None and "postgres" in name else None


def import_times(repeat: int) -> Iterator[Figure]:
    """`import segue` in a new interpreter minus the bare interpreter: the minimum of `repeat` times, alternating."""
    bare, full = [], []
    with tempfile.TemporaryDirectory() as cache:
        # Like a user, who has compiled modules, whatever the environment says about writing them.
        environment = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
        environment["PYTHONPYCACHEPREFIX"] = cache
        for _ in range(repeat + 1):  # the first time fills the caches
            bare.append(_seconds("pass", environment))
            full.append(_seconds("import segue", environment))
    least = min(bare[1:])
    yield "import segue", "ms", (min(full[1:]) - least) * 1000
    yield "a bare interpreter", "ms", least * 1000


def _seconds(code: str, environment: dict[str, str]) -> float:
    begun = time.perf_counter()
    subprocess.run([sys.executable, "-c", code], check=True, stdin=subprocess.DEVNULL, env=environment)
    return time.perf_counter() - begun
