"""The code after a deploy: the old tasks, and one more."""

from __future__ import annotations

from segue import task, workflow
from tests.crash.crash_tasks import add, one, recorded


@task
def double(number: int) -> int:
    with recorded():
        return 2 * number


@workflow
def newer() -> int:
    return add(double(one()))
