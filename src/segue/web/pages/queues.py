"""Queues: what waits on them, who works on them, and why one does not move."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta

import msgspec

from segue.client.views import QueueInfo, Series
from segue.engine.views.held import held_on_queue, next_on_queue
from segue.jsonable import Jsonable
from segue.plan.namespaces import EVERY
from segue.times import since
from segue.web.pages.frame import Page, View, page
from segue.web.problems import ProblemError

NEXT = 20
LATE = timedelta(minutes=1)
AN_HOUR = timedelta(hours=1)


class Said(Jsonable, msgspec.Struct, frozen=True):
    """What a queue needs, if it does not move."""

    tone: str  # "bad", "warn" or "wait"; "" if all is well
    text: str
    command: str = ""  # what to type


@page("/queues")
def queues(view: View) -> Page:
    """All queues, with their last hour."""
    found = view.call.segue.queues()
    series = _series(view)
    said = {queue.name: says(queue, view) for queue in found}
    bad = [name for name, each in said.items() if each.tone == "bad"]
    title = f"✗ {', '.join(bad[:3])}: no worker" if bad else "Queues"
    data = {"queues": [queue.to_dict() | {"says": said[queue.name].text} for queue in found]}
    return Page("queues.html", title, data, live="queues", also={"found": found, "series": series, "said": said})


@page("/queues/{name:name}")
def queue(view: View) -> Page:
    """One queue: its last hour, the steps that run, and those that are claimed next."""
    segue, name = view.call.segue, view.path["name"]
    info = next((each for each in segue.queues() if each.name == name), None)
    workers = [each for each in segue.workers() if name in each.queues]
    measured = segue.statistics(since=AN_HOUR, queue=name)
    series = next((each for each in measured.series if each.attempts), None)
    if info is None and series is None:
        raise ProblemError(404, "NotFound", f"Nothing waits on a queue {name[:100]!r}, and no worker works on it.")
    info = info or _idle(name)
    space = "" if segue.namespace == EVERY else segue.namespace
    with segue.engine.reading() as tx:
        running, coming = held_on_queue(tx, name, space), next_on_queue(tx, name, space, NEXT)
    said = says(info, view)
    data = {"queue": info, "says": said, "running": running, "next": coming, "workers": workers, "series": series}
    glyph = "✗ " if said.tone == "bad" else ""
    return Page("queue.html", f"{glyph}{name} · queue", data, live=f"queue:{name}", also={"per_minute": measured})


def says(queue: QueueInfo, view: View) -> Said:
    """Why a queue does not move, and what to do; or that it does."""
    if queue.is_closed:
        return Said("warn", "closed: its limit has no places")
    waits = queue.ready or queue.limited
    if waits and not queue.workers and not queue.sent:
        return Said("bad", "no worker works on it", worker_command(queue.name))
    if queue.ready and queue.places and queue.running >= queue.places:
        return Said("wait", f"full: {queue.running} of {queue.places} places")
    oldest = queue.oldest_ready_at
    if queue.ready and oldest is not None and view.now - oldest > LATE:
        text = f"workers have places, but the oldest step is ready for {since(oldest, view.now)}"
        return Said("warn", f"{text}: they may not know its task")
    if queue.limited and not queue.ready:
        return Said("wait", "waits for limits")
    return Said("", "")


def worker_command(queue: str) -> str:
    """How to start a worker for a queue."""
    return f"segue worker --queue {queue} -A your.module" if queue != "default" else "segue worker -A your.module"


def _series(view: View) -> Mapping[str, Series]:
    return {each.name: each for each in view.call.segue.statistics(since=AN_HOUR, by="queue").series}


def _idle(name: str) -> QueueInfo:
    return QueueInfo(
        name=name, ready=0, oldest_ready_at=None, delayed=0, limited=0, running=0, sent=0, workers=0, places=0,
        concurrency=None, is_closed=False,
    )  # fmt: skip
