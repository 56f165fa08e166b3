"""A small application for the tests of the API, its code, and who asks."""

from __future__ import annotations

import sys
from typing import Any

from starlette.testclient import TestClient

from segue import Secret, Segue, task, wait_for, workflow
from segue.web import Identity, Role, create_app


@task(name="shop.price")
def price(order: int, *, factor: float = 1.5) -> float:
    if order < 0:
        raise ValueError(f"there is no order {order}")
    sys.stdout.write(f"priced {order}\n")
    return order * factor


@task(name="shop.add_up")
def add_up(prices: list[float]) -> float:
    return sum(prices)


@task(name="shop.pay")
def pay(amount: float, token: Secret[str]) -> str:
    return f"paid {amount}"


@workflow(name="shop.takings")
def takings(orders: list[int]) -> Any:
    return add_up(price.map(orders))


@workflow(name="shop.approved")
def approved(amount: float, token: Secret[str] = "hunter2") -> Any:
    wait_for("approved")
    return pay(amount, token=token)


def client(segue: Segue, role: Role | str = Role.ADMIN, **options: Any) -> TestClient:
    """A client of the API of this database, who has a role."""
    role = Role[role.upper()] if isinstance(role, str) else role
    app = create_app(segue, identify=lambda request: Identity("ann", role), **options)
    return TestClient(app, base_url="http://localhost/api/v1", follow_redirects=False, raise_server_exceptions=False)
