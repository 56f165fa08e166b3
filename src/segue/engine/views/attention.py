"""What goes on, what failed and what is tried again, for a first look. Reads only."""

from __future__ import annotations

from datetime import datetime
from typing import Any

import msgspec

from segue.engine.stored import known_moment
from segue.engine.views.look import RunInfo, run_of_row
from segue.engine.views.queues import MOST_QUEUES, names_shown
from segue.engine.views.select import NEVER
from segue.jsonable import Jsonable
from segue.store.protocol import Transaction

MOST_TIMED = 1000
MOST_FAILURES = 20_000
"""The latest failures of all namespaces, among which those of one are looked for."""


class RetriedStep(Jsonable, msgspec.Struct, frozen=True):
    """A step that is tried again soon."""

    run_id: str
    step: int
    name: str
    next_at: datetime
    failures: int


class ChoresLead(msgspec.Struct, frozen=True):
    """A process that does the chores of a namespace, or was the last one to do them."""

    host: str  # host:pid
    until: datetime  # the end of its lease


class Installation(msgspec.Struct, frozen=True):
    """What every page says of the whole installation."""

    ready_queues: list[str]
    leads: dict[str, ChoresLead]  # by the name of the lead; those of all namespaces
    has_work: bool  # a run was started, or there is a schedule
    failed: int
    waits: int  # steps that wait for a message


def look_at_installation(
    tx: Transaction, *, failed_since: datetime, most: int, prefix: str | None
) -> Installation:  # fmt: skip
    """How things are; the counts end at `most`."""
    rows = tx.all("installation", **_failures(failed_since, prefix), most=most, limit=MOST_QUEUES)
    counts = {"work": 0, "failed": 0, "waits": 0}
    for what, _, _, _, count in rows:
        if what in counts:
            counts[what] += count
    return Installation(
        names_shown((name for what, name, *_ in rows if what == "queue"), prefix),
        {name: ChoresLead(host, known_moment(tx, until)) for what, name, host, until, _ in rows if what == "leader"},
        counts["work"] > 0, counts["failed"], min(counts["waits"], most),
    )  # fmt: skip


def latest_failures(tx: Transaction, since: datetime, *, limit: int, prefix: str | None) -> list[RunInfo]:
    """The runs that failed since a time, the latest first. Large arguments are left out."""
    return [run_of_row(tx, row) for row in tx.all("latest_failures", **_failures(since, prefix), limit=limit)]


def list_retried(tx: Transaction, *, prefix: str | None, limit: int = 10) -> list[RetriedStep]:
    """Steps whose next try comes soonest, among the MOST_TIMED steps that wait for a time."""
    rows = tx.all("retried_steps", most=MOST_TIMED, limit=limit, prefix=prefix)
    return [
        RetriedStep(str(run_id), step, name, known_moment(tx, at), failures)
        for run_id, step, name, at, failures in rows
    ]  # fmt: skip


def _failures(since: datetime, prefix: str | None) -> dict[str, Any]:
    """The parameters of `is_failed_since`."""
    return {"failed_since": since, "failed_until": NEVER, "looked_at": MOST_FAILURES, "prefix": prefix}
