"""Selects runs among millions: a filter, and pages of ids that match it, the newest first.

Promise: a page costs about the same however many runs there are, if the most selective part of the filter has an index:
labels (tags and metadata), the type of the error, runs that are not final, those that failed or were cancelled, forks
of a run, the workflow, the key. Where there is none, `look_back` looks at a limited number of runs and says how far it
came. Ids are ordered by time, so "older than" and "newer than" limit the search, by the
time at which runs were created.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager
from datetime import UTC, datetime
from typing import NamedTuple, Protocol

import msgspec

from segue.engine.stored import LONG_AGO, known_moment
from segue.model import RunStatus
from segue.store.protocol import Row, Transaction

FIRST_ID = "00000000-0000-0000-0000-000000000000"
LAST_ID = "ffffffff-ffff-ffff-ffff-ffffffffffff"
NEVER = datetime(9999, 1, 1, tzinfo=UTC)
PAGE = 1000
RARE = 1000  # labels of fewer runs than this count as equally selective
MOST_LOOKED_AT = 20_000
"""The runs that a look back looks at, at most."""
SHORT_LOOK = 4  # the first look is at so many times as many runs as are wanted: most pages are full with that
_LIVE = frozenset((RunStatus.PENDING, RunStatus.RUNNING, RunStatus.PAUSED))


class RunFilter(msgspec.Struct, frozen=True, kw_only=True):
    """The filter for runs. None means no condition; all conditions must hold."""

    statuses: tuple[str, ...] | None = None  # one of these
    workflow: str | None = None  # its stored name
    key: str | None = None
    error_type: str | None = None  # of the failure that decided how the run ended
    labels: tuple[tuple[str, str], ...] = ()  # (name, value) as in segue_labels; '' names tags
    arguments: tuple[tuple[str, str], ...] = ()  # (path in the JSON of the arguments, the value there as a text)
    forked_from: str | None = None
    since: str = FIRST_ID  # ids from this one on
    before: str = LAST_ID  # ids below this one
    failed_since: datetime | None = None  # failed at or after this time
    failed_until: datetime | None = None  # failed before this time
    ids: tuple[str, ...] | None = None
    prefix: str | None = None  # of their namespace; None: all

    @property
    def is_about_failures(self) -> bool:
        """Whether the runs are looked for by the time of their failure."""
        if self.failed_since is not None or self.failed_until is not None:
            return True
        is_plain = not self.labels and self.key is None and self.ids is None and self.forked_from is None
        return is_plain and self.error_type is None and self.statuses == (RunStatus.FAILED,)


class Way(NamedTuple):
    """By which index to look: the statement of a page, and the one that says how far a look goes."""

    page: str
    end: str | None


ALL = Way("page_of_all", "end_of_all")
NAMESPACE = Way("page_of_namespace", "end_of_namespace")
WORKFLOW = Way("page_of_workflow", "end_of_workflow")
LIVE = Way("page_of_live", "end_of_live")
FAILED = Way("page_of_failed", "end_of_failed")
CANCELLED = Way("page_of_cancelled", "end_of_cancelled")
ERROR = Way("page_of_error", "end_of_error")
FORKS = Way("page_of_forks", "end_of_forks")
LABEL = Way("page_of_label", "end_of_label")
FAILURES = Way("page_of_failures", "end_of_failures")
KEY = Way("page_of_key", None)  # few, as are ids
IDS = Way("page_of_ids", None)


class Place(NamedTuple):
    """A place in a list of runs: that of the run with this id; in a list by failures also when the run failed."""

    id: str
    failed_at: datetime | None = None


class Looked(NamedTuple):
    """A look back: the ids that it found, and how far it came."""

    ids: list[str]
    next: Place | None  # from where to go on; None: there is nothing more
    is_cut: bool  # it stopped because it had looked at MOST_LOOKED_AT runs


class Reads(Protocol):
    """Anything that opens transactions for reading: an engine, a store."""

    def reading(self) -> AbstractContextManager[Transaction]:
        """A transaction that only reads."""
        ...


def page_of_ids(tx: Transaction, chosen: RunFilter, *, before: str | None = None, limit: int = PAGE) -> list[str]:
    """The next `limit` ids below `before` that match, the newest first."""
    if chosen.statuses == () or chosen.ids == ():
        return []
    way, label = _way(tx, chosen)
    rows = tx.all(way.page, **_asked(chosen, label, Place(before or LAST_ID)), limit=limit)
    return [str(row[0]) for row in rows]


def look_back(
    tx: Transaction, chosen: RunFilter, *, after: Place | None = None, limit: int = PAGE, most: int = MOST_LOOKED_AT
) -> Looked:  # fmt: skip
    """The next `limit` ids that match, after a place in the list. It looks at `most` runs at most.

    The newest runs come first; those that failed, by the time of their failure.
    """
    if chosen.statuses == () or chosen.ids == ():
        return Looked([], None, False)
    way, label = (FAILURES, ("", "")) if chosen.is_about_failures else _way(tx, chosen)
    asked = _asked(chosen, label, after or Place(LAST_ID))
    if way.end is None:
        rows = tx.all(way.page, **asked, limit=limit)
        return Looked([str(row[0]) for row in rows], _place(tx, rows[-1]) if len(rows) == limit else None, False)
    rows, end = _look(tx, way.page, way.end, asked, limit, most=min(limit * SHORT_LOOK, most))
    if end is not None and len(rows) < limit:
        rows, end = _look(tx, way.page, way.end, asked, limit, most=most)
    if len(rows) == limit:
        return Looked([str(row[0]) for row in rows], _place(tx, rows[-1]), False)
    return Looked([str(row[0]) for row in rows], None if end is None else _place(tx, end), end is not None)


def _look(
    tx: Transaction, page: str, end_of_it: str, asked: dict[str, object], limit: int, *, most: int
) -> tuple[list[Row], Row | None]:
    """A page among the next `most` runs, and the last of these runs; None if there are fewer."""
    end = next(iter(tx.all(end_of_it, **asked, most=most - 1)), None)
    bound: dict[str, object] = {}
    if end is not None:
        id_, *failed_at = end
        bound = {"since_time": failed_at[0], "since_run": id_} if failed_at else {"since": str(id_)}
    return tx.all(page, **(asked | bound), limit=limit), end


def ids_of(engine: Reads, chosen: RunFilter, *, page: int = PAGE) -> Iterator[str]:
    """All ids that match, page by page, each in a separate transaction: a long search blocks no other transaction."""
    before: str | None = None
    while True:
        with engine.reading() as tx:
            ids = page_of_ids(tx, chosen, before=before, limit=page)
        yield from ids
        if len(ids) < page:
            return
        before = ids[-1]


def _asked(chosen: RunFilter, label: tuple[str, str], after: Place) -> dict[str, object]:
    """The parameters of a page."""
    until = chosen.failed_until or NEVER
    at = after.failed_at
    return {
        "statuses": _listed(chosen.statuses), "workflow": chosen.workflow, "key": chosen.key,
        "error_type": chosen.error_type, "ids": _listed(chosen.ids), "name": label[0], "value": label[1],
        "names": [name for name, _ in chosen.labels], "values": [value for _, value in chosen.labels],
        "paths": [path for path, _ in chosen.arguments] or None, "wanted": [value for _, value in chosen.arguments],
        "forked_from": chosen.forked_from, "since": chosen.since, "prefix": chosen.prefix,
        "before": chosen.before if at is not None else min(after.id, chosen.before),
        "failed_since": chosen.failed_since, "failed_until": chosen.failed_until,
        "since_time": chosen.failed_since or LONG_AGO, "since_run": FIRST_ID,
        "before_time": min(at or NEVER, until),
        "before_run": after.id if at is not None and at < until else FIRST_ID,
    }  # fmt: skip


def _place(tx: Transaction, row: Row) -> Place:
    id_, *failed_at = row
    return Place(str(id_), known_moment(tx, failed_at[0]) if failed_at else None)


def _way(tx: Transaction, chosen: RunFilter) -> tuple[Way, tuple[str, str]]:
    """By which index to look, the one that leaves the fewest runs to search, and the label that it uses."""
    nothing = ("", "")
    statuses = frozenset(chosen.statuses or ())
    if chosen.ids is not None:
        return IDS, nothing
    if chosen.workflow is not None and chosen.key is not None:
        return KEY, nothing
    if chosen.forked_from is not None:
        return FORKS, nothing
    is_live = bool(statuses) and statuses <= _LIVE
    if chosen.labels:
        count, label = _rarest(tx, chosen.labels)
        if count < RARE or not is_live:
            return LABEL, label
    if chosen.error_type is not None:
        return ERROR, nothing
    if is_live:
        return LIVE, nothing
    for status, way in ((RunStatus.FAILED, FAILED), (RunStatus.CANCELLED, CANCELLED)):
        if statuses == {status}:
            return way, nothing
    if chosen.workflow is None and chosen.prefix:
        return NAMESPACE, nothing
    return (WORKFLOW if chosen.workflow is not None else ALL), nothing


def _rarest(tx: Transaction, labels: tuple[tuple[str, str], ...]) -> tuple[int, tuple[str, str]]:
    """The label with the fewest runs, and their number, counted up to RARE."""
    return min(
        (tx.all("count_label", name=name, value=value, limit=RARE)[0][0], (name, value)) for name, value in labels
    )


def _listed(values: tuple[str, ...] | None) -> list[str] | None:
    return None if values is None else list(values)
