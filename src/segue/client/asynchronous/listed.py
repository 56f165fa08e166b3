"""Runs as `await segue.runs()` lists them: their fields as they were read, and the verbs of `AsyncRun`."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from typing import Any

import msgspec

from segue.client.asynchronous.run import AsyncRun
from segue.client.asynchronous.threads import Threads
from segue.client.listed import RUN, ListedRun, by_run
from segue.client.pages import RunPage
from segue.engine.views.look import RunInfo
from segue.jsonable import Jsonable


class AsyncListedRun(RunInfo, frozen=True, dict=True):
    """A run as it was when it was read, with the verbs of `AsyncRun`. See `ListedRun`.

    Example::

        for listed in await segue.runs(workflow="shop.nightly", status="running"):
            await listed.cancel(reason="the warehouse is down")
    """

    @property
    def run(self) -> AsyncRun[Any]:
        """The run, to work with."""
        found: AsyncRun[Any] = self.__dict__[RUN]
        return found

    info = by_run(AsyncRun.info)
    counts = by_run(AsyncRun.counts)
    attempts = by_run(AsyncRun.attempts)
    wait = by_run(AsyncRun.wait)
    result = by_run(AsyncRun.result)
    progress = by_run(AsyncRun.progress)
    follow = by_run(AsyncRun.follow)
    watch = by_run(AsyncRun.watch)
    pause = by_run(AsyncRun.pause)
    resume = by_run(AsyncRun.resume)
    cancel = by_run(AsyncRun.cancel)
    retry = by_run(AsyncRun.retry)
    fork = by_run(AsyncRun.fork)
    step = by_run(AsyncRun.step)
    send = by_run(AsyncRun.send)
    explain = by_run(AsyncRun.explain)
    groups = by_run(AsyncRun.groups)
    members = by_run(AsyncRun.members)
    messages = by_run(AsyncRun.messages)


class AsyncRunPage(Jsonable, msgspec.Struct, frozen=True):
    """A page of runs. See `RunPage`."""

    runs: tuple[AsyncListedRun, ...]
    next: str | None
    looked_back_to: datetime | None = None
    by_failure: bool = False


def async_page(page: RunPage, threads: Threads) -> AsyncRunPage:
    """The awaitable form of a page."""
    return AsyncRunPage(tuple(async_listed(page.runs, threads)), page.next, page.looked_back_to, page.by_failure)


def async_listed(runs: Iterable[ListedRun], threads: Threads) -> list[AsyncListedRun]:
    """The awaitable form of runs that were listed."""
    found = []
    for run in runs:
        listed = AsyncListedRun(*msgspec.structs.astuple(run))
        listed.__dict__[RUN] = AsyncRun(run.run, threads)
        found.append(listed)
    return found
