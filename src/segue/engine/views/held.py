"""Who holds what now: the steps of a worker, the steps of a queue, the places of a limit. Reads only.

Promise: however much runs or waits, a look ends at a limit; a number that reaches COUNTED_TO means "or more".
"""

from __future__ import annotations

from collections import Counter
from datetime import datetime
from typing import Any

import msgspec

from segue.engine.limiting.limit_rows import uses_or_none
from segue.engine.limiting.limits import WORKFLOW, LimitInfo, limit_info
from segue.engine.limiting.state import LimitsState, read_state
from segue.engine.stored import moment_of
from segue.engine.views.look import RunInfo, run_infos
from segue.engine.views.queues import COUNTED_TO
from segue.jsonable import Jsonable
from segue.plan.namespaces import bare, is_in, namespace_of, stored
from segue.store.protocol import Transaction

MOST_HELD = 50
LOOKED_AT = 1000
"""The steps among which the holders of a limit are looked for: those that have run longest."""


class HeldStep(Jsonable, msgspec.Struct, frozen=True):
    """A step that runs, or is about to. Times are aware UTC."""

    run_id: str
    workflow: str
    step: int
    name: str
    task: str | None
    queue: str
    attempt: int
    ready_at: datetime | None
    started_at: datetime | None
    worker_id: str | None
    worker: str | None
    namespace: str = ""


class LimitKeyInfo(Jsonable, msgspec.Struct, frozen=True):
    """A value of the key of a limit, with the places taken for it and the steps or runs that wait."""

    key: str  # "" if all are counted together
    used: int
    waiting: int


class LimitHolders(Jsonable, msgspec.Struct, frozen=True):
    """Who holds the places of a limit: steps, or runs for the limit of a workflow. Those that hold them longest."""

    keys: list[LimitKeyInfo]
    steps: list[HeldStep]
    runs: list[RunInfo]
    is_cut: bool  # there may be more holders


def held_by_worker(tx: Transaction, worker_id: str, limit: int = MOST_HELD) -> list[HeldStep]:
    """The steps that a worker runs, or ran when it was lost, the one that began first at the front."""
    return [_held(tx, row) for row in tx.all("held_by_worker", worker_id=worker_id, limit=limit)]


def held_by_workers(tx: Transaction) -> dict[str, int]:
    """How many steps each worker runs, by its id."""
    return {str(id_): count for id_, count in tx.all("held_by_workers", limit=COUNTED_TO) if id_ is not None}


def held_on_queue(tx: Transaction, queue: str, namespace: str, limit: int = MOST_HELD) -> list[HeldStep]:
    """The steps of a queue that run, the one that began first at the front."""
    return [_held(tx, row) for row in tx.all("held_on_queue", queue=stored(namespace, queue), limit=limit)]


def next_on_queue(tx: Transaction, queue: str, namespace: str, limit: int = MOST_HELD) -> list[HeldStep]:
    """The steps of a queue that are claimed next, in this order."""
    return [_held(tx, row) for row in tx.all("next_on_queue", queue=stored(namespace, queue), limit=limit)]


def limit_with_holders(
    tx: Transaction, name: str, *, prefix: str | None
) -> tuple[LimitInfo, LimitHolders] | None:  # fmt: skip
    """A limit of a namespace, or the first one of all, with who holds its places and how many wait, by key."""
    state = read_state(tx)
    limit = next((each for each in state.limits if is_in(prefix, each.name) and bare(each.name) == name), None)
    if limit is None:
        return None
    holders = _run_holders(tx, limit.name) if name.startswith(WORKFLOW) else _holders(tx, limit.name, state)
    return limit_info(limit, state), holders


def _holders(tx: Transaction, full: str, state: LimitsState) -> LimitHolders:
    used = {key: count for (of, key), count in state.taken.items() if of == full}
    waits: dict[str, int] = {}
    for wanted, count in state.waiting:
        for key in (key for of, key in wanted if of == full):
            waits[key] = waits.get(key, 0) + count
    rows = tx.all("held_longest", limit=LOOKED_AT)
    steps = []
    for row in rows:
        _, _, _, _, task, queue, _, _, _, _, _, lane, *_ = row
        if any(use.limit == full for use in uses_or_none(queue, task, lane, state.binding)):
            steps.append(_held(tx, row))
    keys = [LimitKeyInfo(key, used.get(key, 0), waits.get(key, 0)) for key in used.keys() | waits.keys()]
    return LimitHolders(_in_order(keys), steps[:MOST_HELD], [], len(steps) > MOST_HELD or len(rows) == LOOKED_AT)


def _run_holders(tx: Transaction, full: str) -> LimitHolders:
    used: Counter[str] = Counter()
    waits: Counter[str] = Counter()
    for key, admitted, waiting in tx.all("keys_of_run_limit", name=full, limit=COUNTED_TO):
        used[key or ""] += admitted
        waits[key or ""] += waiting
    ids = [str(id_) for (id_,) in tx.all("runs_holding_limit", name=full, limit=MOST_HELD)]
    keys = [LimitKeyInfo(key, used[key], waits[key]) for key in used.keys() | waits.keys()]
    return LimitHolders(_in_order(keys), [], run_infos(tx, ids), len(ids) == MOST_HELD)


def _in_order(keys: list[LimitKeyInfo]) -> list[LimitKeyInfo]:
    kept = [each for each in keys if each.used or each.waiting]
    return sorted(kept, key=lambda each: (-each.waiting, -each.used, each.key))[:MOST_HELD]


def _held(tx: Transaction, row: Any) -> HeldStep:
    run_id, workflow, step, name, task, queue, attempt, ready_at, started_at, worker_id, worker, _ = row
    return HeldStep(
        str(run_id), bare(workflow), step, name, task, bare(queue), attempt, moment_of(tx, ready_at),
        moment_of(tx, started_at), None if worker_id is None else str(worker_id), worker, namespace_of(workflow),
    )  # fmt: skip
