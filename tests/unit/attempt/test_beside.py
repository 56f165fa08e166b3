"""Coroutines beside a running loop: what interrupts the wait ends them first."""

from __future__ import annotations

import asyncio
import inspect
import os
import signal
import threading
import time
from contextvars import ContextVar
from typing import Any

import pytest

from segue.attempt.beside import _Beside, call_apart, run_on_loop


class HostileError(Exception):
    @property
    def __class__(self) -> Any:
        raise RecursionError


async def fail() -> None:
    raise HostileError


async def give(value: int) -> int:
    await asyncio.sleep(0)
    return value


@pytest.mark.parametrize("is_running", [False, True])
def test_what_comes_of_it_comes_here(is_running: bool) -> None:
    def use() -> None:
        assert run_on_loop(give(7)) == 7
        try:
            run_on_loop(fail())
        except HostileError as error:  # noqa: F841 - `pytest.raises` asks for its class
            return
        raise AssertionError

    async def inside() -> None:
        use()

    if is_running:
        asyncio.run(inside())
    else:
        use()


def test_an_interrupt_cancels_the_coroutine_and_goes_on_once_it_has_ended() -> None:
    ended: list[str] = []

    async def linger() -> None:
        os.kill(os.getpid(), signal.SIGINT)  # the main thread waits for this
        try:
            await asyncio.sleep(60)
        finally:
            ended.append("tidily")

    async def inside() -> None:
        with pytest.raises(KeyboardInterrupt):
            run_on_loop(linger())

    loop = asyncio.new_event_loop()  # not `asyncio.run`, which has a handler of its own for SIGINT
    loop.run_until_complete(inside())
    loop.close()
    assert ended == ["tidily"]


@pytest.mark.parametrize("has_started", [False, True])
def test_an_interrupt_while_the_thread_starts_leaves_nothing_behind(
    has_started: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[str] = []

    async def linger() -> None:
        seen.append("begun")
        try:
            await asyncio.sleep(60)
        finally:
            seen.append("ended")

    start = threading.Thread.start

    def interrupted(thread: threading.Thread) -> None:
        if has_started:
            start(thread)
            while not seen:
                time.sleep(0.001)
        raise KeyboardInterrupt

    async def inside() -> None:
        monkeypatch.setattr(threading.Thread, "start", interrupted)
        with pytest.raises(KeyboardInterrupt):
            run_on_loop(work)

    work = linger()
    asyncio.run(inside())
    assert seen == (["begun", "ended"] if has_started else [])
    work.close()


def test_what_is_called_off_before_it_begins_never_begins() -> None:
    work = give(7)
    beside = _Beside(work)
    beside._call_off()
    assert beside.wait() == (None, None)
    assert inspect.getcoroutinestate(work) == inspect.CORO_CREATED
    work.close()


SPELT: ContextVar[str] = ContextVar("SPELT", default="as it was")


def plain() -> list[object]:
    """What a task may do that knows nothing of the thread it is called in."""
    was = SPELT.get()
    SPELT.set("otherwise")
    with pytest.raises(RuntimeError):
        asyncio.get_running_loop()
    return [was, asyncio.run(give(7))]


def test_a_plain_function_finds_no_running_loop_and_leaves_no_trace() -> None:
    async def inside() -> None:
        task = asyncio.current_task()
        for _ in range(2):
            assert call_apart(plain) == ["as it was", 7]
        with pytest.raises(ZeroDivisionError):
            call_apart(lambda: 1 // 0)
        assert asyncio.current_task() is task
        assert await asyncio.create_task(give(8)) == 8

    assert call_apart(plain) == call_apart(plain) == ["as it was", 7]
    asyncio.run(inside())
    assert SPELT.get() == "as it was"


def test_the_loop_that_a_thread_has_set_stays_set() -> None:
    loop = asyncio.new_event_loop()
    asyncio.set_event_loop(loop)
    try:
        assert run_on_loop(give(7)) == 7
        assert asyncio.get_event_loop() is loop
    finally:
        asyncio.set_event_loop(None)
        loop.close()
