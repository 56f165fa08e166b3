"""How limits stand in the database: how large they are, who holds places, how full their buckets are, who was served.

Promise: nothing here waits for another transaction, but for the verbs that people say.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Any

from segue.engine.claiming.allot import Source
from segue.engine.claiming.lane_memory import LaneMemory
from segue.engine.claiming.places import Places, Spot, with_bound
from segue.plan.graph import LimitTerms
from segue.plan.lanes import Use, read_lane
from segue.store.protocol import Later, Row, Store, Transaction


def lock_spots(tx: Transaction, spots: Iterable[Spot]) -> Later:
    """Let nobody else count and claim places of these until this transaction ends; waits for nobody."""
    return tx.later("lock_limits", **spot_columns(spots))


def locked_spots(locking: Later) -> set[Spot]:
    """Those that were locked: of the others somebody else counts and claims places just now."""
    return {(name, key) for name, key in locking.rows()}


def read_terms(tx: Transaction, names: Iterable[str]) -> dict[str, LimitTerms]:
    """How large these limits are, as far as anybody says so."""
    return {row[0]: terms_of(row) for row in tx.all("limits_named", names=sorted(names))}


def declare_limits(tx: Transaction, declared: Iterable[LimitTerms], now: datetime) -> None:
    """Write down what the code says of limits. Nothing is written, and nobody waited for, where it stands there."""
    by_name = {terms.name: terms for terms in declared}
    if not by_name:
        return
    rows = tx.all("declared_limits", names=sorted(by_name))
    known = {row[0]: terms_of(row[:5]) for row in rows if row[6]}
    is_by_hand = {row[0] for row in rows if row[5] == "api"}
    for name, terms in sorted(by_name.items()):
        if name in known and (name in is_by_hand or known[name] == terms):
            continue
        tx.all(
            "declare_limit", name=name, concurrency=terms.concurrency, rate=terms.rate, period=terms.period,
            burst=terms.burst, now=now,
        )  # fmt: skip


def terms_of(row: Sequence[Any]) -> LimitTerms:
    """A limit as read from its row: name, concurrency, rate, period, burst."""
    name, concurrency, rate, period, burst = row
    return LimitTerms(name, concurrency, rate, period or 1.0, burst)


def count_taken(rows: Iterable[Row], binding: Iterable[str]) -> dict[Spot, int]:
    """Who holds how many places: from rows of `taken_by_lanes` (queue, lane, count) or `taken_by_all`."""
    taken: dict[Spot, int] = {}
    for queue, *of_steps, lane, count in rows:
        for use in uses_of(queue, of_steps[0] if of_steps else None, lane, binding):
            spot = (use.limit, use.key)
            taken[spot] = taken.get(spot, 0) + use.cost * count
    return taken


def uses_of(queue: str, task: str | None, lane: str | None, binding: Iterable[str]) -> tuple[Use, ...]:
    """What a step needs, by its lane and by what binds all steps of its queue and task."""
    if lane is None:
        return with_bound((), queue, task or "", 1, binding)
    found = read_lane(lane)
    return with_bound(found.uses, queue, found.task, found.cost, binding)


def read_buckets(store: Store, rows: Iterable[Row]) -> dict[Spot, datetime]:
    """When buckets are full again, from rows of `buckets`."""
    found = {}
    for name, key, full_at in rows:
        moment = store.datetime(full_at)
        if moment is not None:
            found[name, key] = moment
    return found


def write_buckets(store: Store, tx: Transaction, places: Places, counts: Iterable[tuple[Source, int]]) -> None:
    """Take the tokens of what was claimed; the caller has the locks."""
    full_at: dict[Spot, datetime] = {}
    for source, count in counts:
        for use in source.uses:
            terms = places.terms.get(use.limit)
            if terms is not None and terms.rate is not None:
                full_at[use.limit, use.key] = places.full_after(use, count)
        places.take(source.uses, count)
    if full_at:
        spots = sorted(full_at)
        moments = [store.time(full_at[spot]) for spot in spots]
        rows = [[*spot, moment] for spot, moment in zip(spots, moments, strict=True)]
        tx.later("put_buckets", full_at=moments, rows=rows, **spot_columns(spots))


def write_turns(tx: Transaction, memory: LaneMemory, counts: Iterable[tuple[Source, int]], now: datetime) -> None:
    """Write down who was served; what cannot be written now is kept for the next time."""
    amounts = memory.uncounted
    for source, count in counts:
        if source.lane is not None:
            who = (source.queue, source.turn)
            amounts[who] = amounts.get(who, 0.0) + source.cost * count / source.weight
    if not amounts:
        return
    rows = [[*who, amount, memory.floors.get(who[0], 0.0)] for who, amount in sorted(amounts.items())]
    queues, keys, added, floors = (list(column) for column in zip(*rows, strict=True))
    written = tx.all("count_turns", queues=queues, keys=keys, amounts=added, floors=floors, rows=rows, now=now)
    for queue, key in written:
        amounts.pop((queue, key), None)


def spot_columns(spots: Iterable[Spot]) -> dict[str, Any]:
    """Limits and keys as statements take them: as columns, and as rows."""
    pairs = sorted(spots)
    return {
        "names": [name for name, _ in pairs],
        "keys": [key for _, key in pairs],
        "pairs": [list(pair) for pair in pairs],
    }  # fmt: skip
