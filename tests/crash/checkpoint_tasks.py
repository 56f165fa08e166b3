"""A task that records, writes, sleeps and waits. What its functions return is new each time that they are called."""

from __future__ import annotations

from itertools import count
from typing import Any

from segue import checkpoint, current, sleep, task, wait_for
from tests.crash.crash_tasks import AT_ONCE

numbers = count()
handed_out: list[int] = []


def draw() -> int:
    """A number that no other call has returned."""
    handed_out.append(next(numbers))
    return handed_out[-1]


def book(connection: Any, number: int) -> int:
    connection.execute(f"INSERT INTO bookings VALUES ({number}, 0)")
    return draw()


@task(**AT_ONCE)
def winding() -> list[int]:
    """Two results, a failure, a row with its result, a sleep, a message, one more result."""
    found = [checkpoint(f"first {number}", draw) for number in range(2)]
    if current().failures == 0:
        raise OSError("in the middle")
    found.append(checkpoint("booked", book, 1, transactional=True))
    sleep(0.05)
    found.append(wait_for("go"))
    found.append(checkpoint("last", draw))
    return found
