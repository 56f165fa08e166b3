"""The stored state of limits: their sizes, the holders of places, the fill of their buckets, the order of fair shares.

Promise: nothing here waits for another transaction, except the verbs of people.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from datetime import datetime, timedelta
from typing import Any, NamedTuple

from segue.engine.act import Act
from segue.engine.limiting.places import QUEUE, LimitKey, with_bound
from segue.engine.stored import moment_of
from segue.errors import SerializationError
from segue.plan.graph import LimitTerms
from segue.plan.lanes import Lane, Use, read_lane
from segue.plan.namespaces import bare
from segue.store.protocol import Later, Row, Transaction

AHEAD = timedelta(seconds=1)
"""The largest difference between clocks; a time further in the future is corrected."""


class LimitRow(NamedTuple):
    """A limit as it is stored. `limits_named` returns only the size of a limit."""

    name: str
    concurrency: Any
    rate: Any
    period: Any
    burst: Any
    source: str = "code"  # "code" or "api"
    in_code: Any = True  # the code declares it, so its tasks name it

    @property
    def binds_all(self) -> bool:
        """Whether it applies to all steps of its queue or task, also to those whose code does not name it."""
        return not self.in_code or bare(self.name).startswith(QUEUE)

    def terms(self) -> LimitTerms:
        """Its size. An invalid limit is closed."""
        if not all(map(_is_number, (self.concurrency, self.rate, self.period, self.burst))):
            return LimitTerms(self.name, 0)  # SQLite stores any value in a column
        return LimitTerms(self.name, self.concurrency, self.rate, self.period or 1.0, self.burst)


def lock_limit_keys(tx: Transaction, limit_keys: Iterable[LimitKey]) -> Later:
    """Let no other transaction count and claim places of these until this one ends; never waits."""
    return tx.later("lock_limits", **limit_key_columns(limit_keys))


def locked_limit_keys(locking: Later) -> set[LimitKey]:
    """Those that were locked; another transaction counts and claims places of the others just now."""
    return {(name, key) for name, key in locking.rows()}


def read_terms(tx: Transaction, names: Iterable[str]) -> dict[str, LimitTerms]:
    """The sizes of these limits, as far as they are set."""
    return terms_of(tx.all("limits_named", names=sorted(names)))


def declare_limits(tx: Transaction, declared: Iterable[LimitTerms], now: datetime) -> None:
    """Store the limits in the code. Nothing is written, and nothing waits, if they are stored already."""
    by_name = {terms.name: terms for terms in declared}
    if not by_name:
        return
    rows = (LimitRow(*row) for row in tx.all("declared_limits", names=sorted(by_name)))
    known = {row.name: row for row in rows if row.in_code}
    for name, terms in sorted(by_name.items()):
        if name in known and (known[name].source == "api" or known[name].terms() == terms):
            continue
        tx.all(
            "declare_limit", name=name, concurrency=terms.concurrency, rate=terms.rate, period=terms.period,
            burst=terms.burst, now=now,
        )  # fmt: skip


def terms_of(rows: Iterable[Row]) -> dict[str, LimitTerms]:
    """The sizes of limits by name, from rows of `limits_named`."""
    return {limit.name: limit.terms() for limit in (LimitRow(*row) for row in rows)}


def _is_number(value: object) -> bool:
    return value is None or (isinstance(value, (int, float)) and math.isfinite(value))


def count_taken(rows: Iterable[Row], binding: Iterable[str]) -> dict[LimitKey, int]:
    """How many places are taken: from rows of `taken_by_lanes` (queue, lane, count) or `taken_by_all`."""
    taken: dict[LimitKey, int] = {}
    for queue, *of_steps, lane, count in rows:
        for use in uses_or_none(queue, of_steps[0] if of_steps else None, lane, binding):
            limit_key = (use.limit, use.key)
            taken[limit_key] = taken.get(limit_key, 0) + use.cost * count
    return taken


def uses_of(queue: str, task: str | None, lane: str | None, binding: Iterable[str]) -> tuple[Use, ...]:
    """The places and tokens that a step needs, by its lane and by the limits of its queue and task."""
    if lane is None:
        return with_bound((), queue, task or "", 1, binding)
    found = read_lane(lane)
    return with_bound(found.uses, queue, found.task, found.cost, binding)


def uses_or_none(queue: str, task: str | None, lane: str | None, binding: Iterable[str]) -> tuple[Use, ...]:
    """The same for counting. A step with an unreadable lane holds no places: none can have been given to it."""
    try:
        return uses_of(queue, task, lane, binding)
    except SerializationError:
        return ()


def lane_or_none(text: str) -> Lane | None:
    """The lane in a text; None if it is unreadable: its steps stay where they are, and `explain` says why."""
    try:
        return read_lane(text)
    except SerializationError:
        return None


def read_buckets(tx: Transaction, rows: Iterable[Row], now: datetime) -> dict[LimitKey, datetime]:
    """When buckets are full again, from rows of `buckets`.

    If a row was written in the future, by a clock that was ahead, its remaining time counts from now instead.
    """
    found = {}
    for name, key, full_at, taken_at in rows:
        moment = moment_of(tx, full_at)
        if moment is not None:
            since = moment_of(tx, taken_at)
            found[name, key] = moment if since is None or since <= now else moment - (since - now)
    return found


def set_right(act: Act, rows: Iterable[Row]) -> None:
    """Write the values that `read_buckets` makes of rows from the future, so that these buckets begin to fill."""
    ahead = {
        (name, key)
        for name, key, _, taken_at in rows
        if taken_at is not None and (moment_of(act.tx, taken_at) or act.now) > act.now + AHEAD
    }
    mine = locked_limit_keys(lock_limit_keys(act.tx, ahead)) if ahead else set()
    if mine:
        found = act.tx.all("buckets", **limit_key_columns(mine))  # their values under the lock
        put_buckets(act, read_buckets(act.tx, found, act.now))


def put_buckets(act: Act, full_at: dict[LimitKey, datetime]) -> None:
    """Write when these buckets are full again; the caller has the locks."""
    limit_keys = sorted(full_at)
    moments = [act.tx.time(full_at[limit_key]) for limit_key in limit_keys]
    rows = [[*limit_key, moment] for limit_key, moment in zip(limit_keys, moments, strict=True)]
    act.tx.later("put_buckets", full_at=moments, rows=rows, now=act.now, **limit_key_columns(limit_keys))


def limit_key_columns(limit_keys: Iterable[LimitKey]) -> dict[str, Any]:
    """Limits and keys as parameters of statements: as columns, and as rows."""
    pairs = sorted(limit_keys)
    return {
        "names": [name for name, _ in pairs],
        "keys": [key for _, key in pairs],
        "pairs": [list(pair) for pair in pairs],
    }  # fmt: skip
