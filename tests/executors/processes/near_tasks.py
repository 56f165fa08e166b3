"""Tasks that run in processes of this machine. The environment says where."""

from __future__ import annotations

import os
import sys
import time
from pathlib import Path
from typing import Any

from segue import checkpoint, container, current, group, progress, shell, sleep, task, wait_for, workflow
from segue.dispatcher.protocol import Pace
from segue.executors.processes import Processes

FOLDER = os.environ.get("TEST_NEAR_FOLDER", "/nowhere")
QUICK = Pace(
    look_seconds=0.1, call_seconds=10.0, settle_seconds=1.0, gone_seconds=1.0, cancel_seconds=3.0, keep_seconds=3600.0
)

near = Processes(
    "near",
    folder=f"{FOLDER}/jobs",
    modules=[__name__],
    pace=QUICK,
    database=os.environ.get("TEST_NEAR_DATABASE"),
    grace_seconds=0.5,
)


def mark(name: str) -> None:
    with Path(FOLDER, name).open("a") as file:
        file.write("x")


@task(executor="near")
def double(number: int) -> int:
    progress(number, number)
    sys.stdout.write(f"doubling {number}\n")
    return 2 * number


@task(executor="near")
def tell(go: str) -> None:
    sys.stdout.write("first\n")
    while not Path(go).exists():
        time.sleep(0.02)
    sys.stdout.write("second\n")


@task(executor="near")
def who() -> dict[str, str | None]:
    names = ("SEGUE_PUSH", "SEGUE_RUN", "SEGUE_STEP", "SEGUE_ATTEMPT", "SEGUE_IDEMPOTENCY_KEY")
    assert current().run_id == os.environ["SEGUE_RUN"]
    return {name: os.environ.get(name) for name in names}


@task(executor="near", retries=1, retry_delay=0.0)
def broken() -> None:
    raise ValueError("of the task")


@task(executor="near", retries=0)
def in_parts() -> list[Any]:
    """One part now, one after a sleep, one after a message: three jobs."""
    found: list[Any] = [checkpoint("first", os.getpid)]
    sleep(0.3)
    found.append(checkpoint("second", os.getpid))
    return [*found, wait_for("third"), os.getpid()]


@task(executor="near")
def halve(number: int) -> int:
    if number % 2:
        raise ValueError(f"{number} is odd")
    return number // 2


@task(executor="near", lost_retries=1)
def until(name: str) -> str:
    """Say that it runs, and wait for a file."""
    progress(1, 2, "half")
    mark(f"{name}.began")
    while not Path(FOLDER, name).exists():
        time.sleep(0.02)
    return name


@task(executor="near", timeout=0.5)
def slow() -> None:
    time.sleep(60)


@task(executor="near")
def spread(count: int) -> object:
    return group(double.s(number) for number in range(count))


@task(name="near.write", executor="near", transactional=True)
def write(connection: Any, number: int) -> int:
    """Write a row of its own in the transaction that records it."""
    connection.execute(f"INSERT INTO near_rows VALUES ({int(number)})")
    if number < 0:
        raise ValueError("not this one")
    return number


@workflow
def commands(value: str) -> dict[str, Any]:
    found = container(
        "an/image:1", ["/bin/sh", "-c", r'echo "[\"$0\", \"$TOKEN\", \"$MODE\"]"', "{value}"],
        value=value, executor="near", env={"MODE": "fast"}, secrets={"TOKEN": "TEST_NEAR_TOKEN"}, result="last_line",
    )  # fmt: skip
    written = shell("echo {value} | wc -c", value=value, executor="near")
    return {"found": found, "written": written}
