"""The workflows of the command line's system tests; steps wait for files, so that tests need not hope for the clock."""

from __future__ import annotations

import time
from pathlib import Path

from segue import task, workflow

PATIENCE_SECONDS = 30.0


@task
def hold(folder: str, number: int) -> int:
    """Say that it has begun, and end when it is told to."""
    (Path(folder) / f"begun-{number}").touch()
    wait_for(Path(folder) / "go")
    return number


@task
def square(number: int) -> int:
    return number * number


@task
def total(numbers: list[int]) -> int:
    return sum(numbers)


@task(retries=2, retry_delay=0.05, retry_jitter=0.0)
def third_time(folder: str) -> str:
    tries = Path(folder) / "tries"
    with tries.open("a") as file:
        file.write("x")
    if len(tries.read_text()) < 3:
        raise ValueError("not yet")
    return "at last"


@workflow
def holding(folder: str, size: int) -> list[int]:
    return [hold(folder, number) for number in range(size)]


@workflow
def squares(size: int) -> int:
    return total(square.map(range(size)))


@workflow
def stubborn(folder: str) -> str:
    return third_time(folder)


def wait_for(path: Path) -> None:
    """Until the file is there."""
    end = time.monotonic() + PATIENCE_SECONDS
    while not path.exists():
        if time.monotonic() > end:
            raise TimeoutError(f"{path} did not appear")
        time.sleep(0.01)
