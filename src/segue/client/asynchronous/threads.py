"""Runs verbs of `Segue` for an event loop: each in a thread, while the loop goes on.

Promises: a verb whose awaiting task is cancelled does its whole work, or never begins; nothing that belongs to an event
loop is kept, so any loop may use these threads; a caller never has its connection back before a start on it has ended.
"""

from __future__ import annotations

import asyncio
import contextvars
import os
from collections.abc import Callable, Coroutine, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from functools import partial
from typing import Any, TypeVar

from segue.client.run import LAST_LOOK_SECONDS
from segue.errors import ConfigError
from segue.store.awaited import Awaited, driver_connection, is_asynchronous

MOST_THREADS = 8
"""Fewer than the connections that a store opens at most, so that threads do not wait for each other's."""

MOST_LOOKS = 200
"""How often, each second, all tasks together look whether the runs that they wait for have ended."""

T = TypeVar("T")


class Threads:
    """A few threads, started when they are needed."""

    def __init__(self) -> None:
        self._pool: ThreadPoolExecutor | None = None
        self._pid = os.getpid()
        self._waiting = 0

    @contextmanager
    def waiting(self) -> Iterator[Callable[[], float]]:
        """Around a task that looks again and again. Yields the longest pause between its looks at present."""
        self._waiting += 1
        try:
            yield lambda: max(LAST_LOOK_SECONDS, self._waiting / MOST_LOOKS)
        finally:
            self._waiting -= 1

    async def run(self, work: Callable[[], T]) -> T:
        """Do this in one of the threads, with the context of the caller."""
        return await self._begun(work)

    async def run_long(self, work: Callable[[], object], *, stop: Callable[[], object]) -> None:
        """The same for work that may take long, in a thread of its own. It is asked to stop if it is not awaited."""
        pool = ThreadPoolExecutor(1, thread_name_prefix="segue-run")
        try:
            await _loop().run_in_executor(pool, partial(contextvars.copy_context().run, work))
        except asyncio.CancelledError:
            stop()
            raise
        finally:
            pool.shutdown(wait=False)

    async def run_joined(self, connection: Any, work: Callable[[Any], T]) -> T:
        """Do this with a connection of the caller's, asynchronous or not, in whose transaction it takes part.

        If the awaiting task is cancelled meanwhile, it hears of that when this has ended, which takes milliseconds. So
        the caller's transaction never has a part of a run.
        """
        if not is_asynchronous(connection):
            return work(connection)  # it may belong to this thread
        loop = _loop()
        driver = await driver_connection(connection)

        def wait(coroutine: Coroutine[Any, Any, Any]) -> Any:
            return asyncio.run_coroutine_threadsafe(coroutine, loop).result()

        begun = self._begun(partial(work, Awaited(driver, wait)))
        cancelled: asyncio.CancelledError | None = None
        while not begun.done():
            try:
                await asyncio.wait([begun])
            except asyncio.CancelledError as error:
                cancelled = error
        if cancelled is not None:
            with suppress(Exception):
                begun.result()
            raise cancelled
        return begun.result()

    def close(self) -> None:
        """End the threads when they have done what they have. If they are needed again, they are started again."""
        pool, self._pool = self._pool, None
        if pool is not None and self._pid == os.getpid():
            pool.shutdown(wait=False)

    def _begun(self, work: Callable[[], T]) -> asyncio.Future[T]:
        if self._pool is None or self._pid != os.getpid():  # a fork has none of its parent's threads
            self._pid = os.getpid()
            self._pool = ThreadPoolExecutor(MOST_THREADS, thread_name_prefix="segue-async")
        return _loop().run_in_executor(self._pool, partial(contextvars.copy_context().run, work))


def _loop() -> asyncio.AbstractEventLoop:
    try:
        return asyncio.get_running_loop()
    except RuntimeError:
        raise ConfigError(
            "AsyncSegue needs the event loop of asyncio (uvloop's is one), and none is running here. With another "
            "library, as trio, call the verbs of `Segue` in a thread: `trio.to_thread.run_sync(...)`."
        ) from None
