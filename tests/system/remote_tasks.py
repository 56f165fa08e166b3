"""Work that the server of the test does not know: only the worker does."""

from __future__ import annotations

from datetime import date
from typing import Any

from segue import Limit, task, wait_for, workflow


@task
def halve(number: int) -> float:
    if number < 0:
        raise ValueError(f"{number} is negative")
    return number / 2


@workflow
def halves(day: date, *numbers: int) -> Any:
    assert isinstance(day, date)
    return halve.map(list(numbers))


@task
def hand_in(approval: dict[str, str], amount: int) -> str:
    return f"{amount} for {approval['by']}"


@workflow
def spending(amount: int) -> Any:
    return hand_in(wait_for("approved"), amount)


@task(limits=Limit("slow", concurrency=1), priority=7, retries=2)
def alone(key: str, tags: list[str]) -> str:
    return f"{key}: {', '.join(tags)}"


@workflow
def broken(number: int) -> Any:
    raise ZeroDivisionError("it cannot be planned")
