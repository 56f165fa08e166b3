"""The workflows of the command line's tests; imported by name, as `-A tests.unit.cli.shop_tasks` does."""

from __future__ import annotations

import sys
from dataclasses import dataclass

from segue import chain, progress, task, workflow


@dataclass
class Parcel:
    """A result that JSON alone does not know."""

    weight: float


@task
def list_paths(day: str) -> list[str]:
    sys.stdout.write(f"listing {day}\n")
    return [f"{day}/{number}" for number in range(12)]


@task
def count(path: str) -> int:
    return len(path)


@task
def total(counts: list[int]) -> int:
    return sum(counts)


@task(retries=1, retry_delay=0.0)
def fail(reason: str) -> int:
    sys.stdout.write("about to fail\n")
    for _ in progress(range(3)):
        pass
    raise ValueError(reason)


@task
def weigh(weight: float) -> Parcel:
    return Parcel(weight)


@task(delay=3600)
def much_later() -> int:
    return 1


@workflow
def census(day: str) -> int:
    return total(count.map(list_paths(day)))


@workflow
def twice(days: list[str]) -> int:
    return total([census(day) for day in days])


@workflow
def failing(reason: str) -> int:
    return total([fail(reason), count("abc")])


@workflow
def delayed() -> int:
    return much_later()


@workflow
def wide(size: int) -> list[int]:
    return [count(str(number)) for number in range(size)]


@workflow(concurrency=1, concurrency_key="region")
def rationed(region: str) -> int:
    return much_later()


@task
def scaled(count: int, rate: float = 1.0, *, offset: int = 0) -> float:
    return count * rate + offset


@workflow
def scaling(path: str) -> float:
    return scaled(count(path), 2.0)


counting = chain(list_paths.s("2026-11-20"), count.s())
not_startable = 42
