"""What people say of limits and ask of them: set, remove, list; and the pruning of what they leave behind.

Kinds of names: `task:NAME`, `queue:NAME`, `workflow:NAME`, and names of the user's own, which have no colon.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime, timedelta

import msgspec

from segue.engine.claiming.places import QUEUE, TASK
from segue.engine.claiming.standing import count_taken, terms_of, uses_of
from segue.errors import ConfigError
from segue.plan.graph import LimitTerms
from segue.plan.lanes import LONGEST_LIMIT_BYTES
from segue.store.protocol import Store, Transaction

WORKFLOW = "workflow:"
KINDS = (TASK, QUEUE, WORKFLOW)
PRUNE_AT_ONCE = 500
IDLE_SECONDS = 3600.0
"""So long the place of a key in the order of turns is remembered after it was served last."""

LISTED_AT_ONCE = 1000


class LimitInfo(msgspec.Struct, frozen=True):
    """A limit, and how it stands: places taken and steps (or runs) waiting, of all its keys together."""

    name: str
    concurrency: int | None
    rate: float | None  # starts in each period
    period: float  # seconds
    burst: float | None
    source: str  # who says how large it is: "code" or "api"
    used: int
    waiting: int  # for this limit or another one that they need as well
    keys: int  # values of its key that hold places now


class TurnInfo(msgspec.Struct, frozen=True):
    """A key that shares a queue with others: its weight where a person set it, and how much it had."""

    queue: str
    key: str
    weight: float | None
    served: float


def set_limit(tx: Transaction, now: datetime, *, terms: LimitTerms) -> None:
    """Say how large a limit is, whatever the code says; workers go by it within about a second."""
    check_terms(terms)
    tx.all(
        "put_limit", name=terms.name, concurrency=terms.concurrency, rate=terms.rate, period=terms.period,
        burst=terms.burst, now=now,
    )  # fmt: skip
    tx.later("wake")


def remove_limit(tx: Transaction, now: datetime, *, name: str) -> bool:
    """Take a limit away; False when there is none. What the code says of it counts again when it is said again."""
    removed = bool(tx.all("remove_limit", name=name))
    tx.later("wake")
    return removed


def set_weight(tx: Transaction, now: datetime, *, queue: str, key: str, weight: float | None) -> None:
    """Say how much of a queue a key gets beside others; None: what the code says."""
    if weight is not None and not 0 < weight < 1e9:
        raise ConfigError(f"A weight of {weight} makes no sense: give more than 0. A key without one has the weight 1.")
    tx.all("lock_turn", queue=queue, key=key)
    tx.all("put_weight", queue=queue, key=key, weight=weight, now=now)


def list_limits(tx: Transaction) -> list[LimitInfo]:
    """Every limit that has a size, by name."""
    rows = tx.all("list_limits")
    binding = {row[0] for row in rows if not row[6] or row[0].startswith(QUEUE)}
    taken = count_taken(tx.all("taken_by_all"), binding)
    waiting = _waiting(tx, binding)
    runs = {name: (admitted, held, keys) for name, admitted, held, keys in tx.all("runs_by_limit")}
    found = []
    for row in rows:
        terms, source = terms_of(row[:5]), row[5]
        name = terms.name
        mine = [places for (limit, _), places in taken.items() if limit == name and places]
        used, waits, keys = runs.get(name, (sum(mine), waiting.get(name, 0), len(mine)))
        found.append(
            LimitInfo(
                name, terms.concurrency, terms.rate, terms.period, terms.burst, source, used, waits, keys
            )
        )  # fmt: skip
    return found


def list_turns(tx: Transaction, *, limit: int = LISTED_AT_ONCE) -> list[TurnInfo]:
    """The keys that share queues, as far as they are remembered."""
    return [TurnInfo(*row[:4]) for row in tx.all("list_turns", limit=limit)]


def check_terms(terms: LimitTerms) -> None:
    """Raise ConfigError for a limit that makes no sense."""
    name = terms.name
    if not name or len(name.encode()) > 8 * LONGEST_LIMIT_BYTES or "\0" in name:
        raise ConfigError(f"The limit's name {name!r} is empty or too long.")
    if ":" in name and not name.startswith(KINDS):
        raise ConfigError(
            f"The limit's name {name!r} has a colon. Names of your own have none; the others are task:NAME, queue:NAME "
            "and workflow:NAME."
        )
    if terms.concurrency is None and terms.rate is None:
        raise ConfigError(f"The limit {name!r} limits nothing: give it a concurrency, a rate, or both.")
    if terms.concurrency is not None and not 0 <= terms.concurrency <= 1_000_000:
        raise ConfigError(
            f"The limit {name!r} cannot have a concurrency of {terms.concurrency}: give 0 or more places."
        )
    if terms.rate is not None and not (0 <= terms.rate < 1e9 and 0 < terms.period < 1e9):
        raise ConfigError(
            f"The limit {name!r} cannot have a rate of {terms.rate:g} in {terms.period:g} s: give 0 or more in a "
            "period of more than 0 seconds."
        )
    if terms.burst is not None and not 1 <= terms.burst < 1e9:
        raise ConfigError(f"The limit {name!r} cannot have a burst of {terms.burst:g}: give 1 or more.")
    if terms.rate is not None and name.startswith(WORKFLOW):
        raise ConfigError(
            f"The limit {name!r} cannot have a rate: a workflow has a concurrency. Give the rate to its first task."
        )


def prune_limits(store: Store, tx: Transaction, now: datetime) -> int:
    """A chore: forget buckets that are full, and turns that nobody used for an hour. Returns how many."""
    full = tx.all("full_buckets", now=now, limit=PRUNE_AT_ONCE)
    for name, key in full:
        tx.later("drop_bucket", name=name, key=key, now=now)
    before = now - timedelta(seconds=IDLE_SECONDS)
    idle = tx.all("idle_turns", before=before, limit=PRUNE_AT_ONCE)
    for queue, key in idle:
        tx.later("drop_turn", queue=queue, key=key, before=before)
    return len(full) + len(idle)


def _waiting(tx: Transaction, binding: Iterable[str]) -> dict[str, int]:
    waiting: dict[str, int] = {}
    for queue, lane, count in tx.all("waiting_by_lanes"):
        for limit in {use.limit for use in uses_of(queue, None, lane, binding)}:
            waiting[limit] = waiting.get(limit, 0) + count
    return waiting
