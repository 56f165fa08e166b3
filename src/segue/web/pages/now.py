"""The first page: what needs a person, what goes on, and how queues and workers are.

Promise: one look serves everybody for a moment.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from datetime import datetime
from typing import Any

import msgspec

from segue.client import Segue
from segue.client.installation import activity_of
from segue.client.masked_views import without_secrets
from segue.client.views import ALERTS, EventInfo, QueueInfo, RunInfo, ScheduleInfo, Series, WaitInfo, WorkerInfo
from segue.client.wording import counted
from segue.engine.views.attention import RetriedStep
from segue.web.kept import shared_of
from segue.web.pages.frame import Page, View, page
from segue.web.paths import path_part
from segue.web.troubles import RECENT, standing_of

MOST_FAILED = 100
SHOWN_FAILED = 8
MOST_WAITS = 100
MOST_ALERTS = 10


class Look(msgspec.Struct, frozen=True):
    """What was seen at one moment."""

    failed: list[RunInfo]  # the latest failure first
    retried: list[RetriedStep]
    waits: list[WaitInfo]
    alerts: list[EventInfo]
    schedules: list[ScheduleInfo]  # that have a problem
    live: dict[str, int]
    queues: list[QueueInfo]
    workers: list[WorkerInfo]
    series: dict[str, Series]  # of the last hour, by queue


class Need(msgspec.Struct, frozen=True):
    """Something that needs a person: a glyph, a tone, a few words, more words, and links."""

    tone: str
    glyph: str
    what: str
    more: str
    links: tuple[tuple[str, str], ...] = ()
    at: datetime | None = None


@page("/")
def now_page(view: View) -> Page:
    """What needs a person, and what goes on."""
    found = look(view.call.segue, view.now)
    needs = _needs(view, found)
    rates = [series.per_second for series in found.series.values()]
    attempts = sum(series.attempts for series in found.series.values())
    failed = sum(series.failed for series in found.series.values())
    data = {
        "failed": [without_secrets(run) for run in found.failed[:SHOWN_FAILED]], "retried": found.retried,
        "approvals": found.waits, "alerts": found.alerts, "schedules": found.schedules, "live_runs": found.live,
        "queues": found.queues, "workers": found.workers, "per_second": sum(rates),
        "failure_ratio": failed / attempts if attempts else None,
    }  # fmt: skip
    silent = [worker for worker in found.workers if worker.lease_until <= view.now]
    also = {
        "needs": needs, "series": found.series, "silent": silent,
        "says": {queue.name: _says(queue) for queue in found.queues},
    }  # fmt: skip
    title = f"{counted(len(needs), 'thing')} to look at" if needs else "Now"
    return Page("now.html", title, data, live="now", also=also)


def look(segue: Segue, now: datetime) -> Look:
    """What there is to see, as it was a moment ago."""
    return shared_of(segue, "now", lambda: _look(segue, now))


def _look(segue: Segue, now: datetime) -> Look:
    found = activity_of(segue, now, failed_since=now - RECENT, most_failed=MOST_FAILED)
    alerts = segue.events.list(kinds=ALERTS, limit=MOST_ALERTS)
    return Look(
        found.failed, found.retried, segue.approvals.list(limit=MOST_WAITS),
        [without_secrets(alert) for alert in alerts if alert.at > now - RECENT],
        [schedule for schedule in segue.schedules.list() if schedule.problem],
        {status.value: count for status, count in found.live.items()}, found.queues, standing_of(segue).workers,
        {series.name: series for series in segue.statistics(by="queue").series},
    )  # fmt: skip


def _needs(view: View, found: Look) -> list[Need]:
    needs = [_failures(view, found)] if found.failed else []
    if found.alerts:
        newest = found.alerts[0]
        subject = newest.workflow or newest.detail.get("schedule") or ""
        links = _links(newest.run_id, "/events?kind=alert")
        needs.append(
            Need("bad", "!", counted(len(found.alerts), "alert"), f"{newest.kind} {subject}", links, newest.at)
        )  # fmt: skip
    for schedule in found.schedules[:3]:
        links = (("look", f"/schedules/{path_part(schedule.name)}"),)
        needs.append(Need("bad", "◷", f"schedule {schedule.name}", schedule.problem or "", links))
    if found.waits:
        by_name = Counter(wait.name for wait in found.waits).most_common(3)
        more = f"{', '.join(f'{name} {count}' for name, count in by_name)}; the oldest"
        oldest = min(wait.since for wait in found.waits)
        links = (("answer", "/approvals"),)
        needs.append(Need("wait", "?", _many(found.waits, "approval", MOST_WAITS), more, links, oldest))
    if found.retried:
        first = found.retried[0]
        links = (("see", f"/runs/{first.run_id}/steps/{first.step}"),)
        what = f"{counted(len(found.retried), 'step')} tried again"
        needs.append(Need("warn", "↻", what, f"{first.name} next", links, first.next_at))
    return needs


def _failures(view: View, found: Look) -> Need:
    by_workflow = Counter(run.workflow for run in found.failed).most_common(4)
    more = f"{', '.join(f'{name} {count}' for name, count in by_workflow)}; the latest"
    links: list[tuple[str, str]] = [("see", "/runs?failed_since=24h")]
    if view.call.may("apply_selection"):
        links.append(("retry…", "/bulk?verb=retry&all=1&failed_since=24h"))
    what = f"{_many(found.failed, 'run', MOST_FAILED)} failed in 24 h"
    return Need("bad", "✗", what, more, tuple(links), found.failed[0].finished_at)


def _many(found: Sequence[object], noun: str, most: int) -> str:
    """How many there are, where no more than `most` were read."""
    return f"{most}+ {noun}s" if len(found) == most else counted(len(found), noun)


def _links(run_id: str | None, path: str) -> tuple[tuple[str, str], ...]:
    return (*((("run", f"/runs/{run_id}"),) if run_id else ()), ("all", path))


def _says(queue: QueueInfo) -> tuple[str, str]:
    """Why a queue is as it is: a tone and a few words."""
    if queue.is_closed:
        return "warn", "closed: its limit has no places"
    if queue.ready and not queue.workers:
        return "bad", "no worker works on it"
    if queue.ready and queue.running >= queue.places:
        return "wait", f"full: {queue.running} of {queue.places} places"
    if queue.limited:
        return "wait", f"{queue.limited:,} wait for a limit"
    return "", "" if queue.ready or queue.running else "idle"


def signature(found: Look) -> Sequence[Any]:
    """What differs when the page would differ."""
    return (
        [run.id for run in found.failed], [wait.run_id for wait in found.waits], [alert.id for alert in found.alerts],
        found.live, [(queue.name, queue.ready, queue.running) for queue in found.queues], [w.id for w in found.workers],
        [(step.run_id, step.step, step.failures) for step in found.retried],
    )  # fmt: skip
