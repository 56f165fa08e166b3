"""A database of workflows, for programs that run on an event loop: the same verbs as those of `Segue`, to be awaited.

The core of Segue is not asynchronous. Each verb runs in one of a few threads, and the event loop goes on meanwhile.
Runs are waited for and followed without a thread.
"""

from __future__ import annotations

from collections.abc import Coroutine
from functools import cached_property, partial, wraps
from typing import Any, Unpack

from segue.authoring import sleep, wait_for
from segue.client.asynchronous.awaiting import Awaiting, Method, P, R, T, about, awaited, giving, starting
from segue.client.asynchronous.listed import async_listed, async_page
from segue.client.asynchronous.parts import (
    AsyncAccess,
    AsyncApprovals,
    AsyncEvents,
    AsyncExecutors,
    AsyncFailures,
    AsyncLimits,
    AsyncRetention,
    AsyncSchedules,
    AsyncSelection,
    AsyncStoredPayloads,
    AsyncSubscriptions,
)
from segue.client.asynchronous.run import AsyncRun, async_run
from segue.client.asynchronous.threads import Threads
from segue.client.run import Run
from segue.client.segue import Segue
from segue.client.selection import RunFilters
from segue.clock import Clock
from segue.engine.acting import acting_as
from segue.observing.observers import on
from segue.payloads.keeping import Payloads
from segue.payloads.protocol import PayloadStore


def _async_runs(runs: list[Run[R]], threads: Threads) -> list[AsyncRun[R]]:
    return [AsyncRun(run, threads) for run in runs]


def _worked_here(method: Method[P, T]) -> Method[P, Coroutine[Any, Any, T]]:
    """`Segue.run`, in a thread of its own. If its task is cancelled, the rest of the run is left to other workers."""

    @wraps(method)
    async def call(self: AsyncSegue, /, *args: P.args, **kwargs: P.kwargs) -> T:
        from segue.worker.inline import worker_of  # noqa: PLC0415 - most users of this module never run a worker

        start: Any = self.start
        run: AsyncRun[T] = await start(*args, **kwargs)
        worker = worker_of(self.sync.engine, run.id)
        await self._threads.run_long(worker.run, stop=worker.stop)
        return await (await run.wait()).result()

    return call


class AsyncSegue(Awaiting[Segue]):
    """A database of workflows, for asyncio. Its methods are those of `Segue`, to be awaited.

    Example::

        segue = AsyncSegue("sqlite:///segue.db")  # SEGUE_DATABASE_URL when left out
        run = await segue.start(nightly, "2026-11-20", key="2026-11-20")
        await run.wait(timeout=60)
        print(await run.result())

    `start` takes an asynchronous `connection`: of asyncpg, psycopg or aiosqlite, or SQLAlchemy's AsyncConnection or
    AsyncSession. Then the run begins when the caller's transaction commits.

    If a task is cancelled while it awaits a verb, the verb may have been done or not. A start in the caller's own
    transaction is whole when its task hears of the cancellation; then the transaction decides.

    One object may serve several event loops, and threads. `segue.sync` is the `Segue` behind it.
    """

    def __init__(
        self, url: str | None = None, *, namespace: str | None = None,
        payloads: Payloads | PayloadStore | str | None = None, payload_threshold: int | None = None,
        clock: Clock | None = None,
    ) -> None:  # fmt: skip
        segue = Segue(
            url, namespace=namespace, payloads=payloads, payload_threshold=payload_threshold, clock=clock
        )  # fmt: skip
        super().__init__(segue, Threads())

    def __repr__(self) -> str:
        return f"<AsyncSegue {self.namespace or 'default'}>"

    on = staticmethod(on)
    """The same as `segue.on`: an observer belongs to the process and receives events of every database."""

    acting_as = staticmethod(acting_as)
    """As `Segue.acting_as`: `with segue.acting_as("ann"):` around what is awaited."""

    wait_for = wait_for
    """The same as `segue.wait_for`: a step that waits for a message."""

    sleep = sleep
    """The same as `segue.sleep`: a step that waits for a duration."""

    @property
    def sync(self) -> Segue:
        """The `Segue` behind it, for code that is not asynchronous."""
        return self._original

    @property
    def namespace(self) -> str:
        """Its namespace."""
        return self._original.namespace

    @property
    def url(self) -> str:
        """Its database."""
        return self._original.url

    start = starting(async_run)(Segue.start)
    start_many = starting(_async_runs)(Segue.start_many)
    send = about(AsyncRun)(Segue.send)
    run = _worked_here(Segue.run)
    get = giving(async_run)(Segue.get)
    runs = giving(async_listed)(Segue.runs)
    pages = giving(async_page)(Segue.pages)
    queues = awaited(Segue.queues)
    ended_workers = awaited(Segue.ended_workers)
    workflows = awaited(Segue.workflows)
    annotate = about(AsyncRun)(Segue.annotate)
    workers = awaited(Segue.workers)
    statistics = awaited(Segue.statistics)
    definitions = awaited(Segue.definitions)
    publish_definitions = awaited(Segue.publish_definitions)
    upgrade = awaited(Segue.upgrade)
    prune = awaited(Segue.prune)

    def select(self, **chosen: Unpack[RunFilters]) -> AsyncSelection:
        """The runs that match all of these filters, as for `Segue.select`; what is done to them is awaited.

        Example::

            await segue.select(workflow="shop.nightly", status="running").pause()
        """
        return AsyncSelection(partial(self._original.select, **chosen), self._threads)

    async def close(self) -> None:
        """Close its connections, unless other objects use them, and end its threads. It opens them again when used."""
        await self._threads.run(self._original.close)
        self._threads.close()

    async def __aenter__(self) -> AsyncSegue:
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        await self.close()

    @cached_property
    def schedules(self) -> AsyncSchedules:
        """Work that starts by itself at given times."""
        return AsyncSchedules(self._original.schedules, self._threads)

    @cached_property
    def subscriptions(self) -> AsyncSubscriptions:
        """Where events are sent."""
        return AsyncSubscriptions(self._original.subscriptions, self._threads)

    @cached_property
    def retention(self) -> AsyncRetention:
        """How long runs that have ended are kept."""
        return AsyncRetention(self._original.retention, self._threads)

    @cached_property
    def approvals(self) -> AsyncApprovals:
        """The steps that wait for a message."""
        return AsyncApprovals(self._original.approvals, self._threads)

    @cached_property
    def events(self) -> AsyncEvents:
        """The events that were recorded."""
        return AsyncEvents(self._original.events, self._threads)

    @cached_property
    def failures(self) -> AsyncFailures:
        """What failed, by the kind of error."""
        return AsyncFailures(self._original.failures, self._threads)

    @cached_property
    def limits(self) -> AsyncLimits:
        """How much may run at the same time."""
        return AsyncLimits(self._original.limits, self._threads)

    @cached_property
    def payloads(self) -> AsyncStoredPayloads:
        """Long values that lie in a payload store."""
        return AsyncStoredPayloads(self._original.payloads, self._threads)

    @cached_property
    def access(self) -> AsyncAccess:
        """Access tokens, sessions and the audit log."""
        return AsyncAccess(self._original.access, self._threads)

    @cached_property
    def executors(self) -> AsyncExecutors:
        """Executors that are polled, and what their steps print."""
        return AsyncExecutors(self._original.executors, self._threads)
