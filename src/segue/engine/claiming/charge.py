"""Charges a claim: takes tokens from its rates, and adds to the virtual time of its fair-share keys."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime

from segue.engine.act import Act
from segue.engine.claiming.allocate import Source
from segue.engine.claiming.lane_memory import LaneMemory
from segue.engine.limiting.limit_rows import put_buckets
from segue.engine.limiting.places import LimitKey, Places


def write_buckets(act: Act, places: Places, counts: Iterable[tuple[Source, int]]) -> None:
    """Take the tokens for the claimed steps. The caller holds the locks of the limits."""
    full_at: dict[LimitKey, datetime] = {}
    for source, count in counts:
        for use in source.uses:
            terms = places.terms.get(use.limit)
            if terms is not None and terms.rate is not None:
                full_at[use.limit, use.key] = places.full_after(use, count)
        places.take(source.uses, count)
    if full_at:
        put_buckets(act, full_at)


def write_shares(act: Act, memory: LaneMemory, counts: Iterable[tuple[Source, int]]) -> None:
    """Add the claimed steps to the virtual time of their keys. Keys that are locked now are written next time."""
    amounts = memory.uncounted
    for source, count in counts:
        if source.lane is not None:
            key = (source.queue, source.share)
            amounts[key] = amounts.get(key, 0.0) + source.cost * count / source.weight
    if not amounts:
        return
    rows = [[*key, amount, memory.floors.get(key[0], 0.0)] for key, amount in sorted(amounts.items())]
    queues, keys, added, floors = (list(column) for column in zip(*rows, strict=True))
    written = act.tx.all("count_shares", queues=queues, keys=keys, amounts=added, floors=floors, rows=rows, now=act.now)
    for queue, key in written:
        amounts.pop((queue, key), None)
