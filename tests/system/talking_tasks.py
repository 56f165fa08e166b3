"""Tasks that print while they run, and wait until a test lets them go on."""

from __future__ import annotations

import time
from pathlib import Path

from segue import Secret, task

PATIENCE_SECONDS = 60.0


@task
def talk(folder: str, token: Secret[str]) -> int:
    print("first", token)  # noqa: T201
    print("half of it: " + token[:9], end="", flush=True)  # noqa: T201
    wait_for(Path(folder) / "more")
    print("\nsecond")  # noqa: T201
    wait_for(Path(folder) / "go")
    return 1


@task
def chatter(folder: str) -> int:
    """More than what is kept of an output."""
    for number in range(4000):
        print(f"line {number}")  # noqa: T201
    wait_for(Path(folder) / "go")
    return 4000


def wait_for(path: Path) -> None:
    end = time.monotonic() + PATIENCE_SECONDS
    while not path.exists():
        assert time.monotonic() < end
        time.sleep(0.02)
