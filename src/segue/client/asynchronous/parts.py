"""The parts of `AsyncSegue`, as `segue.schedules`: the same methods as those of `Segue`, to be awaited."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterable

from segue.client.asynchronous.awaiting import Awaiting, awaited, giving
from segue.client.asynchronous.run import async_run
from segue.client.asynchronous.threads import Threads
from segue.client.executors import Executors
from segue.client.failures import Failures
from segue.client.limits import Limits
from segue.client.payloads import StoredPayloads
from segue.client.retention import Retention
from segue.client.schedules import Schedules
from segue.client.selection import Selection
from segue.client.subscriptions import Subscriptions
from segue.client.waiting import Approvals, Events
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


class AsyncSubscriptions(Awaiting[Subscriptions]):
    """`Subscriptions`, to be awaited."""

    add = awaited(Subscriptions.add)
    list = awaited(Subscriptions.list)
    activate = awaited(Subscriptions.activate)
    deactivate = awaited(Subscriptions.deactivate)
    remove = awaited(Subscriptions.remove)


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

    count = awaited(Selection.count)
    pause = awaited(Selection.pause)
    resume = awaited(Selection.resume)
    cancel = awaited(Selection.cancel)
    retry = awaited(Selection.retry)
    apply = awaited(Selection.apply)
