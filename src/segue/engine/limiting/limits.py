"""Operations of people on limits: set, remove, list. Also prunes rows that are no longer needed.

Kinds of names: `task:NAME`, `queue:NAME`, `workflow:NAME`, and names of the user's own limits, which have no colon.
"""

from __future__ import annotations

from datetime import timedelta

import msgspec

from segue.engine.act import Act
from segue.engine.audit import record_change
from segue.engine.limiting.limit_rows import LimitRow
from segue.engine.limiting.places import QUEUE, TASK
from segue.engine.limiting.state import LimitsState, read_state
from segue.errors import ConfigError
from segue.given import shown
from segue.jsonable import Jsonable
from segue.plan.graph import LimitTerms
from segue.plan.indexed import MOST_QUEUE_BYTES, name_problem, text_problem
from segue.plan.lanes import LONGEST_LIMIT_BYTES, bounded
from segue.plan.namespaces import DEFAULT, bare, beside, is_in, namespace_of, stored
from segue.store.protocol import Transaction

WORKFLOW = "workflow:"
KINDS = (TASK, QUEUE, WORKFLOW)
PRUNE_AT_ONCE = 500
IDLE_SECONDS = 3600.0
"""How long the position of a key in the fair order is remembered after it was last served."""

LISTED_AT_ONCE = 1000
MOST_WEIGHED_BYTES = 100_000


class LimitInfo(Jsonable, msgspec.Struct, frozen=True):
    """A limit and its state: places taken and steps (or runs) waiting, for all its keys together."""

    name: str
    concurrency: int | None
    rate: float | None  # starts in each period
    period: float  # seconds
    burst: float | None
    source: str  # where its size was set: "code" or "api"
    used: int
    waiting: int  # for this limit or another one that they need as well
    keys: int  # values of its key that hold places now
    namespace: str = ""


class ShareInfo(Jsonable, msgspec.Struct, frozen=True):
    """A key that shares a queue with others: its weight if a person set it, and its use so far."""

    queue: str
    key: str
    weight: float | None
    served: float
    namespace: str = ""


def set_limit(
    act: Act, *, terms: LimitTerms, namespace: str = DEFAULT, actor: str | None = None, reason: str | None = None
) -> None:
    """Set the size of a limit; it overrides the code, and workers use it within about a second."""
    check_terms(terms)
    name = stored(namespace, terms.name)
    wanted = (terms.concurrency, terms.rate, terms.period, terms.burst, "api")
    known = [row for row in (LimitRow(*row) for row in act.tx.all("list_limits")) if row.name == name]
    if all((row.concurrency, row.rate, row.period, row.burst, row.source) != wanted for row in known):
        size = {"concurrency": terms.concurrency, "rate": terms.rate, "burst": terms.burst}
        size |= {} if terms.rate is None else {"period": terms.period}
        said = {word: value for word, value in size.items() if value is not None}
        record_change(act, "limit.set", name, actor=actor, reason=reason, **said)
    act.tx.all(
        "put_limit", name=name, concurrency=terms.concurrency, rate=terms.rate,
        period=terms.period, burst=terms.burst, now=act.now,
    )  # fmt: skip
    act.tx.later("wake")


def remove_limit(
    act: Act, *, name: str, namespace: str = DEFAULT, actor: str | None = None, reason: str | None = None
) -> bool:
    """Remove a limit; False if it does not exist. The value in the code applies again when it is next declared."""
    if name_problem(name, 8 * LONGEST_LIMIT_BYTES) is not None:
        return False  # no limit can have such a name
    removed = bool(act.tx.all("remove_limit", name=stored(namespace, name)))
    if removed:
        record_change(act, "limit.removed", stored(namespace, name), actor=actor, reason=reason)
    act.tx.later("wake")
    return removed


