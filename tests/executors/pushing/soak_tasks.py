"""What soaks of polled executors run, at the executor "far". Each attempt writes a line into a ledger when it begins.

A module of each platform makes the executor, and imports this one.
"""

from __future__ import annotations

import os
import time
from pathlib import Path

from segue import chain, shell, task, workflow
from segue.dispatcher.protocol import Pace

LEDGER = Path(os.environ.get("TEST_SOAK_FOLDER", "/nowhere"), "ledger")
PACE = Pace(
    look_seconds=0.5, settle_seconds=8.0, call_seconds=6.0, gone_seconds=8.0, cancel_seconds=5.0, keep_seconds=30.0,
    submits_at_once=200, looks_at_once=5000,
)  # fmt: skip
LOST = 1000
SAY = f'echo "$SEGUE_RUN $SEGUE_STEP $SEGUE_ATTEMPT" >> {LEDGER}'


@task(executor="far", lost_retries=LOST)
def far(number: int) -> int:
    """A task at the platform."""
    names = ("SEGUE_RUN", "SEGUE_STEP", "SEGUE_ATTEMPT")
    with LEDGER.open("a") as file:
        file.write(" ".join(os.environ[name] for name in names) + "\n")
    time.sleep(0.2)
    return number + 1


@task(lost_retries=LOST)
def near(number: object) -> int:
    """A task of a worker."""
    if isinstance(number, dict):
        number = number["output"]
    return len(number) if isinstance(number, list) else int(str(number)) * 2


def command(text: str, **values: object) -> object:
    """A command at the platform that says that it runs."""
    return shell(f"{SAY}; {text}", executor="far", lost_retries=LOST, **values)


@workflow
def lone(number: int) -> object:
    return far(number)


@workflow
def wide(count: int) -> object:
    return near([command("sleep 0.{n}; echo {n}", n=number) for number in range(count)])


@workflow
def deep(count: int) -> object:
    found: object = command("echo 1")
    for _ in range(count):
        found = command("expr {n} + 1", n=near(found))
    return found


@workflow
def failing(code: int) -> object:
    return shell(f"{SAY}; exit {{code}}", executor="far", lost_retries=LOST, code=code)


@workflow
def lasting(seconds: int) -> object:
    """Is cancelled while it waits or runs."""
    return command("sleep {seconds}; echo 0", seconds=seconds)


@workflow
def mixed(number: int) -> object:
    return chain(near.s(number), far.s(), near.s())()
