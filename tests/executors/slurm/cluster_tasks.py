"""Tasks that run as jobs of a Slurm cluster. The environment says where it is."""

from __future__ import annotations

import os
import signal
import sys
import time
from pathlib import Path

from segue import Abort, chain, container, group, shell, task, workflow
from segue.dispatcher.protocol import Pace
from segue.executors.slurm import Slurm
from segue.executors.slurm.executor import ENVIRONMENT
from segue.plan.pushed import Resources

FOLDER = os.environ.get("TEST_SLURM_FOLDER", "/nowhere")
QUICK = Pace(
    look_seconds=0.2, settle_seconds=2.0, call_seconds=10.0, gone_seconds=3.0, cancel_seconds=5.0, keep_seconds=3600.0
)

cluster = Slurm(
    "hpc", folder=f"{FOLDER}/jobs", modules=[__name__], slurm_conf=os.environ.get("TEST_SLURM_CONF"), pace=QUICK,
    secrets=f"{FOLDER}/secrets", runner=["sh", "-c", 'shift 3; exec "$@"', "runner"],
    command_seconds=3.0, environment=[*ENVIRONMENT, "TEST_SLURM_FOLDER", "TEST_SLURM_CONF"],
)  # fmt: skip


@task(executor="hpc")
def double(number: int) -> int:
    sys.stdout.write(f"doubling {number}\n")
    return 2 * number


@task
def add(numbers: list[int]) -> int:
    return sum(numbers)


@task(executor="hpc")
def where() -> dict[str, str | None]:
    """What the environment of a job has."""
    return {name: os.environ.get(name) for name in ("SLURM_JOB_ID", "SEGUE_DATABASE_URL", "SECRET")}


@task(executor="hpc", resources=Resources(memory="60MiB"))
def greedy() -> int:
    held = bytearray(400 * 2**20)
    return len(held)


@task(executor="hpc", lost_retries=1)
def until(name: str) -> str:
    """Say that it runs, and wait for a file."""
    with Path(FOLDER, f"{name}.began").open("a") as file:
        file.write("x")
    while not Path(FOLDER, name).exists():
        time.sleep(0.05)
    return name


@task(executor="hpc", retries=1, retry_delay=0.1)
def broken() -> None:
    raise ValueError("of the task")


@task(executor="hpc")
def hopeless() -> None:
    raise Abort("nothing helps")


@task(executor="hpc")
def killed() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


@task(executor="hpc", timeout=1)
def slow() -> None:
    time.sleep(60)


@task(executor="hpc")
def half(number: int) -> int:
    sys.stdout.write(f"half of {number}\n")
    if number == 3:
        raise Abort("of the task")
    return number // 2


@workflow
def uneven(count: int) -> object:
    return half.map(list(range(count)))


@workflow
def echoes(count: int) -> object:
    return [shell(f"echo word {number}", executor="hpc") for number in range(count)]


@workflow
def secretive(length: str) -> object:
    check = "test ${#TOKEN} = {length} && sleep 1"
    return [container("none", ["sh", "-c", check.replace("{length}", length).replace("{#", "{{#").replace("N}", "N}}")],
                      executor="hpc", secrets={"TOKEN": "token"}) for _ in range(2)]  # fmt: skip


@workflow
def greedy_command() -> object:
    return shell("head -c 400000000 /dev/zero | tail > /dev/null; exit 1", executor="hpc",
                 resources=Resources(memory="60MiB"), lost_retries=0)  # fmt: skip


@workflow
def endless() -> object:
    return shell("exec sleep 600", executor="hpc", timeout=30)


@workflow
def killed_command() -> object:
    return shell("kill -9 $PPID $$", executor="hpc", lost_retries=0)


@workflow
def held_commands(count: int) -> object:
    return [shell("true", executor="hpc", push={"sbatch": ["--hold"]}, lost_retries=0) for _ in range(count)]


@task(executor="hpc")
def spread(count: int) -> object:
    """A pushed step may return a plan."""
    return group(double.s(number) for number in range(count))


@workflow
def mixed(count: int) -> int:
    return add(double.map(list(range(count))))


@workflow
def grown(count: int) -> int:
    return add(spread(count))


@workflow
def commands() -> dict[str, object]:
    return chain(double.s(4), shell.s("echo got {}", executor="hpc"))()