def set_weight(
    act: Act,
    *,
    queue: str,
    key: str,
    weight: float | None,
    namespace: str = DEFAULT,
    actor: str | None = None,
    reason: str | None = None,
) -> None:
    """Set the weight of a key in a queue; None: the weight in the code."""
    if weight is not None and not 0 < weight < 1e9:
        raise ConfigError(f"A weight of {weight} is not possible: give more than 0. The default is 1.")
    wrong = name_problem(queue, MOST_QUEUE_BYTES)
    if wrong is not None:
        raise ConfigError(f"queue={shown(queue)} is not a queue's name: it {wrong}.")
    wrong = text_problem(key, MOST_WEIGHED_BYTES) if key != "" else None
    if wrong is not None:
        raise ConfigError(f"key={shown(key)} is not a fair-share key: it {wrong}.")
    key, queue = bounded(key), stored(namespace, queue)  # as they are stored in lanes
    act.tx.all("lock_share", queue=queue, key=key)
    act.tx.all("put_weight", queue=queue, key=key, weight=weight, now=act.now)
    record_change(act, "queue.weighted", queue, actor=actor, reason=reason, key=key, weight=weight)


def list_limits(tx: Transaction, *, prefix: str | None = None) -> list[LimitInfo]:
    """Every limit that has a size, or those of a namespace, by name."""
    state = read_state(tx)
    return [limit_info(limit, state) for limit in state.limits if is_in(prefix, limit.name)]


def limit_info(limit: LimitRow, state: LimitsState) -> LimitInfo:
    """A limit and its state."""
    name, terms = limit.name, limit.terms()
    if name in state.runs:
        used, waiting, keys = state.runs[name]
    else:
        mine = [places for key, places in state.taken.items() if key[0] == name and places]
        waiting = sum(count for wanted, count in state.waiting if any(of == name for of, _ in wanted))
        used, keys = sum(mine), len(mine)
    return LimitInfo(
        bare(name), terms.concurrency, terms.rate, terms.period, terms.burst, limit.source, used, waiting, keys,
        namespace_of(name),
    )  # fmt: skip


def run_limit(tx: Transaction, workflow: str) -> LimitInfo | None:
    """The limit of the runs of a workflow, by its stored name, if there is one."""
    for *columns, admitted, waiting, keys in tx.all("run_limit", name=beside(workflow, WORKFLOW + bare(workflow))):
        limit = LimitRow(*columns)
        runs = {limit.name: (admitted, waiting, keys)}
        return limit_info(limit, LimitsState([limit], set(), {}, [], runs))
    return None


def list_shares(
    tx: Transaction, *, prefix: str | None = None, limit: int = LISTED_AT_ONCE
) -> list[ShareInfo]:  # fmt: skip
    """The keys that share queues, or those of a namespace, as far as they are remembered."""
    return [
        ShareInfo(bare(queue), key, weight, served, namespace_of(queue))
        for queue, key, weight, served, _ in tx.all("list_shares", prefix=prefix, limit=limit)
    ]


def check_terms(terms: LimitTerms) -> None:
    """Raise ConfigError for an invalid limit."""
    name = terms.name
    wrong = name_problem(name, 8 * LONGEST_LIMIT_BYTES)
    if wrong is not None:
        raise ConfigError(f"The limit's name {shown(name)} {wrong}. Give it a shorter or plainer one.")
    if ":" in name and not name.startswith(KINDS):
        raise ConfigError(
            f"The limit's name {shown(name)} has a colon. Your own limits have none; the others are task:NAME, "
            "queue:NAME and workflow:NAME."
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


def prune_limits(act: Act) -> int:
    """A chore: delete buckets that are full, and fair shares that were not used for an hour. Returns how many."""
    full = act.tx.all("full_buckets", now=act.now, limit=PRUNE_AT_ONCE)
    for name, key in full:
        act.tx.later("drop_bucket", name=name, key=key, now=act.now)
    before = act.now - timedelta(seconds=IDLE_SECONDS)
    idle = act.tx.all("idle_shares", before=before, limit=PRUNE_AT_ONCE)
    for queue, key in idle:
        act.tx.later("drop_share", queue=queue, key=key, before=before)
    return len(full) + len(idle)
