"""Follows the recorded events: what is new since the last look, each once, in the order of their ids.

The id of an event is made before its transaction commits, so one may appear later than others with greater ids. Each
look therefore reads the last minute again.

Promise: no event is given twice, and none is left out whose transaction took less than OVERLAP.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Protocol

from segue.engine.views.waiting import EventInfo

OVERLAP = timedelta(minutes=1)
PAGE = 100


class ReadPage(Protocol):
    """Reads a page of events, the newest first."""

    def __call__(self, *, before: str | None, limit: int) -> list[EventInfo]: ...


class EventFollower:
    """Remembers which events were given.

    Example::

        follower = EventFollower(read_page)
        follower.look()          # nothing: what was there before
        follower.look()          # what was recorded since then
    """

    def __init__(self, read_page: ReadPage, *, after: str | None = None) -> None:
        self._read_page = read_page
        self._after = after  # the id of an event: those that follow it are new at the first look
        self._seen: set[str] = set()
        self._since: datetime | None = None  # events of an earlier time were given, or were there before
        self._has_looked = False

    def look(self) -> list[EventInfo]:
        """The new events, the oldest first. If it raises, the next look gives them."""
        after = self._after
        if self._has_looked:
            since = self._since
            found = self._until(lambda event, _: since is not None and event.at < since)
            new = [event for event in found if event.id not in self._seen]
        elif after is not None:
            found = self._until(lambda event, newest: event.id <= after and event.at < newest - OVERLAP)
            new = [event for event in found if event.id > after]
        else:
            found, new = self._until(lambda event, newest: event.at < newest - OVERLAP), []
        self._has_looked = True
        if found:
            self._since = max(event.at for event in found) - OVERLAP
            self._seen = {event.id for event in found if event.at >= self._since}
        return sorted(new, key=lambda event: event.id)

    def _until(self, is_old: Callable[[EventInfo, datetime], bool]) -> list[EventInfo]:
        """The newest events, to the first that is old. `is_old` receives an event and the time of the newest."""
        found: list[EventInfo] = []
        before = None
        while True:
            page = self._read_page(before=before, limit=PAGE)
            for event in page:
                if is_old(event, (found or page)[0].at):
                    return found
                found.append(event)
            if len(page) < PAGE:
                return found
            before = page[-1].id
