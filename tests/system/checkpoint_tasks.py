"""Tasks that record what they have done, and break in the middle; what is called is written to a file."""

from __future__ import annotations

import os
import signal
from pathlib import Path
from typing import Any

from segue import checkpoint, current, sleep, task, wait_for


def note(path: str, word: str) -> str:
    with open(path, "a", encoding="utf-8") as file:
        file.write(f"{word}\n")
    return word


async def note_async(path: str, word: str) -> str:
    return note(path, word)


def pay(connection: Any, number: int) -> int:
    connection.execute(f"INSERT INTO payments VALUES ({number})")
    return number


def called(path: str) -> list[str]:
    return Path(path).read_text(encoding="utf-8").split()


@task(retries=2, retry_delay=0)
def trip(path: str) -> list[Any]:
    """Three results, a failure, a sleep, a payment, a message, and one more result."""
    words: list[Any] = [checkpoint(f"before {n}", note, path, f"b{n}") for n in range(3)]
    if current().failures == 0:
        raise OSError("the first try breaks")
    sleep(0.05)
    words.append(checkpoint("paid", pay, 7, transactional=True))
    words.append(wait_for("approved")["by"])
    words.append(checkpoint("after", note, path, "a"))
    return [*words, current().failures]


@task(retries=2, retry_delay=0)
async def trip_async(path: str) -> list[Any]:
    words: list[Any] = [await checkpoint(f"before {n}", note_async, path, f"b{n}") for n in range(3)]
    if current().failures == 0:
        raise OSError("the first try breaks")
    sleep(0.05)
    words.append(wait_for("approved", timeout=60)["by"])
    words.append(await checkpoint("after", note_async, path, "a"))
    return [*words, current().failures]


def die(attempt: int) -> None:
    """Kill this process, if it runs this attempt."""
    if current().attempt == attempt:
        os.kill(os.getpid(), signal.SIGKILL)


def note_and_die(path: str, word: str) -> str:
    note(path, word)
    die(2)
    return word


def book_and_die(connection: Any, number: int) -> int:
    pay(connection, number)
    die(3)
    return number


@task
def killed(path: str) -> list[Any]:
    """Its process is killed after a result was recorded, before, in a transaction, and after that."""
    words: list[Any] = [checkpoint("first", note, path, "first")]
    die(1)
    words.append(checkpoint("second", note_and_die, path, "second"))
    words.append(checkpoint("paid", book_and_die, 7, transactional=True))
    die(4)
    return words


@task(transactional=True)
def all_in_one(connection: Any) -> int:
    return checkpoint("part", lambda: 1)


@task
def asks_for_a_sleep(seconds: float) -> str:
    sleep(seconds)
    return "awake"
