"""A shop on Celery whose orders are durable: several queues, priorities, a chord that may fail, and an approval.

README.md beside this file says how to run it.
"""

from __future__ import annotations

import os
from datetime import timedelta
from pathlib import Path
from typing import Any

from celery import Celery, chain, chord
from celery.canvas import Signature
from celery.schedules import crontab
from kombu import Queue

from segue import Run, Segue
from segue.executors.celery import adopt_beat, install, wait_for

REDIS = os.environ.get("SHOP_REDIS", "redis://localhost:6379")
LEDGER = Path(os.environ.get("SHOP_LEDGER", "ledger.txt"))
URGENT, USUAL = 0, 6  # on Redis the smallest number comes first; on RabbitMQ it is the greatest
PRICES = {"book": 30, "lamp": 120, "piano": 9000}

app = Celery("shop", broker=f"{REDIS}/0", backend=f"{REDIS}/1")
app.conf.update(
    task_default_queue="orders",
    task_queues=[Queue("orders"), Queue("stock"), Queue("mail")],
    task_routes={"reserve": {"queue": "stock"}, "release": {"queue": "stock"}, "write_to": {"queue": "mail"}},
    broker_transport_options={"queue_order_strategy": "priority"},
    broker_connection_retry_on_startup=True,
    beat_schedule={"stocktaking": {"task": "count_stock", "schedule": crontab(minute=0, hour=3)}},
    timezone="Europe/Paris",
)
segue = Segue(os.environ.get("SHOP_DATABASE", "sqlite:///shop.db"))
install(app, segue, canvas="durable")


class SoldOutError(Exception):
    """There is nothing left of an item."""


def note(line: str) -> None:
    """Write into the ledger, which stands for all that the tasks of a real shop do."""
    with LEDGER.open("a") as file:
        file.write(f"{line}\n")


@app.task(name="reserve", autoretry_for=(ConnectionError,), max_retries=5, retry_backoff=True)
def reserve(item: str, number: int) -> int:
    """Put an item aside for an order, and return its price."""
    if item not in PRICES:
        raise SoldOutError(item)
    note(f"order {number}: reserved {item}")
    return PRICES[item]


@app.task(name="release")
def release(task_id: str, number: int) -> None:
    """Give back what was reserved for an order. Called once, when all reservations have ended and one has failed."""
    note(f"order {number}: released everything")


@app.task(name="total")
def total(prices: list[int]) -> int:
    """What an order costs."""
    return sum(prices)


@app.task(name="ship", bind=True)
def ship(self: Any, answer: dict[str, Any], number: int) -> str:
    """Send the parcel, if a person has agreed."""
    if not answer["ok"]:
        note(f"order {number}: refused by {answer['by']}")
        return "refused"
    note(f"order {number}: shipped, approved by {answer['by']}, priority {self.request.delivery_info['priority']}")
    return "shipped"


@app.task(name="write_to")
def write_to(outcome: str, customer: str) -> str:
    """Write to the customer how it ended."""
    note(f"dear {customer}: {outcome}")
    return outcome


@app.task(name="count_stock")
def count_stock() -> int:
    """Every night."""
    return len(PRICES)


def order(number: int, customer: str, items: list[str], *, is_urgent: bool = False) -> Signature:
    """An order as a canvas."""
    reserved = chord(
        [reserve.s(item, number) for item in items],
        total.s().on_error(release.s(number)),
    )
    approved = wait_for("approved", timeout=timedelta(days=3), default={"ok": False, "by": "the clock"})
    priority = URGENT if is_urgent else USUAL
    return chain(reserved, approved, ship.s(number).set(priority=priority), write_to.s(customer))


def place(number: int, customer: str, items: list[str], **more: Any) -> Run:
    """Start an order, once for each number."""
    return segue.start(order(number, customer, items, **more), key=f"order-{number}", tags=["order"])


def deploy() -> None:
    """To be called once for each release: makes the tables, and schedules of what Celery beat did."""
    segue.upgrade()
    adopt_beat(app, segue)
