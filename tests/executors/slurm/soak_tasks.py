"""What the soak of the Slurm executor runs. Each attempt writes a line into a ledger when it begins."""

from __future__ import annotations

import os
import time
from pathlib import Path

from segue import chain, shell, task, workflow
from segue.dispatcher.protocol import Pace
from segue.executors.slurm import Slurm
from segue.executors.slurm.executor import ENVIRONMENT

FOLDER = os.environ.get("TEST_SLURM_FOLDER", "/nowhere")
LEDGER = Path(FOLDER, "ledger")
PACE = Pace(
    look_seconds=0.5, settle_seconds=8.0, call_seconds=6.0, gone_seconds=8.0, cancel_seconds=5.0, keep_seconds=30.0,
    submits_at_once=200, looks_at_once=5000,
)  # fmt: skip
LOST = 1000
SAY = f'echo "$SEGUE_RUN $SEGUE_STEP $SEGUE_ATTEMPT" >> {LEDGER}'

Slurm(
    "hpc", folder=f"{FOLDER}/jobs", modules=[__name__], slurm_conf=os.environ.get("TEST_SLURM_CONF"), pace=PACE,
    command_seconds=3.0, launch_seconds=40.0, environment=[*ENVIRONMENT, "TEST_SLURM_FOLDER"],
)  # fmt: skip


@task(executor="hpc", lost_retries=LOST)
def far(number: int) -> int:
    """A task on the cluster."""
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
    """A command on the cluster that says that it runs."""
    return shell(f"{SAY}; {text}", executor="hpc", lost_retries=LOST, **values)


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
    return shell(f"{SAY}; exit {{code}}", executor="hpc", lost_retries=LOST, code=code)


@workflow
def lasting(seconds: int) -> object:
    """Is cancelled while it waits or runs."""
    return command("sleep {seconds}; echo 0", seconds=seconds)


@workflow
def mixed(number: int) -> object:
    return chain(near.s(number), far.s(), near.s())()
