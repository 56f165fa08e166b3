"""Selects runs among millions: a filter, and pages of ids that match it, the newest first.

Promise: a page costs about the same however many runs there are, if the most selective part of the filter has an index:
labels (tags and metadata), the type of the error, runs that are not final, those that failed, the workflow, the key.
Ids are ordered by time, so "older than" and "newer than" limit the search, by the time at which runs were created.
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
RARE = 1000  # labels of fewer runs than this count as equally selective
_LIVE = frozenset((RunStatus.PENDING, RunStatus.RUNNING, RunStatus.PAUSED))


class RunFilter(msgspec.Struct, frozen=True, kw_only=True):
    """The filter for runs. None means no condition; all conditions must hold."""

    statuses: tuple[str, ...] | None = None  # one of these
    workflow: str | None = None  # its stored name
    key: str | None = None
    error_type: str | None = None  # of the failure that decided how the run ended
    labels: tuple[tuple[str, str], ...] = ()  # (name, value) as in segue_labels; '' names tags
    since: str = FIRST_ID  # ids from this one on
    before: str = LAST_ID  # ids below this one
    ids: tuple[str, ...] | None = None
    prefix: str | None = None  # of their namespace; None: all


class Reads(Protocol):
    """Anything that opens transactions for reading: an engine, a store."""

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
        prefix=chosen.prefix,
    )  # fmt: skip
    return [str(row[0]) for row in rows]


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


def _way(tx: Transaction, chosen: RunFilter) -> tuple[str, tuple[str, str]]:
    """The statement whose index leaves the fewest runs to search, and the label that it uses."""
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
    if chosen.workflow is None and chosen.prefix:
        return "page_of_namespace", nothing
    return ("page_of_workflow" if chosen.workflow is not None else "page_of_all"), nothing


def _rarest(tx: Transaction, labels: tuple[tuple[str, str], ...]) -> tuple[int, tuple[str, str]]:
    """The label with the fewest runs, and their number, counted up to RARE."""
    return min(
        (tx.all("count_label", name=name, value=value, limit=RARE)[0][0], (name, value)) for name, value in labels
    )


def _listed(values: tuple[str, ...] | None) -> list[str] | None:
    return None if values is None else list(values)
