"""A workflow whose tasks write into a table of the user's, each within its own transaction."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path
from typing import Any

from segue import current, group, task, workflow
from segue.engine.transactional import TaskTransaction
from segue.model import Outcome
from tests.crash.crash_tasks import AT_ONCE, one, recorded, total
from tests.crash.working import connect

ROWS = 2
"""For each number that is booked."""


@task(transactional=True, **AT_ONCE)
def book(connection: Any, number: int) -> int:
    with recorded():
        for part in range(ROWS):
            connection.execute(f"INSERT INTO bookings VALUES ({number}, {part})")
        return number


@task(transactional=True, **AT_ONCE)
def book_all(connection: Any, number: int) -> Any:
    """Books this one, and is replaced by steps that book more."""
    with recorded():
        for part in range(ROWS):
            connection.execute(f"INSERT INTO bookings VALUES ({number}, {part})")
        return group(book.s(10 * number), one.s())


@workflow(on_success=book.si(99))
def journey() -> int:
    """An expansion, a join behind it, a hook: everything that may follow from an outcome."""
    return total(book_all(1))


BOOKED = [number for number in (1, 10, 99) for _ in range(ROWS)]
RESULT = 10 + 1


@task(transactional=True, **AT_ONCE)
def book_in_spite_of(connection: Any, number: int, url: str, notices: bool) -> int:
    """Loses its connection to the server at the first try."""
    with recorded():
        connection.execute(f"INSERT INTO bookings VALUES ({number}, 0)")
        if current().failures == 0:
            pid = connection.info.backend_pid
            if notices:
                connection.execute(f"SELECT pg_terminate_backend({pid})")
            with connect(url) as other:
                other.execute(f"SELECT pg_terminate_backend({pid})")
                while other.execute(f"SELECT 1 FROM pg_stat_activity WHERE pid = {pid}").fetchone():
                    time.sleep(0.01)
        return number


@task(transactional=True, timeout=60, **AT_ONCE)
def book_in_a_fork(connection: Any, number: int) -> int:
    """Its fork goes on as if it were the attempt, too."""
    with recorded():
        connection.execute(f"INSERT INTO bookings VALUES ({number}, 0)")
        if os.fork() == 0:
            return number
        os.wait()
        return number


@task(transactional=True, timeout=60, **AT_ONCE)
def book_and_be_killed(connection: Any, number: int) -> int:
    with recorded():
        connection.execute(f"INSERT INTO bookings VALUES ({number}, 0)")
        if current().failures == 0:
            os.kill(os.getpid(), signal.SIGKILL)
        return number


DIES = "CRASH_AFTER_COMMIT"
"""The environment variable that names a file. The first attempt that is committed makes it, and dies."""

_record = TaskTransaction.record


def record_and_die(transaction: TaskTransaction, outcome: Outcome) -> Outcome:
    told = _record(transaction, outcome)
    mark = Path(os.environ[DIES])
    if not mark.exists():
        mark.touch()
        os.kill(os.getpid(), signal.SIGKILL)
    return told


if DIES in os.environ:
    TaskTransaction.record = record_and_die  # type: ignore[method-assign]


class Bookings:
    """The table, as its owner sees it."""

    def __init__(self, url: str) -> None:
        self._connection = connect(url)
        self._connection.execute("CREATE TABLE bookings (number integer, part integer)")

    def booked(self) -> list[int]:
        return sorted(row[0] for row in self._connection.execute("SELECT number FROM bookings").fetchall())

    def clear(self) -> None:
        self._connection.execute("DELETE FROM bookings")

    def close(self) -> None:
        self._connection.close()
