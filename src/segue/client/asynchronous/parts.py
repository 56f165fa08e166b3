"""The parts of `AsyncSegue`, as `segue.schedules`: the same methods as those of `Segue`, to be awaited."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterable
from uuid import UUID

from segue.client.access import AccessRecords
from segue.client.asynchronous.awaiting import Awaiting, awaited, giving
from segue.client.asynchronous.run import async_run
from segue.client.asynchronous.threads import Threads
from segue.client.background import InBackground
from segue.client.executors import Executors
from segue.client.failures import Failures
from segue.client.limits import Limits
from segue.client.payloads import StoredPayloads
from segue.client.progress import DATABASE_AWAY_SECONDS, pause_of
from segue.client.retention import Retention
from segue.client.schedules import Schedules
from segue.client.selection import Selection
from segue.client.subscriptions import Subscriptions
from segue.client.waiting import Approvals, Events
from segue.engine.patience import Patience
from segue.engine.views.waiting import EventInfo
from segue.model import RunStatus


class AsyncSchedules(Awaiting[Schedules]):
    """`Schedules`, to be awaited."""

    create = awaited(Schedules.create)
    list = awaited(Schedules.list)
    get = awaited(Schedules.get)
    update = awaited(Schedules.update)
    activate = awaited(Schedules.activate)
    deactivate = awaited(Schedules.deactivate)
    remove = awaited(Schedules.remove)
    run_now = giving(async_run)(Schedules.run_now)
    next = awaited(Schedules.next)
    backfill = awaited(Schedules.backfill)
    ticks = awaited(Schedules.ticks)


class AsyncAccess(Awaiting[AccessRecords]):
    """`AccessRecords`, to be awaited."""

    create_token = awaited(AccessRecords.create_token)
    tokens = awaited(AccessRecords.tokens)
    token = awaited(AccessRecords.token)
    revoke_token = awaited(AccessRecords.revoke_token)
    open_session = awaited(AccessRecords.open_session)
    session = awaited(AccessRecords.session)
    sessions = awaited(AccessRecords.sessions)
    close_session = awaited(AccessRecords.close_session)
    end_session = awaited(AccessRecords.end_session)
    record = awaited(AccessRecords.record)
    audit = awaited(AccessRecords.audit)
    refused_logins = awaited(AccessRecords.refused_logins)


class AsyncSubscriptions(Awaiting[Subscriptions]):
    """`Subscriptions`, to be awaited."""

    add = awaited(Subscriptions.add)
    list = awaited(Subscriptions.list)
    activate = awaited(Subscriptions.activate)
    deactivate = awaited(Subscriptions.deactivate)
    remove = awaited(Subscriptions.remove)
    test = giving(async_run)(Subscriptions.test)


class AsyncRetention(Awaiting[Retention]):
    """`Retention`, to be awaited."""

    list = awaited(Retention.list)
    get = awaited(Retention.get)
    set = awaited(Retention.set)
    remove = awaited(Retention.remove)
    sweep = awaited(Retention.sweep)


class AsyncApprovals(Awaiting[Approvals]):
    """`Approvals`, to be awaited."""

    list = awaited(Approvals.list)
    page = awaited(Approvals.page)


class AsyncEvents(Awaiting[Events]):
    """`Events`, to be awaited."""

    async def follow(
        self, run_id: str | None = None, *, kinds: Iterable[str] = (), after: str | None = None,
        every: float | None = None,
    ) -> AsyncIterator[EventInfo]:  # fmt: skip
        """Each event that is recorded from the beginning of the loop on, as `Events.follow` gives them.

        Example::

            async for event in segue.events.follow(kinds=["*.late_*"]):
                await tell(event)
        """
        pause, patience = pause_of(every), Patience(DATABASE_AWAY_SECONDS)
        follower = self._original._follower(run_id, kinds, after)
        found = await self._threads.run(follower.look)
        while True:
            for event in found:
                yield event
            await asyncio.sleep(pause)
            found = await self._threads.run(lambda: patience.ask(follower.look, otherwise=[]))

    list = awaited(Events.list)


class AsyncFailures(Awaiting[Failures]):
    """`Failures`, to be awaited."""

    groups = awaited(Failures.groups)
    get = awaited(Failures.get)


class AsyncLimits(Awaiting[Limits]):
    """`Limits`, to be awaited."""

    set = awaited(Limits.set)
    list = awaited(Limits.list)
    remove = awaited(Limits.remove)
    weight = awaited(Limits.weight)
    shares = awaited(Limits.shares)


class AsyncStoredPayloads(Awaiting[StoredPayloads]):
    """`StoredPayloads`, to be awaited."""

    count = awaited(StoredPayloads.count)
    sweep = awaited(StoredPayloads.sweep)
    strays = awaited(StoredPayloads.strays)
    delete_strays = awaited(StoredPayloads.delete_strays)


class AsyncExecutors(Awaiting[Executors]):
    """`Executors`, to be awaited."""

    list = awaited(Executors.list)
    output = awaited(Executors.output)


class AsyncInBackground(Awaiting[InBackground]):
    """`InBackground`, to be awaited. Made by `selection.in_background()`.

    Example::

        run = await segue.select(tag="backfill").in_background().cancel(reason="wrong prices")
    """

    def __init__(self, make: Callable[[], InBackground], threads: Threads) -> None:
        self._make = make
        self._threads = threads

    def __repr__(self) -> str:
        return "<AsyncInBackground>"

    def _use(self) -> InBackground:
        return self._make()

    pause = giving(async_run)(InBackground.pause)
    resume = giving(async_run)(InBackground.resume)
    cancel = giving(async_run)(InBackground.cancel)
    retry = giving(async_run)(InBackground.retry)
    annotate = giving(async_run)(InBackground.annotate)


class AsyncSelection(Awaiting[Selection]):
    """Runs that match a filter, the newest first: `Selection`, to be awaited. Made by `segue.select(...)`.

    Example::

        await segue.select(workflow="shop.nightly", tag="backfill").pause(reason="the warehouse is down")
    """

    def __init__(self, make: Callable[[], Selection], threads: Threads) -> None:
        self._make = make  # it asks the database for the time
        self._threads = threads

    def __repr__(self) -> str:
        return "<AsyncSelection>"

    def _use(self) -> Selection:
        return self._make()

    async def ids(self) -> AsyncIterator[str]:
        """The ids of the runs, the newest first. Ids that were given stay in the given order.

        Example::

            async for run_id in segue.select(status="failed").ids(): ...
        """
        for run_id in await self._threads.run(lambda: [*self._use().ids()]):
            yield run_id

    def among(self, statuses: Iterable[RunStatus]) -> AsyncSelection:
        """The runs among them that have one of these statuses. Runs that were given by their ids are all included."""
        wanted = tuple(statuses)
        return AsyncSelection(lambda: self._use().among(wanted), self._threads)

    def up_to(self, newest: str | UUID) -> AsyncSelection:
        """The runs among them that are not newer than this one, given by its whole id. A `Preview` has it."""
        return AsyncSelection(lambda: self._use().up_to(newest), self._threads)

    def in_background(self, *, key: str | None = None, queue: str | None = None) -> AsyncInBackground:
        """The same verbs, applied by a worker: each starts a run of `segue.bulk` and gives it."""
        return AsyncInBackground(lambda: self._use().in_background(key=key, queue=queue), self._threads)

    count = awaited(Selection.count)
    preview = awaited(Selection.preview)
    pause = awaited(Selection.pause)
    resume = awaited(Selection.resume)
    cancel = awaited(Selection.cancel)
    retry = awaited(Selection.retry)
    annotate = awaited(Selection.annotate)
    apply = awaited(Selection.apply)
