"""What is wrong with the whole installation, with what to type, and the counts in the menu: they are on every page.

Promise: it costs a page nothing as a rule. One look serves all pages of the next seconds; it is small, and a look that
fails says nothing.
"""

from __future__ import annotations

import time
import weakref
from datetime import datetime, timedelta

import msgspec

from segue.client import Segue
from segue.client.installation import Standing
from segue.client.installation import standing_of as look
from segue.engine.views.look import WorkerInfo
from segue.errors import SegueError
from segue.model import DEFAULT_QUEUE
from segue.times import since
from segue.web.operations import Call

KEPT_SECONDS = 5.0
"""For so long, a look serves all pages."""

LATE = timedelta(seconds=15)
"""So long after the end of its lease, a process that did the chores is missed."""

MOST = 3

RECENT = timedelta(hours=24)
"""Failures of this time are counted."""

MOST_COUNTED = 100


class Trouble(msgspec.Struct, frozen=True):
    """Something that is wrong, in a sentence."""

    text: str
    tone: str = "warn"  # "warn", or "bad" if nothing goes on
    command: str = ""  # what to type
    href: str = ""  # where to look, below the root of the application
    word: str = "look"


_kept: weakref.WeakKeyDictionary[Segue, tuple[float, Standing]] = weakref.WeakKeyDictionary()


def standing_of(segue: Segue) -> Standing:
    """How things are, as it was known a few seconds ago at most."""
    kept = _kept.get(segue)
    if kept is not None and time.monotonic() - kept[0] < KEPT_SECONDS:
        return kept[1]
    found = look(segue, failed_since=segue.engine.store.now() - RECENT, most=MOST_COUNTED)
    _kept[segue] = (time.monotonic(), found)
    return found


def workers_of(call: Call, namespace: str, now: datetime) -> list[WorkerInfo]:
    """The workers of a namespace as they were a few seconds ago; as they are, if one may have died since."""
    found = standing_of(call.segue)
    is_same = all((worker.lease_until > now) == (worker.lease_until > found.at) for worker in found.workers)
    workers = found.workers if is_same else call.segue.workers()
    return [worker for worker in workers if worker.namespace == namespace]


def troubles_of(call: Call, now: datetime) -> list[Trouble]:
    """What is wrong, the worst first."""
    try:
        found = standing_of(call.segue)
    except SegueError:  # the page itself says that the database does not answer
        return []
    said = [
        Trouble(
            f"No worker works on the queue {queue}, and steps wait there.", "bad",
            f"segue worker --queue {queue} -A your.module" if queue != DEFAULT_QUEUE else "segue worker -A your.module",
            "/workers", "workers",
        )
        for queue in found.unserved
    ]  # fmt: skip
    if found.chores_until is not None and found.chores_until + LATE < now:
        said.append(
            Trouble(
                f"No process has done the chores for {since(found.chores_until, now)}: schedules and the rescue of "
                f"lost steps stand still. The last was {found.chores_by}.", command="segue scheduler -A your.module",
            )
        )  # fmt: skip
    if found.was_never_led:
        said.append(
            Trouble(
                "No process has ever done the chores: schedules, retention and statistics stand still.",
                command="segue scheduler -A your.module",
            )
        )  # fmt: skip
    rest = len(said) - MOST
    return said if rest <= 0 else [*said[:MOST], Trouble(f"And {rest} more.", said[MOST].tone, href="/queues")]


def badges_of(call: Call) -> dict[str, tuple[str, str]]:
    """What the menu says beside its words: by the path, a count and what is counted."""
    try:
        found = standing_of(call.segue)
    except SegueError:
        return {}
    counts = {"/errors": (found.failed, "failed in 24 h"), "/approvals": (found.waits, "waiting")}
    return {path: (_counted(count), words) for path, (count, words) in counts.items() if count}


def _counted(count: int) -> str:
    return f"{MOST_COUNTED - 1}+" if count >= MOST_COUNTED else str(count)
