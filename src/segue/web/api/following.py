"""Following a run until it ends: a line for each change, or a server-sent event."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator

import anyio
import msgspec
from starlette.requests import Request
from starlette.responses import Response

from segue.client import Run
from segue.errors import RunNotFoundError, SegueError
from segue.observing.harmless_log import get_logger
from segue.web import requests
from segue.web.api.shown import detail
from segue.web.operations import Call, operation
from segue.web.problems import ProblemError
from segue.web.roles import Role
from segue.web.site import FOLLOWED, Site
from segue.web.streams import Stream

PERIOD = 0.5  # seconds between two looks
SHARE = 4  # the pause is at least so many times as long as the look took
PING = 15.0
LONGEST = 3600.0

_log = get_logger("segue.web")


class Following:
    """A run that is followed."""

    def __init__(self, call: Call, run: Run) -> None:
        self.call, self._run = call, run

    @property
    def person(self) -> str:
        """Who follows it."""
        return f"{self.call.identity.name} {self.call.address}"

    def look(self) -> tuple[bytes, bool]:
        """The run as a line of JSON, as `segue show --follow --json` prints it, and whether it has ended."""
        found = detail(self.call, self._run)
        return msgspec.json.encode({"run": found.to_dict()}), found.run.status.is_final


@operation("GET", "/runs/{run_id}/follow", Role.VIEWER)
def follow_run(call: Call, run_id: str) -> Following:
    """Follow a run until it ends: one object {run} for each change.

    The answer is NDJSON, a line for each; with `Accept: text/event-stream` it is server-sent events. An empty line, or
    a comment, every 15 s says that nothing has changed. It ends after an hour at the latest: ask again then.
    """
    return Following(call, call.segue.get(run_id))


def followed(site: Site, request: Request, following: Following) -> Response:
    """The stream of a run. Raises ProblemError if the caller has too many."""
    person = following.person
    if not site.followers.take(person):
        raise ProblemError(429, "TooManyStreams", f"You follow {FOLLOWED} runs already. End one of these requests.")
    as_events = "text/event-stream" in request.headers.get("accept", "")

    async def stream() -> AsyncIterator[bytes]:
        asked = time.monotonic()
        async for line in _lines(site, following):
            if time.monotonic() - asked >= requests.ASKED_AGAIN:
                asked = time.monotonic()
                if not await requests.is_still(site, request, following.call):
                    return
            if as_events:
                yield b": still here\n\n" if line is None else b"data: " + line + b"\n\n"
            else:
                yield b"\n" if line is None else line + b"\n"

    kind = "text/event-stream" if as_events else "application/x-ndjson"
    return Stream(request, stream, kind, lambda: site.followers.give_back(person))


async def _lines(site: Site, following: Following) -> AsyncIterator[bytes | None]:
    """A line for each change; None when nothing has changed for a while."""
    last: bytes | None = None
    begun = told = time.monotonic()
    while not site.is_stopping:
        looked = time.monotonic()
        try:
            line, is_final = await site.in_thread(following.look)
        except RunNotFoundError:  # it was deleted
            return
        except SegueError as error:  # the database is away: the next look may succeed
            _log.debug("a look at a run that is followed failed: %s", error)
            line, is_final = last or b"", False
        now = time.monotonic()
        if line != last and line:
            last, told = line, now
            yield line
        elif now - told >= PING:
            told = now
            yield None
        if is_final or now - begun >= LONGEST or site.settings.live == "poll":
            return
        await _rest(site, max(PERIOD, SHARE * (now - looked)))


async def _rest(site: Site, seconds: float) -> None:
    """Wait, but not if the server stops."""
    ends = time.monotonic() + seconds
    while not site.is_stopping and (left := ends - time.monotonic()) > 0:
        await anyio.sleep(min(PERIOD, left))
