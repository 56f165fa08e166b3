"""The tasks that the pools' tests run: good ones, and ones that misbehave in every way we could think of."""

from __future__ import annotations

import asyncio
import concurrent.futures
import ctypes
import logging
import os
import signal
import subprocess
import sys
import time
from datetime import datetime
from pathlib import Path
from typing import Any

from segue.authoring import Cancelled, chain, progress, task
from segue.errors import Abort, Retry, Skip


@task
def nothing() -> None: ...


@task
def echo(value: Any) -> Any:
    return value


@task
def add(first: int, second: int = 10) -> int:
    return first + second


@task
def add_one_day(day: datetime) -> int:
    return day.toordinal() + 1


@task
async def echo_async(value: str) -> str:
    await asyncio.sleep(0)
    return value


@task
async def nap_async(seconds: float) -> str:
    await asyncio.sleep(seconds)
    return "rested"


@task(retry_on=OSError, give_up_on=PermissionError)
def choosy(kind: str) -> None:
    raise {"os": OSError, "permission": PermissionError, "value": ValueError}[kind](kind)


@task
def fail(message: str) -> None:
    raise ValueError(message)


@task
def ask_for_retry(after: float) -> None:
    raise Retry("later", after=after)


@task
def skip() -> None:
    raise Skip("nothing to do")


@task
def abort() -> None:
    raise Abort("never")


@task
def become_chain() -> Any:
    return chain(echo.s(1), echo.s())


@task
def speak(text: str) -> None:
    sys.stdout.write(text + " to stdout\n")
    sys.stderr.write(text + " to stderr\n")
    logging.getLogger("tasks").info("%s to the quiet log", text)
    logging.getLogger("tasks").warning("%s to the log", text)


@task
def say_progress(steps: int) -> str:
    for done in range(steps):
        progress(done + 1, steps)
    return "done"


@task
def nap(seconds: float) -> str:
    time.sleep(seconds)
    return "rested"


@task
def nap_with_progress(seconds: float) -> None:
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        progress(1, 2)
        time.sleep(0.01)


@task
def finish_anyway(seconds: float) -> str:
    """Catches what asks it to end, and returns what it has."""
    try:
        nap_with_progress.fn(seconds)
    except BaseException:  # noqa: BLE001 - `Cancelled`, whatever way it comes
        return "enough"
    return "all"


@task
def fail_when_asked(seconds: float) -> None:
    """Fails as an effect of being ended, as a broken connection would."""
    try:
        nap_with_progress.fn(seconds)
    except BaseException as error:
        raise OSError("connection reset") from error


@task
def give(size: int) -> str:
    return "x" * size


@task
def give_object() -> Any:
    return object()


class UnspeakableError(Exception):
    def __str__(self) -> str:
        raise RuntimeError("no words")


@task
def raise_unspeakable() -> None:
    raise UnspeakableError


@task
def raise_base(kind: str) -> None:
    if kind == "exit":
        sys.exit(3)
    raise {"interrupt": KeyboardInterrupt, "base": BaseException}[kind]("from the task")


@task
def be_cancelled(how: str) -> None:
    """Raises what looks like a cancellation, and is none: nobody asked for it."""
    raise {"ours": Cancelled, "asyncio": asyncio.CancelledError, "futures": concurrent.futures.CancelledError}[how]


@task
async def be_cancelled_async(how: str) -> int:
    """The same in a coroutine, in the ways in which that happens."""
    loop, mine = asyncio.get_running_loop(), asyncio.current_task()
    assert mine is not None
    match how:
        case "ours":
            raise Cancelled
        case "part":  # as a client library does at its own timeout
            part = asyncio.create_task(asyncio.sleep(60))
            loop.call_soon(part.cancel)
            await part
        case "itself":
            mine.cancel()
            await asyncio.sleep(60)
        case "all":
            for other in asyncio.all_tasks():
                other.cancel()
            await asyncio.sleep(60)
        case "timeout":
            async with asyncio.timeout(0.01):
                await asyncio.sleep(60)
        case "group":
            async with asyncio.TaskGroup() as together:
                together.create_task(asyncio.sleep(60)).cancel()
                together.create_task(be_cancelled_async.fn("ours"))
        case "too late":
            mine.cancel()
    return 1


@task
async def disturb_loop(how: str) -> int:
    """Does to the event loop what takes other attempts on it along."""
    loop = asyncio.get_running_loop()
    match how:
        case "stop":
            loop.stop()
        case "exit":
            loop.call_soon(sys.exit, 3)
        case "interrupt":
            loop.call_soon(_interrupt)
        case "factory":
            loop.set_task_factory(_no_task)
        case "handler":
            loop.set_exception_handler(_no_task)
            loop.call_soon(_fail)
    if how != "factory":
        await asyncio.sleep(0.02)
    return 1


def _interrupt() -> None:
    raise KeyboardInterrupt


def _fail() -> None:
    raise ValueError("in a callback")


def _no_task(*_: Any, **__: Any) -> Any:
    raise SystemExit("no tasks here")


@task
def my_pid() -> int:
    return os.getpid()


# What follows must only run in a child process.


@task
def crash() -> None:
    print("about to crash")  # noqa: T201
    ctypes.string_at(0)


@task
def leave(code: int) -> None:
    os._exit(code)


@task
def kill_self(number: int) -> None:
    os.kill(os.getpid(), number)
    time.sleep(30)


@task
def ignore_sigterm(ready: str) -> None:
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    Path(ready).touch()
    time.sleep(60)


@task
def clean_up(ready: str, cleaned: str) -> None:
    try:
        Path(ready).touch()
        time.sleep(60)
    finally:
        Path(cleaned).touch()


@task
def leave_grandchild() -> int:
    return subprocess.Popen(["sleep", "300"]).pid


@task
def leave_orphan() -> None:
    """A process whose parent has ended: somebody must adopt it."""
    subprocess.run(["sh", "-c", "sleep 0.01 &"], check=True)


@task
def wait_for_grandchild(pid_file: str) -> None:
    process = subprocess.Popen(["sh", "-c", f"trap '' TERM; echo $$ > {pid_file}; sleep 300; true"])
    process.wait()


@task
def fork_and_return() -> str:
    return "child" if os.fork() == 0 else "parent"


@task
def print_megabytes(count: int) -> None:
    block = b"y" * 1023 + b"\n"
    for _ in range(count * 16):
        os.write(1, block * 64)
    os.write(1, b"the end\n")


@task
def close_everything() -> None:
    os.closerange(0, 1000)


_kept: list[bytearray] = []


@task
def keep_megabytes(count: int) -> int:
    _kept.append(bytearray(b"z") * (count * 2**20))
    return os.getpid()


@task
def break_stdout() -> None:
    sys.stdout.close()
    sys.stderr = None  # type: ignore[assignment]


@task
def fill_descriptors() -> None:
    while True:
        os.dup(0)
