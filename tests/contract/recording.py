"""Tasks whose bodies are written in each test, which record what they do inside their steps."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from segue import Limit, Run, current, sleep, task, workflow
from segue.testing import Workbench

BODY: list[Callable[[], Any]] = []
"""What `scripted` does."""

CALLS: list[Any] = []


@task(name="checkpoints.scripted", retries=3, retry_delay=0)
def scripted() -> Any:
    return BODY[0]()


@task(name="checkpoints.scripted_async", retries=3, retry_delay=0)
async def scripted_async() -> Any:
    return await BODY[0]()


@task(name="checkpoints.after", retries=0)
def after(value: Any) -> Any:
    return value


@task(name="checkpoints.alone", limits=[Limit("checkpoints-alone", concurrency=1)])
def alone(name: str) -> str:
    CALLS.append(name)
    if name == "sleeper":
        sleep(600)
    return name


@workflow(name="checkpoints.two")
def two() -> Any:
    return after(scripted())


def call(value: Any) -> Any:
    CALLS.append(value)
    return value


def break_at(failures: int, message: str = "breaks") -> None:
    if current().failures == failures:
        raise OSError(message)


def start(bench: Workbench, body: Callable[[], Any], work: Any = scripted) -> Run:
    BODY[:] = [body]
    run = bench.segue.start(work)
    bench.work()
    return run


def error_of(run: Run) -> str:
    [error] = [step.error for step in run.steps(status="failed")]
    assert error is not None
    return f"{error.type}: {error.message}"
