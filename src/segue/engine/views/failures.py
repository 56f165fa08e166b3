"""Failed attempts, grouped by the fingerprint of their error. Reads only.

Promise: however many attempts failed, a look reads the newest 5,000, and says since when these are.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple

import msgspec

from segue.engine.stored import error_of, known_moment, moment_of
from segue.engine.views.select import NEVER
from segue.errors import ConfigError, FingerprintNotFoundError
from segue.given import shown
from segue.jsonable import Jsonable
from segue.model import ErrorInfo, RunStatus
from segue.plan.namespaces import bare, namespace_of
from segue.store.protocol import Transaction

MOST_LOOKED_AT = 5000
MOST_GROUPS = 200
COUNTED_TO = 10_001
BUCKETS = 20
_FORMAT = "%Y%m%dT%H%M%S.%fZ"
_CURSOR = re.compile(r"([0-9T.]+Z):([0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}):([0-9]{1,9}):([0-9]{1,9})", re.ASCII)


class ErrorGroup(Jsonable, msgspec.Struct, frozen=True):
    """Errors of the same kind. Times are aware UTC."""

    fingerprint: str
    count: int
    runs: int
    first_seen: datetime  # of those that were looked at
    last_seen: datetime
    task: str | None  # None: the newest run of them was deleted
    type: str
    message: str  # of the newest
    buckets: tuple[int, ...]  # how many in each part of the time that was looked at, the oldest part first


class ErrorGroups(Jsonable, msgspec.Struct, frozen=True):
    """What failed since a time, the most frequent kind of error first."""

    groups: tuple[ErrorGroup, ...]
    looked_at: int  # failed attempts
    since: datetime  # the time from which on all were looked at; later than was asked for if there were too many
    until: datetime
    is_cut: bool  # there were more failed attempts, or more kinds of errors
    without_fingerprint: int  # attempts that an older version recorded; they are in no group


class FailedAttempt(Jsonable, msgspec.Struct, frozen=True):
    """A failed attempt with an error of a kind."""

    run_id: str
    workflow: str | None
    key: str | None
    run_status: RunStatus | None  # None: its run was deleted
    step: int
    step_name: str | None
    task: str | None
    attempt: int
    status: str  # failed, or lost
    worker: str
    at: datetime
    error: ErrorInfo | None
    namespace: str = ""


class ErrorKind(Jsonable, msgspec.Struct, frozen=True):
    """One kind of error, with its newest failed attempts; the first one has the traceback to look at."""

    fingerprint: str
    count: int  # counted up to 10,001
    first_seen: datetime
    last_seen: datetime
    failures: tuple[FailedAttempt, ...]
    next: str | None = None  # give it as `cursor` for older ones; None: there are no more


class Alike(Jsonable, msgspec.Struct, frozen=True):
    """How often there were failures of the same kind as the last one of a step, itself included."""

    fingerprint: str
    count: int  # counted up to 10,001
    first_seen: datetime


class _Failure(NamedTuple):
    """A row of `newest_failures`."""

    fingerprint: str | None
    finished_at: Any
    run_id: Any
    step: int
    attempt: int


def group_failures(
    tx: Transaction, now: datetime, since: datetime, *, task: str | None = None, type_: str | None = None,
    prefix: str | None = None, most: int = MOST_LOOKED_AT,
) -> ErrorGroups:  # fmt: skip
    """The errors since a time by kind; those of one task, or of one type, if these are given."""
    rows = [_Failure(*row) for row in tx.all("newest_failures", since=since, limit=most, prefix=prefix)]
    is_cut = len(rows) >= most
    begins = known_moment(tx, rows[-1].finished_at) if is_cut else since
    kinds: dict[str, list[_Failure]] = {}
    for row in rows:
        if row.fingerprint is not None:
            kinds.setdefault(row.fingerprint, []).append(row)
    frequent = sorted(kinds.values(), key=len, reverse=True)
    samples = [
        tx.later("failure", run_id=str(of[0].run_id), step=of[0].step, attempt=of[0].attempt)
        for of in frequent[:MOST_GROUPS]
    ]
    found = []
    for of, sample in zip(frequent, samples, strict=False):
        of_task, _, error = next(iter(sample.rows()), (None, None, None))
        group = _group(tx, of, of_task, error_of(error), (begins, now))
        if task in (None, group.task) and type_ in (None, group.type):
            found.append(group)
    unknown = sum(row.fingerprint is None for row in rows)
    return ErrorGroups(tuple(found), len(rows), begins, now, is_cut or len(frequent) > MOST_GROUPS, unknown)


def error_kind(
    tx: Transaction, fingerprint: str, *, before: datetime | None = None, cursor: str | None = None,
    limit: int = 20, prefix: str | None = None,
) -> ErrorKind:  # fmt: skip
    """One kind of error, with its newest failures. Raises FingerprintNotFoundError, and ConfigError for the cursor."""
    [(count,)] = tx.all("count_failures_alike", fingerprint=fingerprint, limit=COUNTED_TO)
    place = _Place(before or NEVER) if cursor is None else _place_of(cursor)
    failures = _alike(tx, fingerprint, place, limit, prefix)
    newest = failures if place.at == NEVER else _alike(tx, fingerprint, _Place(NEVER), 1, prefix)
    if not newest:
        raise FingerprintNotFoundError(
            f"No failed attempt has the fingerprint {fingerprint!r}. `segue errors` lists the kinds of errors."
        )
    [(first,)] = tx.all("first_failure_alike", fingerprint=fingerprint)
    last = failures[-1] if failures and len(failures) == limit else None
    following = None if last is None else f"{last.at:{_FORMAT}}:{last.run_id}:{last.step}:{last.attempt}"
    return ErrorKind(fingerprint, count, known_moment(tx, first), newest[0].at, tuple(failures), following)


class _Place(NamedTuple):
    """A place in a list of failures: what is before it is older."""

    at: datetime
    run_id: str = "00000000-0000-0000-0000-000000000000"
    step: int = 0
    attempt: int = 0


def _place_of(cursor: str) -> _Place:
    found = _CURSOR.fullmatch(cursor)
    if found is not None:
        with suppress(ValueError):  # of the time
            at = datetime.strptime(found[1], _FORMAT).replace(tzinfo=UTC)
            return _Place(at, found[2], int(found[3]), int(found[4]))
    raise ConfigError(f"cursor={shown(cursor)} is not the `next` of a list of failures. Begin without it.")


def alike_of_step(tx: Transaction, run_id: str, step: int) -> Alike | None:
    """The failures that are like the last one of a step; None if it has none that could be compared."""
    rows = tx.all("alike_of_step", run_id=run_id, step=step, limit=COUNTED_TO)
    return next((Alike(fingerprint, count, known_moment(tx, first)) for fingerprint, count, first in rows), None)


def _alike(
    tx: Transaction, fingerprint: str, place: _Place, limit: int, prefix: str | None
) -> list[FailedAttempt]:  # fmt: skip
    rows = tx.all(
        "failures_alike", fingerprint=fingerprint, before=place.at, before_run=place.run_id, before_step=place.step,
        before_attempt=place.attempt, limit=limit, prefix=prefix,
    )  # fmt: skip
    return [_failure(tx, *row) for row in rows]


def _group(
    tx: Transaction, failures: Sequence[_Failure], task: str | None, error: ErrorInfo | None,
    between: tuple[datetime, datetime],
) -> ErrorGroup:  # fmt: skip
    times = [at for each in failures if (at := moment_of(tx, each.finished_at)) is not None]
    error = error or ErrorInfo("", "")
    return ErrorGroup(
        failures[0].fingerprint or "", len(failures), len({each.run_id for each in failures}), min(times), max(times),
        task, error.type, error.message, _buckets(times, *between),
    )  # fmt: skip


def _buckets(times: Sequence[datetime], since: datetime, until: datetime) -> tuple[int, ...]:
    width = max((until - since) / BUCKETS, timedelta(microseconds=1))
    counts = [0] * BUCKETS
    for at in times:
        counts[min(max(int((at - since) / width), 0), BUCKETS - 1)] += 1
    return tuple(counts)


def _failure(tx: Transaction, *row: Any) -> FailedAttempt:
    run_id, workflow, key, run_status, step, name, task, attempt, status, worker, at, error = row
    return FailedAttempt(
        str(run_id), None if workflow is None else bare(workflow), key,
        None if run_status is None else RunStatus(run_status), step, name, task, attempt, status, worker,
        known_moment(tx, at), error_of(error), "" if workflow is None else namespace_of(workflow),
    )  # fmt: skip
