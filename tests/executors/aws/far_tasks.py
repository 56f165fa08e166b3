"""Tasks that run in containers of AWS, and report into the database by themselves."""

from __future__ import annotations

import os
import sys
import time

from segue import Resources, task


@task(executor="batch")
def double(number: int) -> int:
    sys.stdout.write(f"doubling {number}\n")
    return 2 * number


@task(executor="batch", retries=1, retry_delay=0.1)
def broken() -> None:
    raise ValueError("of the task")


@task(executor="batch", lost_retries=0)
def killed() -> None:
    os._exit(7)


@task(executor="batch")
def long() -> None:
    time.sleep(60)


@task(executor="batch", resources=Resources(memory="512MiB"))
def where() -> list[str]:
    """The variables of the container."""
    return sorted(os.environ)
