"""Choosing runs among millions: a filter, and pages of ids that match it, the newest first.

Promise: a page costs about the same however many runs there are, as long as what the filter asks most of has an index:
labels (tags and metadata), the type of the error, runs that are not final, those that failed, the workflow, the key.
Ids are ordered by time, so "older than" and "newer than" bound the walk, by the time at which runs were created.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager
from typing import Protocol

import msgspec

from segue.model import RunStatus
from segue.store.protocol import Transaction

FIRST_ID = "00000000-0000-0000-0000-000000000000"
LAST_ID = "ffffffff-ffff-ffff-ffff-ffffffffffff"
PAGE = 1000
RARE = 1000  # a label that fewer runs have is as good as any
_LIVE = frozenset((RunStatus.PENDING, RunStatus.RUNNING, RunStatus.PAUSED))


class RunFilter(msgspec.Struct, frozen=True, kw_only=True):
    """Which runs are meant. None asks nothing, all that is asked must hold."""

    statuses: tuple[str, ...] | None = None  # one of these
    workflow: str | None = None
    key: str | None = None
    error_type: str | None = None  # of the failure that decided how the run ended
    labels: tuple[tuple[str, str], ...] = ()  # (name, value) as in segue_labels; '' names tags
    since: str = FIRST_ID  # ids from this one on
    before: str = LAST_ID  # ids below this one
    ids: tuple[str, ...] | None = None


class Reads(Protocol):
    """Whatever opens transactions for reading: an engine, a store."""

    def reading(self) -> AbstractContextManager[Transaction]:
        """A transaction that only reads."""
        ...


def page_of_ids(tx: Transaction, chosen: RunFilter, *, before: str | None = None, limit: int = PAGE) -> list[str]:
    """The next `limit` ids below `before` that match, the newest first."""
    if chosen.statuses == () or chosen.ids == ():
        return []
    statement, label = _way(tx, chosen)
    rows = tx.all(
        statement, statuses=_listed(chosen.statuses), workflow=chosen.workflow, key=chosen.key,
        error_type=chosen.error_type, ids=_listed(chosen.ids), name=label[0], value=label[1],
        names=[name for name, _ in chosen.labels], values=[value for _, value in chosen.labels],
        since=chosen.since, before=min(before or LAST_ID, chosen.before), limit=limit,
    )  # fmt: skip
    return [str(row[0]) for row in rows]


def ids_of(engine: Reads, chosen: RunFilter, *, page: int = PAGE) -> Iterator[str]:
    """All ids that match, page by page, each in a transaction of its own: nobody waits for a long walk."""
    before: str | None = None
    while True:
        with engine.reading() as tx:
            ids = page_of_ids(tx, chosen, before=before, limit=page)
        yield from ids
        if len(ids) < page:
            return
        before = ids[-1]


def _way(tx: Transaction, chosen: RunFilter) -> tuple[str, tuple[str, str]]:
    """The statement that goes by the index which leaves least to look through, and the label that it goes by."""
    nothing = ("", "")
    statuses = frozenset(chosen.statuses or ())
    if chosen.ids is not None:
        return "page_of_ids", nothing
    if chosen.workflow is not None and chosen.key is not None:
        return "page_of_key", nothing
    is_live = bool(statuses) and statuses <= _LIVE
    if chosen.labels:
        count, label = _rarest(tx, chosen.labels)
        if count < RARE or not is_live:
            return "page_of_label", label
    if chosen.error_type is not None:
        return "page_of_error", nothing
    if is_live:
        return "page_of_live", nothing
    if statuses == {RunStatus.FAILED}:
        return "page_of_failed", nothing
    return ("page_of_workflow" if chosen.workflow is not None else "page_of_all"), nothing


def _rarest(tx: Transaction, labels: tuple[tuple[str, str], ...]) -> tuple[int, tuple[str, str]]:
    """The label that the fewest have, and how many those are, counted up to RARE."""
    return min(
        (tx.all("count_label", name=name, value=value, limit=RARE)[0][0], (name, value)) for name, value in labels
    )


def _listed(values: tuple[str, ...] | None) -> list[str] | None:
    return None if values is None else list(values)
