"""Runs a coroutine to its end in a thread that waits for it, even if an event loop is running there already.

A notebook calls `segue.run` from inside its own loop. The coroutine then gets a loop in a second thread, with a copy of
the context, so that the task sees its attempt and its output is captured. A plain function is called in the waiting
thread, which has no running loop meanwhile, so that the function may call `asyncio.run`. Promises: an interrupt of the
wait (Ctrl-C, `Cancelled`) cancels the coroutine and is raised once the coroutine has ended; afterwards the event loop
and the context variables of the thread are what they were before.

Exceptions of the coroutine are kept out of asyncio's hands: asyncio asks an exception for its `__class__`, and waits
forever if that raises.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Awaitable, Callable
from contextlib import suppress
from contextvars import copy_context
from typing import Any, NamedTuple


def run_on_loop(work: Awaitable[Any]) -> Any:
    """The result of awaiting `work` on a new event loop; raises what it raises."""
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        with asyncio.Runner(loop_factory=asyncio.new_event_loop) as runner:  # `run` would take the thread's loop away
            end = runner.run(_ended(work))
    else:
        end = _Beside(work).wait()
    if end.error is not None:
        raise end.error
    return end.value


def call_apart(function: Callable[..., Any], *given: Any) -> Any:
    """Call a plain function with a copy of the context, and as if no event loop were running in this thread."""
    context = copy_context()
    loop = asyncio._get_running_loop()
    if loop is None:
        return context.run(function, *given)
    outer = asyncio.current_task(loop)
    if outer is not None:
        asyncio.tasks._leave_task(loop, outer)
    asyncio._set_running_loop(None)
    try:
        return context.run(function, *given)
    finally:
        asyncio._set_running_loop(loop)
        if outer is not None:
            asyncio.tasks._enter_task(loop, outer)


class _End(NamedTuple):
    """How a coroutine ended."""

    value: Any = None
    error: BaseException | None = None


class _Beside:
    """One coroutine on a loop in a separate thread."""

    def __init__(self, work: Awaitable[Any]) -> None:
        self._work = work
        self._end = _End()
        self._ended = threading.Event()
        self._lock = threading.Lock()  # guards the two below: the coroutine either begins or is called off
        self._begun: tuple[asyncio.AbstractEventLoop, asyncio.Task[Any] | None] | None = None
        self._is_called_off = False

    def wait(self) -> _End:
        """Wait for the coroutine. Returns how it ended."""
        thread = threading.Thread(target=copy_context().run, args=(self._run,), name="segue-event-loop", daemon=True)
        try:
            thread.start()  # waits until the thread runs, so an interrupt may arrive here as well
            self._ended.wait()
        except BaseException:
            self._call_off()
            raise
        return self._end

    def _call_off(self) -> None:
        """Cancel the coroutine and wait for its end.

        A coroutine that has not begun never will, though its thread may start.
        """
        with self._lock:
            self._is_called_off = True
        if self._begun is not None:
            loop, task = self._begun
            if task is not None:
                with suppress(RuntimeError):  # its loop has ended meanwhile
                    loop.call_soon_threadsafe(task.cancel)
            self._ended.wait()

    def _run(self) -> None:
        try:
            self._end = asyncio.run(self._serve())
        except BaseException as exc:  # noqa: BLE001 - it is raised again in the thread that wants the result
            self._end = _End(error=exc)
        finally:
            self._ended.set()

    async def _serve(self) -> _End:
        with self._lock:
            if not self._is_called_off:
                self._begun = asyncio.get_running_loop(), asyncio.current_task()
        if self._begun is None:
            return _End()
        return await _ended(self._work)


async def _ended(work: Awaitable[Any]) -> _End:
    try:
        return _End(await work)
    except BaseException as exc:
        if type(exc) is asyncio.CancelledError:
            raise  # if a KeyboardInterrupt cancelled the coroutine, asyncio turns this into it
        return _End(error=exc)
