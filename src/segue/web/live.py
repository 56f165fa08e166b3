"""Tells pages that something changed. A bell carries no data: the page fetches itself again and swaps what differs.

A topic names what a page shows, as "run:ID" or "now". All listeners of a topic share one probe: 50 watchers of a run
cost one small query a second. Browsers open at most six connections to a server, so one person gets three streams;
further pages ask by themselves (204 ends an EventSource for good).
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Callable
from typing import Any

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from segue.client import Segue
from segue.errors import SegueError
from segue.observing.harmless_log import get_logger
from segue.web import requests
from segue.web.access.token_limits import check_pages
from segue.web.api.routes import answering, problem_answer
from segue.web.problems import ProblemError
from segue.web.requests import call_of
from segue.web.site import Site
from segue.web.streams import Places, Stream

STREAMS = 3
"""Streams of one person at the same time."""

PERIOD = 1.0
"""Seconds between two looks at a topic; more if a look is expensive."""

UNSEEN = 5.0
"""Seconds between two rings of a topic at which no look succeeds, because of a fault of ours."""

SHARE = 20
"""A look at a topic may take this part of the time."""

PING = 15.0
LONGEST = 600.0
"""Seconds after which a stream ends; the browser connects again."""

Probe = Callable[[Segue, str], Any]
PROBES: dict[str, Probe] = {}
"""How to see whether a kind of topic changed: a function from the database and the rest of the topic to a value that
then differs."""

_log = get_logger("segue.web")


def probe(kind: str) -> Callable[[Probe], Probe]:
    """Make a function the probe of this kind of topic."""

    def registered(function: Probe) -> Probe:
        PROBES[kind] = function
        return function

    return registered


class _Topic:
    def __init__(self) -> None:
        self.version = 0
        self.listeners = 0
        self.rang = asyncio.Event()
        self.is_known = asyncio.Event()  # the first look has been taken
        self.task: asyncio.Task[None] | None = None

    def ring(self) -> None:
        """Tell all who listen."""
        self.version += 1
        self.rang.set()
        self.rang = asyncio.Event()


class Bells:
    """The topics that have listeners, in one event loop."""

    def __init__(self, site: Site) -> None:
        self._site = site
        self._topics: dict[str, _Topic] = {}
        self._stopping = False
        self.places = Places(STREAMS)

    @property
    def open(self) -> int:
        """The number of open streams."""
        return self.places.taken

    def stop(self) -> None:
        """End all streams, so that the server can stop."""
        self._stopping = self._site.is_stopping = True
        for topic in self._topics.values():
            topic.rang.set()
            topic.is_known.set()

    async def rings(self, name: str) -> AsyncIterator[int | None]:
        """The versions of a topic, from now on; None when nothing happened for a while.

        The first comes as soon as changes are noticed: what changed since the page was made, and before, is on it.
        """
        topic = self._topics.setdefault(name, _Topic())
        topic.listeners += 1
        if topic.task is None:
            topic.task = asyncio.create_task(self._look(name, topic))
        ends = time.monotonic() + LONGEST
        seen = topic.version
        try:
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(topic.is_known.wait(), PING)
            seen = topic.version
            yield seen
            while not self._stopping and time.monotonic() < ends:
                if topic.version == seen:  # or it rang while the last ring was being sent
                    with contextlib.suppress(TimeoutError):
                        await asyncio.wait_for(topic.rang.wait(), PING)
                if topic.version != seen:
                    seen = topic.version
                    yield seen
                elif not self._stopping:
                    yield None
        finally:
            topic.listeners -= 1
            if not topic.listeners and topic.task is not None:
                topic.task.cancel()
                self._topics.pop(name, None)

    async def _look(self, name: str, topic: _Topic) -> None:
        kind, _, rest = name.partition(":")
        known: Any = None
        is_first, is_broken = True, False
        while True:
            began = time.monotonic()
            pause = PERIOD
            try:
                found = await self._site.in_thread(PROBES[kind], self._site.segue, rest)
                if not is_first and found != known:
                    topic.ring()
                known, is_first, is_broken = found, False, False
                topic.is_known.set()
            except SegueError as error:  # the database is away: the next look may succeed
                _log.debug("a look at %s failed: %s", name, error)
            except Exception as error:  # noqa: BLE001 - whatever it is, pages must not wait for a ring that never comes
                if not is_broken:
                    _log.error("no look at %s succeeds; its pages ask every %g s", name, UNSEEN, exc_info=error)
                is_broken, pause = True, UNSEEN
                topic.ring()
                topic.is_known.set()
            await asyncio.sleep(max(pause, SHARE * (time.monotonic() - began)))


def live_route(site: Site, bells: Bells) -> Route:
    """The stream of rings of one topic."""

    async def live(request: Request) -> Response:
        call = call_of(site, request)
        check_pages(call.identity)
        topic = request.query_params.get("topic", "")
        if topic.partition(":")[0] not in PROBES or len(topic) > 200:
            raise ProblemError(404, "NoTopic", "There is no such topic.")
        person = f"{call.identity.name} {call.address}"
        if site.settings.live == "poll" or not bells.places.take(person):
            return Response(None, 204)

        async def stream() -> AsyncIterator[str]:
            yield "retry: 3000\n\n"
            asked = time.monotonic()
            async for version in bells.rings(topic):
                if time.monotonic() - asked >= requests.ASKED_AGAIN:
                    asked = time.monotonic()
                    if not await requests.is_still(site, request, call):
                        return
                yield ": still here\n\n" if version is None else f"data: {version}\n\n"
                if await request.is_disconnected():
                    return

        return Stream(request, stream, "text/event-stream", lambda: bells.places.give_back(person))

    return Route("/live", answering(live, lambda request, error: problem_answer(error), route="/live"), methods=["GET"])
