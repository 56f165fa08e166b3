"""Tasks for processes that run one step from a spool."""

from __future__ import annotations

import sys
import time
from pathlib import Path

from segue import checkpoint, task


@task(name="spooled.double")
def double(number: int) -> int:
    sys.stdout.write(f"doubling {number}\n")
    return 2 * number


@task(name="spooled.recording")
def recording() -> int:
    return checkpoint("part", int, "5")


@task(name="spooled.broken")
def broken() -> None:
    raise ValueError("of the task")


@task(name="spooled.wait")
def wait(path: str) -> None:
    """Say that it runs, and wait for its end."""
    Path(path).touch()
    while True:
        time.sleep(0.05)


@task(name="spooled.tell")
def tell(path: str) -> None:
    sys.stdout.write("first\n")
    sys.stdout.write("\0é\n")
    while not Path(path).exists():
        time.sleep(0.02)
    sys.stdout.write("last, without an end of line")


@task(name="spooled.pour")
def pour(lines: int) -> None:
    for number in range(lines):
        sys.stdout.write(f"line {number}\n")
