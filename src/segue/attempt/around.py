"""Calls the hooks of middlewares around an attempt, and when a process begins and ends to run attempts.

Errors of `around_attempt` and `around_coroutine` are raised, so that they become the attempt's. All others are logged.
No hook can suppress an exception of the task, because the attempt would then have neither a result nor an error.
"""

from __future__ import annotations

import os
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import (
    AbstractAsyncContextManager,
    AbstractContextManager,
    AsyncExitStack,
    ExitStack,
    asynccontextmanager,
    contextmanager,
    nullcontext,
    suppress,
)
from functools import partial
from typing import Any

from segue.authoring.context import Context
from segue.authoring.middleware import Ended, Middleware, middlewares
from segue.given import described
from segue.model import Job, Outcome, Verdict
from segue.observing.extensions import AttemptFacts, extensions
from segue.observing.harmless_log import get_logger

logger = get_logger("segue.attempt")

Raises = Callable[[BaseException], bool]
"""Whether an exception ends the attempt, whatever code it is raised in."""


def is_around() -> bool:
    """Whether anything is: a middleware, a span, a report of errors."""
    return bool(middlewares.known or extensions.around)


def attached_to(context: Context, job: Job | None = None) -> AbstractContextManager[object]:
    """The span of an attempt and the like, if there are any. An executor whose library runs the task has no job."""
    if not extensions.around:
        return nullcontext()
    facts = AttemptFacts(
        context.run_id, context.step, context.attempt, context.name, context.task, secrets=context.secrets
    )
    if job is not None:
        facts = facts._replace(queue=job.queue, waited=job.waited, trace=job.trace)
    return extensions.attempt(facts)


@contextmanager
def around_attempt(context: Context, job: Job) -> Iterator[None]:
    """The task's block inside its span and all middlewares."""
    with ExitStack() as stack:
        if extensions.around:
            stack.push(_passing(entered(attached_to(context, job))))
        for middleware in middlewares.arounds:
            manager = _checked(middleware, middleware.around_attempt(context))
            manager.__enter__()
            stack.push(_passing(manager))
        yield


@asynccontextmanager
async def around_coroutine(context: Context) -> AsyncIterator[None]:
    """The same on an event loop, for the middlewares that await."""
    async with AsyncExitStack() as stack:
        for middleware in middlewares.coroutines:
            manager = _checked_async(middleware, middleware.around_coroutine(context))
            await manager.__aenter__()
            stack.push_async_exit(_passing_async(manager))
        yield


def after_attempt(context: Context, outcome: Outcome, *, raises: Raises) -> None:
    """Tell the middlewares how the attempt ended, the last one first."""
    verdict = Verdict.SUCCEEDED if outcome.verdict == Verdict.RECORDED else outcome.verdict
    ended = Ended(str(verdict), outcome.error, outcome.seconds)
    for middleware in reversed(middlewares.afters):
        _log_errors(middleware, "after_attempt", partial(middleware.after_attempt, context, ended), raises)


class AttemptingProcess:
    """Whether this process runs attempts: it may have several pools, one after another or at the same time."""

    def __init__(self) -> None:
        self._pools = 0

    def begin(self) -> None:
        """A pool begins to run attempts in this process."""
        self._pools += 1
        if self._pools == 1:
            for middleware in middlewares.known:
                _log_errors(middleware, "process_started", middleware.process_started)

    def end(self) -> None:
        """It runs no more."""
        if self._pools == 0:  # a fork ends a pool that it inherited
            return
        self._pools -= 1
        if self._pools == 0:
            for middleware in reversed(middlewares.known):
                _log_errors(middleware, "process_stopping", middleware.process_stopping)
            if extensions.flushes:
                extensions.flush()

    def forget(self) -> None:
        """A fork has none of the pools."""
        self._pools = 0


attempting_process = AttemptingProcess()
os.register_at_fork(after_in_child=attempting_process.forget)


def _log_errors(middleware: Middleware, hook: str, call: Callable[[], object], raises: Raises | None = None) -> None:
    try:
        call()
    except BaseException as exc:
        if not isinstance(exc, Exception) and (raises is None or raises(exc)):
            raise
        with suppress(Exception):
            logger.error(
                "%s of the middleware %s failed, and work continues\n%s",
                hook, type(middleware).__qualname__, described(exc).traceback,
            )  # fmt: skip


def entered(manager: AbstractContextManager[object]) -> AbstractContextManager[object]:
    """The same, inside its block."""
    manager.__enter__()
    return manager


def _checked(middleware: Middleware, manager: Any) -> AbstractContextManager[object]:
    if not (hasattr(manager, "__enter__") and hasattr(manager, "__exit__")):
        raise _no_manager(middleware, "around_attempt", manager, "contextmanager")
    found: AbstractContextManager[object] = manager
    return found


def _checked_async(middleware: Middleware, manager: Any) -> AbstractAsyncContextManager[object]:
    if not (hasattr(manager, "__aenter__") and hasattr(manager, "__aexit__")):
        raise _no_manager(middleware, "around_coroutine", manager, "asynccontextmanager")
    found: AbstractAsyncContextManager[object] = manager
    return found


def _no_manager(middleware: Middleware, hook: str, found: object, decorator: str) -> TypeError:
    return TypeError(
        f"{type(middleware).__qualname__}.{hook} returned a {type(found).__name__}, which is no context manager; "
        f"write @{decorator} above it, and yield once in it"
    )


def _passing(manager: AbstractContextManager[object]) -> Callable[..., bool]:
    def leave(*exc_info: Any) -> bool:
        manager.__exit__(*exc_info)
        return False

    return leave


def _passing_async(manager: AbstractAsyncContextManager[object]) -> Any:
    async def leave(*exc_info: Any) -> bool:
        await manager.__aexit__(*exc_info)
        return False

    return leave
