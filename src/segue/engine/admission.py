"""Admission: of a workflow that may have so many runs at once, the others wait, the oldest first.

A run that waits is `pending` (or `running`, when it had ended and was reopened). Its steps that could start have the
gate "admission", its joins are not passed, so nothing of it happens. A run has its place from its admission to its end,
however long it is paused meanwhile.

Runs are admitted when one is started, when one ends, is resumed or reopened, and by a chore, which finds what others
missed. Each counts the runs that have a place under the lock of the limit and key, and admits no more than are free.
Nothing here waits: what somebody else holds is left to him, or to the next one.

Finalizers of a run that was cancelled while it waited run without a place.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from datetime import datetime
from typing import NamedTuple

from segue.engine.claiming.places import Spot
from segue.engine.claiming.standing import lock_spots, locked_spots, read_terms
from segue.engine.settle import Settler
from segue.plan.graph import LimitTerms
from segue.store.protocol import Store, Transaction

ADMITTED_AT_ONCE = 100
LIMITS_AT_ONCE = 100
_ROUNDS = 5


class Admitted(NamedTuple):
    """What came of it."""

    runs: int  # that were admitted
    missed: set[Spot]  # limits and keys that somebody else has in hand


NONE = Admitted(0, set())


def admit(store: Store, tx: Transaction, now: datetime, spots: Collection[Spot]) -> Admitted:
    """Admit the oldest runs of these limits and keys, as many as have a place; where the limit is gone, all."""
    if not spots:
        return NONE
    got = locked_spots(lock_spots(tx, spots))
    terms = read_terms(tx, {name for name, _ in got})
    admitted = 0
    for name, key in sorted(got):
        for _ in range(_ROUNDS):  # again, because a run without work for anybody ends at once
            free = _free_places(tx, terms.get(name), (name, key))
            waiting = tx.all("waiting_runs", name=name, key=key, limit=free) if free > 0 else []
            for (run_id,) in waiting:
                _admit_run(store, tx, run_id, now)
            admitted += len(waiting)
            if not waiting:
                break
    if admitted:
        tx.later("wake")
    return Admitted(admitted, set(spots) - got)


def admit_after(store: Store, tx: Transaction, now: datetime, run_ids: Iterable[str]) -> Admitted:
    """The same for the limits of runs that ended, were resumed or reopened; the caller may hold any locks."""
    ids = sorted(run_ids)
    if not ids:
        return NONE
    return admit(store, tx, now, {(name, key or "") for name, key in tx.all("limits_of_runs", ids=ids)})


def admit_waiting(store: Store, tx: Transaction, now: datetime, *, after: Spot = ("", "")) -> tuple[int, Spot | None]:
    """Look at limits that runs wait for, a batch of them behind `after`. Returns how many, and where to go on."""
    spots: set[Spot] = set()
    at: Spot = after
    while len(spots) < LIMITS_AT_ONCE:
        found = tx.all("waiting_limit_after", name=at[0], key=at[1])
        if not found:
            return admit(store, tx, now, spots).runs, None
        at = (found[0][0], found[0][1])
        spots.add(at)
    return admit(store, tx, now, spots).runs, at


def _free_places(tx: Transaction, terms: LimitTerms | None, spot: Spot) -> int:
    if terms is None or terms.concurrency is None:
        return ADMITTED_AT_ONCE
    taken: int = tx.all("count_admitted", name=spot[0], key=spot[1])[0][0]
    return min(terms.concurrency - taken, ADMITTED_AT_ONCE)


def _admit_run(store: Store, tx: Transaction, run_id: str, now: datetime) -> None:
    """Open the run's gates and pass its joins, as its start would have; the caller has its lock."""
    tx.all("admit_run", run_id=run_id, now=now)
    tx.all("open_admission", run_id=run_id, now=now)
    joins = [row[0] for row in tx.all("held_joins", run_id=run_id)]
    if joins:
        Settler(store, tx, now).pass_joins(run_id, joins)
