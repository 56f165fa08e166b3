"""Middleware around one attempt: order, what an exception sees, and what is refused."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from typing import Any

import pytest

from segue.attempt.runner import run_job, run_job_async
from segue.authoring import task
from segue.authoring.context import Cancelled, Context
from segue.authoring.middleware import Ended, Middleware, add_middleware, middlewares
from segue.errors import DefinitionError, Skip
from segue.model import Job, Verdict

SEEN: list[str] = []


class Outer(Middleware):
    """Notes what passes it."""

    @contextmanager
    def around_attempt(self, context: Context) -> Iterator[None]:
        SEEN.append("outer in")
        try:
            yield
        except BaseException as exc:
            SEEN.append(f"outer saw {type(exc).__name__}")
            raise
        SEEN.append("outer out")

    def after_attempt(self, context: Context, ended: Ended) -> None:
        SEEN.append(f"outer after {ended.verdict}")


class Inner(Middleware):
    """Does what the test says."""

    def __init__(self, before: BaseException | None = None, *, swallows: bool = False) -> None:
        self.before, self.swallows = before, swallows

    @contextmanager
    def around_attempt(self, context: Context) -> Iterator[None]:
        SEEN.append("inner in")
        if self.before is not None:
            raise self.before
        try:
            yield
        except ZeroDivisionError:
            if not self.swallows:
                raise

    def after_attempt(self, context: Context, ended: Ended) -> None:
        SEEN.append("inner after")
        raise SystemExit(3)


class Careless(Middleware):
    """Returns what is no context manager."""

    def around_attempt(self, context: Context) -> Any:
        yield


class Awaiting(Middleware):
    """Fails before the coroutine begins."""

    @asynccontextmanager
    async def around_coroutine(self, context: Context) -> AsyncIterator[None]:
        await asyncio.sleep(0)
        if context.attempt > 0:
            raise LookupError("no session")
        yield


@task
def divide(by: int) -> float:
    return 1 / by


@task
async def divide_async(by: int) -> float:
    return 1 / by


@pytest.fixture(autouse=True)
def nothing_seen() -> None:
    SEEN.clear()


def job(by: int, of: Any = divide) -> Job:
    return Job("run", 0, 1, "divide", of.name, f"[[{by}],{{}}]", None, {}, None)


def test_the_first_added_is_the_outermost() -> None:
    add_middleware(Outer())
    add_middleware(Inner())
    assert run_job(job(1)).verdict == Verdict.SUCCEEDED
    assert SEEN == ["outer in", "inner in", "outer out", "inner after", "outer after succeeded"]


def test_an_exception_cannot_be_suppressed() -> None:
    add_middleware(Outer())
    add_middleware(Inner(swallows=True))
    outcome = run_job(job(0))
    assert outcome.error is not None
    assert outcome.error.type == "ZeroDivisionError"
    assert "outer saw ZeroDivisionError" in SEEN


def test_what_a_block_raises_means_what_a_task_means_by_it() -> None:
    add_middleware(Outer())
    add_middleware(Inner(Skip("this tenant has left")))
    assert run_job(job(1)).verdict == Verdict.SKIPPED
    assert SEEN == ["outer in", "inner in", "outer saw Skip", "inner after", "outer after skipped"]


def test_an_attempt_that_is_ended_from_outside_tells_only_the_block() -> None:
    add_middleware(Outer())
    add_middleware(Inner(Cancelled()))
    with pytest.raises(Cancelled):
        run_job(job(1), is_cancelled=lambda: True)
    assert SEEN == ["outer in", "inner in", "outer saw Cancelled"]


def test_a_block_that_fails_before_a_coroutine_leaves_none_behind() -> None:
    add_middleware(Awaiting())
    for outcome in (run_job(job(1, divide_async)), asyncio.run(run_job_async(job(1, divide_async)))):
        assert outcome.error is not None
        assert outcome.error.message == "no session"


def test_what_is_no_middleware_is_refused() -> None:
    with pytest.raises(DefinitionError, match=r"add an object of it: Outer\(\)"):
        add_middleware(Outer)  # type: ignore[arg-type]
    with pytest.raises(DefinitionError, match=r"not a segue\.Middleware"):
        add_middleware(object())  # type: ignore[arg-type]
    add_middleware(Careless())
    outcome = run_job(job(1))
    assert outcome.error is not None
    assert "write @contextmanager above it" in outcome.error.message


def test_one_of_each_class() -> None:
    for middleware in (Outer(), Inner(), Outer()):
        add_middleware(middleware)
    assert [type(each) for each in middlewares.known[-2:]] == [Outer, Inner]
