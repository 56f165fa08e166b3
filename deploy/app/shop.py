"""An application to try the files of this folder with; put your own modules in its place."""

from __future__ import annotations

from segue import task, workflow


@task
def list_orders(day: str) -> list[int]:
    return [101, 102, 103, 104]


@task(retries=2, timeout=60)
def price(order: int) -> float:
    return order * 1.5


@task
def add_up(prices: list[float]) -> float:
    return sum(prices)


@workflow
def takings(day: str) -> float:
    return add_up(price.map(list_orders(day)))


@workflow(schedule="every minute")
def heartbeat() -> float:
    """So that there is something to see."""
    return add_up([1.0, 2.0])
