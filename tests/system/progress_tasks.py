"""Tasks that report progress far more often than it is written."""

from __future__ import annotations

from typing import Any

from segue import progress, task

TIMES = 10


@task
def count(fails: bool = False) -> None:
    for done in range(1, TIMES + 1):
        progress(done, TIMES, f"item {done}")
    if fails:
        raise ValueError("at the end")


@task
async def count_async() -> None:
    count.fn()


@task(transactional=True)
def write(connection: Any) -> None:
    count.fn()
