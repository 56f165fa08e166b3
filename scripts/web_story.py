"""What the pictures of the web pages show: a shop with a nightly load, orders that wait for a person, and thumbnails.

python -m scripts.web_pictures
"""

from __future__ import annotations

import time

from segue import Limit, chain, progress, task, wait_for, workflow


@task(name="shop.list_files")
def list_files(day: str) -> list[str]:
    return [f"{day}-{number:02}.csv" for number in range(24)]


@task(name="shop.load", limits=[Limit("warehouse", 4)])
def load(path: str) -> int:
    print(f"reading {path}")
    time.sleep(0.03)
    if path == "2026-11-29-07.csv":
        raise ValueError(f"{path} has no header")
    return len(path)


@task(name="shop.report")
def report(rows: list[int]) -> int:
    return sum(rows)


@workflow(name="shop.nightly", schedule="0 2 * * *", timezone="Europe/Paris")
def nightly(day: str) -> int:
    return report(load.map(list_files(day)))


@task(name="shop.reserve")
def reserve(order: int) -> int:
    return order


@task(name="shop.ship")
def ship(approved: bool) -> str:
    return "shipped" if approved else "refused"


@workflow(name="shop.order")
def order(number: int) -> object:
    return chain(reserve.s(number), wait_for.s("approved", timeout=86_400), ship.s())


@task(name="shop.draw", queue="images")
def draw(number: int) -> int:
    for done in range(20):
        progress(done, 20)
        time.sleep(0.1)
    return number


@task(name="shop.call", retries=5, retry_delay=300)
def call(customer: int) -> None:
    raise TimeoutError(f"customer {customer} does not answer")


@workflow(name="shop.thumbnails")
def thumbnails(count: int) -> object:
    return draw.map(list(range(count)))
