"""Tasks that run as jobs of a Grid Engine cluster. The environment says where it is."""

from __future__ import annotations

import json
import os
import sys
import time
from pathlib import Path

from segue import chain, container, group, shell, task, workflow
from segue.dispatcher.protocol import Pace
from segue.executors.commands import GridEngine
from segue.executors.commands.executor import ENVIRONMENT

FOLDER = os.environ.get("TEST_SGE_FOLDER", "/nowhere")
SETTINGS = json.loads(os.environ.get("TEST_SGE_SETTINGS", "{}"))
QUICK = Pace(
    look_seconds=0.2, at_once=1000, settle_seconds=2.0, call_seconds=10.0, gone_seconds=4.0, cancel_seconds=5.0
)

# in place of `apptainer exec`: it drops its own options and the image, and runs the command
WITHOUT_IMAGE = ["/bin/sh", "-c", 'while [ "$1" != docker://tool:1 ]; do shift; done; shift; exec "$@"', "exec"]

cluster = GridEngine(
    "sge", folder=f"{FOLDER}/jobs", modules=[__name__], settings=SETTINGS, pace=QUICK, command_seconds=3.0,
    environment=[*ENVIRONMENT, "TEST_SGE_FOLDER", "TEST_SGE_SETTINGS"], runtime=WITHOUT_IMAGE,
)  # fmt: skip


@task(executor="sge")
def double(number: int) -> int:
    sys.stdout.write(f"doubling {number}\n")
    return 2 * number


@task
def add(numbers: list[int]) -> int:
    return sum(numbers)


@task(executor="sge")
def where() -> dict[str, str | None]:
    """What the environment of a job has."""
    return {name: os.environ.get(name) for name in ("JOB_ID", "NSLOTS", "SEGUE_DATABASE_URL", "SECRET")}


@task(executor="sge", lost_retries=1)
def until(name: str) -> str:
    """Say that it runs, and wait for a file."""
    with Path(FOLDER, f"{name}.began").open("a") as file:
        file.write("x")
    while not Path(FOLDER, name).exists():
        time.sleep(0.05)
    return name


@task(executor="sge", retries=1, retry_delay=0.1)
def broken() -> None:
    raise ValueError("of the task")


@task(executor="sge", timeout=1)
def slow() -> None:
    time.sleep(60)


@task(executor="sge")
def spread(count: int) -> object:
    """A pushed step may return a plan."""
    return group(double.s(number) for number in range(count))


@workflow
def grown(count: int) -> int:
    return add(spread(count))


@workflow
def commands() -> dict[str, object]:
    return chain(double.s(4), shell.s("echo got {}; echo $SEGUE_STEP >&2", executor="sge"))()


def measured(secret: str) -> object:
    """A container that writes the length of a secret as its result."""
    text = 'printf \'{{"length": %s, "step": "%s"}}\' ${{#TOKEN}} $SEGUE_STEP > $SEGUE_RESULT'
    return container("tool:1", text, secrets={"TOKEN": secret}, result="json", executor="sge")
