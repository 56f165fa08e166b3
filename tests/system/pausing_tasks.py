"""The workflows of the system test of pauses; each attempt leaves lines in a file for what it did."""

from __future__ import annotations

import time
from pathlib import Path

from segue import progress, task, workflow

PATIENCE_SECONDS = 30.0


@task
def work(folder: str, number: int) -> int:
    """Say that it has begun, wait for leave, and do what must happen once."""
    note(folder, f"begun {number}")
    end = time.monotonic() + PATIENCE_SECONDS
    try:
        while not (Path(folder) / f"go-{number}").exists():
            if time.monotonic() > end:
                raise TimeoutError("nobody gave leave")
            progress(0)  # raises when the attempt is asked to end
            time.sleep(0.01)
    except BaseException:
        note(folder, f"ended {number}")
        raise
    note(folder, f"did {number}")
    return number


@task
def nothing() -> None:
    """Shows that a worker has looked for work; also a finalizer."""


@workflow(finally_=nothing.si().options(name="clean"))
def working(folder: str, size: int) -> list[int]:
    """Steps one after another, so that something is always left to start."""
    done: list[int] = []
    for number in range(size):
        done.append(work.options(after=done[-1:])(folder, number))
    return done


def note(folder: str, text: str) -> None:
    with (Path(folder) / "notes").open("a") as file:
        file.write(f"{text}\n")


def notes(folder: Path) -> list[str]:
    path = folder / "notes"
    return path.read_text().splitlines() if path.exists() else []
