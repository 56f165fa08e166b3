"""Transactional tasks that record payments, for every pool: some succeed, some are slow, some skip themselves."""

from __future__ import annotations

import sys
import threading
import time
from typing import Any

from segue import Skip, chain, current, group, task, workflow

AT_ONCE = {"retries": 2, "retry_delay": 0.0}
let_go = threading.Event()
"""Ends `hang`, where it runs in the tests' own process."""


def put(connection: Any, number: int) -> None:
    connection.execute(f"INSERT INTO payments VALUES ({number})")


@task(transactional=True, **AT_ONCE)
def pay(connection: Any, number: int) -> int:
    put(connection, number)
    sys.stdout.write(f"paid {number}\n")
    return number


@task(transactional=True, **AT_ONCE)
def pay_at_the_second_try(connection: Any, number: int) -> int:
    put(connection, number)
    if current().failures == 0:
        raise OSError("the first try breaks")
    return number


@task(transactional=True)
def change_mind(connection: Any, number: int) -> None:
    put(connection, number)
    raise Skip("rather not")


@task(transactional=True)
def pay_in_parts(connection: Any, number: int) -> Any:
    put(connection, number)
    return chain(pay.s(number + 1), group(pay.s(), pay.si(number + 3)))


@task
def total(*parts: Any) -> int:
    return sum(sum(part) if isinstance(part, list) else part for part in parts)


@workflow
def day() -> int:
    skipped = change_mind(50)
    return total.options(after=[skipped], rule="all_done")(
        pay.map(list(range(10))), pay_at_the_second_try(60), pay_in_parts(70)
    )


PAID = [*range(10), 60, 70, 71, 71, 73]
RESULT = 45 + 60 + 71 + 73


@task(transactional=True, timeout=1.0, retries=1, retry_delay=0.0)
def hang(connection: Any, number: int) -> int:
    """Hangs at the first try, until it is killed, or let go when that cannot be."""
    put(connection, number)
    if current().failures == 0:
        let_go.wait(30)
        put(connection, number + 1)
    return number


@task(transactional=True)
def pay_slowly(connection: Any, number: int) -> int:
    put(connection, number)
    time.sleep(30)
    return number
