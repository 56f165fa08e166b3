"""Tasks with limits that write down when they began and ended, on the machine's clock that all processes share."""

from __future__ import annotations

import os
import time

from segue import Limit, current, task, workflow

TIMES = "CRASH_TIMES"  # the environment variable that names the file
SECONDS = 0.004
PLACES, EACH, EXPENSIVE = 3, 1, 2


def write(*words: object) -> None:
    line = " ".join(map(str, words)) + "\n"
    file = os.open(os.environ[TIMES], os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    try:
        os.write(file, line.encode())
    finally:
        os.close(file)


def spend_time(customer: str, cost: int) -> None:
    me = current()
    which = f"{me.run_id}:{me.step}:{me.attempt}"
    write("began", time.monotonic(), os.getppid(), which, customer, cost)
    time.sleep(SECONDS)
    write("ended", time.monotonic(), os.getppid(), which, customer, cost)


@task(limits=[Limit("narrow", concurrency=PLACES), Limit("customer", concurrency=EACH, key="customer")])
def visit(number: int, customer: str) -> int:
    spend_time(customer, 1)
    return number


@task(limits=[Limit("narrow")], cost=EXPENSIVE)
def feast(number: int) -> int:
    spend_time("", EXPENSIVE)
    return number


@task
def count(*parts: list[int]) -> int:
    return sum(len(part) for part in parts)


@workflow
def busy(size: int) -> int:
    visits = visit.starmap([(number, f"c{number % 5}") for number in range(size)])
    return count(visits, feast.map(list(range(size // 4))))


@task(limits=[Limit("customer", key="customer"), Limit("calls", rate="1000/s", burst=100)], fair_by="customer")
def call(customer: str) -> str:
    return customer


@task
def find() -> list[str]:
    return ["a", "b"]


@workflow(concurrency=1, concurrency_key="region", fair_by="region")
def one_by_one(region: str) -> list[object]:
    found = find()
    return [call(found[0]), call(found[1]), call.map(found)]
