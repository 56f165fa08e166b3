"""Celery workers of a module that has an app, in processes of their own."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

START_SECONDS = 40


@contextmanager
def running_worker(
    module: str, environment: Mapping[str, str], log: Path, *, queues: str | None = None, folder: Path | None = None
) -> Iterator[None]:
    """A worker with two children, for as long as it is needed."""
    command = [
        sys.executable, "-m", "celery", "-A", module, "worker", "-c", "2", "-l", "INFO", "-n", f"{log.stem}@%h",
        "--without-gossip", "--without-mingle", *(["-Q", queues] if queues else []),
    ]  # fmt: skip
    with log.open("ab") as output:
        process = subprocess.Popen(
            command, env={**os.environ, **environment}, stdout=output, stderr=output, start_new_session=True,
            cwd=folder,
        )  # fmt: skip
    try:
        end = time.monotonic() + START_SECONDS
        while " ready." not in log.read_text():
            if process.poll() is not None or time.monotonic() > end:
                raise RuntimeError(f"The Celery worker did not start:\n{log.read_text()[-3000:]}")
            time.sleep(0.05)
        yield
    finally:
        process.terminate()
        try:
            process.wait(timeout=20)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
