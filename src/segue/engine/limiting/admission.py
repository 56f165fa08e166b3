"""Admission: if a workflow may have only so many runs at the same time, the others wait, the oldest first.

A run that begins later (`run_at`) waits, too, and is admitted no earlier.

A run that waits is `pending` (or `running`, if it had ended and was reopened). Its steps that could start have the gate
"admission", and its joins are not passed, so nothing of it starts. A run has its place from its admission to its end,
however long it is paused meanwhile.

Runs are admitted when one is started, when one ends, is resumed or reopened, and by a chore, which finds those that
were missed. Each counts the runs that have a place under the lock of the limit and key, and admits no more than are
free. Admission never blocks: a limit that another transaction has locked is skipped; that transaction, or the next
chore, admits its runs.

Finalizers of a run that was cancelled while it waited run without a place.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from typing import NamedTuple

from segue.engine.act import Act
from segue.engine.limiting.limit_rows import lock_limit_keys, locked_limit_keys, read_terms
from segue.engine.limiting.places import LimitKey
from segue.engine.propagate import Propagation
from segue.errors import StoreConflictError
from segue.plan.graph import LimitTerms
from segue.store.protocol import Transaction

ADMITTED_AT_ONCE = 100
LOOKED_AT_ONCE = 500
LIMITS_AT_ONCE = 100
_ROUNDS = 5


class NotAdmittedError(StoreConflictError):
    """No run could be admitted, because the rows of one that waits are damaged. The act may be done without it."""


class Admitted(NamedTuple):
    """The effect of an admission."""

    runs: int  # that were admitted
    missed: set[LimitKey]  # limits and keys that another transaction has locked


NONE = Admitted(0, set())


def admit(act: Act, limit_keys: Collection[LimitKey], *, only: str | None = None) -> Admitted:
    """Admit the oldest runs of these limits and keys, as many as have a place; if the limit is gone, all.

    `only` names the single run that may be admitted.
    """
    if not limit_keys:
        return NONE
    got = locked_limit_keys(lock_limit_keys(act.tx, limit_keys))
    terms = read_terms(act.tx, {name for name, _ in got})
    admitted = 0
    for name, key in sorted(got):
        for _ in range(_ROUNDS):  # again, because a run without steps for workers ends immediately
            free = _free_places(act.tx, terms.get(name), (name, key))
            waiting = act.tx.all("waiting_runs", name=name, key=key, limit=free, now=act.now) if free > 0 else []
            if only is not None:
                waiting = [(run_id,) for (run_id,) in waiting if run_id == only]
            for (run_id,) in waiting:
                _admit_run(act, run_id)
            admitted += len(waiting)
            if not waiting:
                break
    if admitted:
        act.tx.later("wake")
    return Admitted(admitted, set(limit_keys) - got)


def admit_or_raise(act: Act, limit_keys: Collection[LimitKey]) -> Admitted:
    """`admit` as a part of another act, which is not at fault for its errors. Raises NotAdmittedError for any error."""
    try:
        return admit(act, limit_keys)
    except Exception as error:
        raise NotAdmittedError(f"no run could be admitted for {sorted(limit_keys)[:3]}: {error}") from error


def admit_after(act: Act, run_ids: Iterable[str]) -> Admitted:
    """The same for the limits of runs that ended, were resumed or reopened; the caller may hold any locks."""
    ids = sorted(run_ids)
    if not ids:
        return NONE
    return admit(act, {(name, key or "") for name, key in act.tx.all("limits_of_runs", ids=ids)})


def admit_waiting(act: Act, *, after: LimitKey = ("", "")) -> tuple[int, LimitKey | None]:
    """Check limits that runs wait for, a batch of them after `after`. Returns how many, and where to continue."""
    limit_keys, further = waiting_limit_keys(act.tx, after)
    return admit(act, limit_keys).runs, further


def waiting_limit_keys(tx: Transaction, after: LimitKey) -> tuple[list[LimitKey], LimitKey | None]:
    """Limits and keys with room that runs wait for, a batch of them after `after`, and where to continue."""
    after_name, after_key = after
    rows = tx.all("waiting_limit_keys", name=after_name, key=after_key, limit=LOOKED_AT_ONCE)
    with_room = [(name, key) for name, key, has_room in rows if has_room][:LIMITS_AT_ONCE]
    if len(with_room) == LIMITS_AT_ONCE:
        return with_room, with_room[-1]
    if len(rows) < LOOKED_AT_ONCE:
        return with_room, None
    last_name, last_key, _ = rows[-1]
    return with_room, (last_name, last_key)


def _free_places(tx: Transaction, terms: LimitTerms | None, limit_key: LimitKey) -> int:
    if terms is None or terms.concurrency is None:
        return ADMITTED_AT_ONCE
    name, key = limit_key
    taken: int = tx.all("count_admitted", name=name, key=key)[0][0]
    return min(terms.concurrency - taken, ADMITTED_AT_ONCE)


def _admit_run(act: Act, run_id: str) -> None:
    """Open the run's gates and pass its joins, as its start would have; the caller has its lock."""
    act.tx.all("admit_run", run_id=run_id, now=act.now)
    act.tx.all("open_admission", run_id=run_id, now=act.now)
    joins = [row[0] for row in act.tx.all("held_joins", run_id=run_id)]
    if joins:
        Propagation(act).pass_joins(run_id, joins)
