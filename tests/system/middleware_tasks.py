"""Tasks, and a middleware that tells what is called and where. `middleware_added` adds it."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from contextvars import ContextVar
from pathlib import Path

import segue
from segue import Context, Ended, Middleware, task

TOLD = "SEGUE_TEST_TOLD"
tenant: ContextVar[str] = ContextVar("tenant", default="nobody")


class ClosingError(Exception):
    """The block of a middleware could not be left as it should."""


def tell(word: str) -> None:
    """Append to the file that the test reads."""
    with Path(os.environ[TOLD]).open("a") as file:
        file.write(f"{os.getpid()} {word}\n")


class Telling(Middleware):
    """Tells each call, and sets the tenant."""

    def process_started(self) -> None:
        tell("started")

    def process_stopping(self) -> None:
        tell("stopping")

    @contextmanager
    def around_attempt(self, context: Context) -> Iterator[None]:
        tell(f"enter {segue.current().name}")
        tenant.set(f"tenant of {context.run_id}")  # not reset: the attempt has a copy of the context
        try:
            yield
        finally:
            tell(f"leave {context.name}")
        if context.name.endswith("commits_badly"):
            raise ClosingError("the commit failed")

    @asynccontextmanager
    async def around_coroutine(self, context: Context) -> AsyncIterator[None]:
        await asyncio.sleep(0)
        tell(f"enter-coroutine {asyncio.get_running_loop().is_running()}")
        yield
        tell("leave-coroutine")

    def after_attempt(self, context: Context, ended: Ended) -> None:
        tell(f"after {context.name} {ended.verdict} {ended.error and ended.error.type}")
        raise ClosingError("is logged")


@task
def who() -> str:
    return tenant.get()


@task
async def who_async() -> str:
    await asyncio.sleep(0)
    return tenant.get()


@task
def fails() -> None:
    raise KeyError("no such order")


@task
def commits_badly() -> int:
    return 1
