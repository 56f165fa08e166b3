"""Starts that are put together: many under one key, within a window, become one run.

The first start makes the run, pending and without steps, and a bundle: what has been asked for so far. Later ones add
to the bundle. When its window has passed the bundle is closed, which makes the next start begin another one; then the
run gets its steps and the bundle goes. A process that dies in between leaves a bundle that anybody may take up.

Locks: who adds to an open bundle holds that and no run; who starts a closed one holds its run, and nobody else wants
the bundle then.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from enum import StrEnum

import msgspec

from segue.engine.ending import fail_fast
from segue.engine.locking import lock_runs
from segue.engine.pausing import hold_paused
from segue.engine.settle import Settler
from segue.engine.start import NewRun, insert_run, write_steps
from segue.model import ErrorInfo, RunStatus
from segue.plan import codec
from segue.plan.graph import Plan, RunTerms
from segue.store.protocol import Store, Transaction

MOST_STARTS = 10_000
"""A bundle with so many starts is due at once, whatever was asked for."""


class Keep(StrEnum):
    """Which of the starts in a bundle the run is made of."""

    FIRST = "first"
    LAST = "last"
    ALL = "all"  # the run gets the list of what each was started with


class BundleTerms(msgspec.Struct, frozen=True):
    """How starts are put together; times are in seconds."""

    key: str
    window: float
    keep: Keep = Keep.LAST
    restarts: bool = False  # whether each start begins the window anew
    longest: float | None = None  # ... but no longer than this after the first
    most: int = MOST_STARTS


class NewStart(msgspec.Struct, frozen=True):
    """One start: `id` tells it from all others, so that it counts once however often it is said."""

    id: str
    plan: Plan  # what would be started by itself; a run that this start begins has its id
    arguments: str  # JSON [args, kwargs]
    needs_code: bool  # whether the plan must be made of what the bundle holds when it is due
    terms: RunTerms | None = None  # what this start said of its run, besides the workflow


class Bundle(msgspec.Struct, frozen=True):
    """A closed bundle: what its run is to be started with."""

    run_id: str
    workflow: str
    plan: str | None  # JSON; None: the workflow is to be called
    keep: Keep
    arguments: list[msgspec.Raw]  # JSON [args, kwargs] of each start, in order
    terms: RunTerms | None  # what the first start said of the run, where the workflow is to be called


_starts_decoder = msgspec.json.Decoder(list[tuple[str, msgspec.Raw]])
_terms_decoder = msgspec.json.Decoder(RunTerms)
_encode = msgspec.json.Encoder().encode


def add_start(store: Store, tx: Transaction, start: NewStart, terms: BundleTerms, now: datetime) -> str:
    """Put a start to those under its key; returns the id of the run that they become."""
    workflow = start.plan.name
    entry = (start.id, msgspec.Raw(start.arguments.encode()))
    plan = None if start.needs_code else codec.encode(start.plan)
    while True:
        begun_before = tx.later("run_status", run_id=start.id)
        found = tx.all("open_bundle", workflow=workflow, key=terms.key)
        if begun_before.rows():  # said again, because its answer was lost; its window may have passed meanwhile
            return start.id
        if found and not RunStatus(found[0][5]).is_final:
            return _add(store, tx, found[0], entry, plan, terms, now)
        if found:  # its run was cancelled
            tx.all("drop_bundle", run_id=found[0][0])
        due_at = now if terms.most <= 1 else now + timedelta(seconds=terms.window)
        begun = tx.all(
            "insert_bundle", run_id=start.id, workflow=workflow, key=terms.key, keep=terms.keep, now=now,
            due_at=due_at, plan=plan, terms=_terms_of(start), starts=_encode([entry]).decode(),
        )  # fmt: skip
        if begun:
            insert_run(store, tx, NewRun(start.id, msgspec.structs.replace(start.plan, nodes=(), result=None)), now)
            return start.id


def _terms_of(start: NewStart) -> str | None:
    """What is kept beside the bundle, as the plan does not have it."""
    return _encode(start.terms).decode() if start.needs_code and start.terms is not None else None


def _add(
    store: Store, tx: Transaction, row: Sequence[object], entry: tuple[str, msgspec.Raw], plan: str | None,
    terms: BundleTerms, now: datetime,
) -> str:  # fmt: skip
    run_id, keep, begun_at, due_at, text, _ = row
    starts = _starts_decoder.decode(str(text))
    if any(id_ == entry[0] for id_, _ in starts):
        return str(run_id)  # said again, because its answer was lost
    if keep == Keep.ALL:
        starts.append(entry)
    elif keep == Keep.LAST:
        starts = [entry]
    due = store.datetime(due_at) or now
    if terms.restarts:
        due = now + timedelta(seconds=terms.window)
        if terms.longest is not None:
            due = min(due, (store.datetime(begun_at) or now) + timedelta(seconds=terms.longest))
    if len(starts) >= min(terms.most, MOST_STARTS):
        due = min(due, now)
    tx.all(
        "add_to_bundle", run_id=run_id, due_at=due, plan=plan if keep == Keep.LAST else None,
        starts=_encode(starts).decode(),
    )  # fmt: skip
    return str(run_id)


def due_bundles(tx: Transaction, now: datetime, *, known: Sequence[str], limit: int = 100) -> list[str]:
    """The runs of bundles whose window has passed, the oldest first.

    Of those whose workflow must be called to make a plan, only the workflows `known` to this process.
    """
    return [str(row[0]) for row in tx.all("due_bundles", now=now, known=list(known), limit=limit)]


def close_bundle(tx: Transaction, run_id: str, now: datetime) -> Bundle | None:
    """Let a due bundle take no more starts, and return it; None when it is gone, or due later by now."""
    rows = tx.all("close_bundle", run_id=run_id, now=now)
    if not rows:
        return None
    workflow, plan, keep, starts, text = rows[0]
    terms = None if text is None else _terms_decoder.decode(text)
    return Bundle(run_id, workflow, plan, Keep(keep), [raw for _, raw in _starts_decoder.decode(starts)], terms)


def start_bundle(store: Store, tx: Transaction, bundle: Bundle, plan: Plan, now: datetime) -> bool:
    """Give the run of a closed bundle the steps of `plan`; False when it has them already, or was ended meanwhile."""
    locked = lock_runs(tx, [bundle.run_id])
    tx.all("drop_bundle", run_id=bundle.run_id)
    if not locked or RunStatus(locked[0].status).is_final:
        return False
    is_started = write_steps(store, tx, bundle.run_id, plan, now)
    hold_paused(tx, locked)
    tx.later("wake")
    return is_started


def waiting_bundle(store: Store, tx: Transaction, run_id: str) -> tuple[str, str, datetime, int] | None:
    """(key, keep, due at, how many starts so far) of the bundle that a run without steps waits for."""
    rows = tx.all("bundle_of_run", run_id=run_id)
    if not rows:
        return None
    key, keep, due_at, seen = rows[0]
    return key, keep, store.datetime(due_at) or store.now(), seen


def with_items(plan: Plan, items: Sequence[msgspec.Raw]) -> Plan:
    """The plan of a single task with another list as its only argument."""
    arguments = _encode([[list(items)], {}]).decode()
    node = msgspec.structs.replace(plan.nodes[0], args=arguments, holes=())
    return msgspec.structs.replace(plan, nodes=(node,))


def fail_bundle(store: Store, tx: Transaction, bundle: Bundle, error: ErrorInfo, now: datetime) -> None:
    """End the run of a closed bundle as failed: no plan can be made of what was asked for.

    Somebody else may have made one, whose code is another version, and started the run: then it is left alone.
    """
    locked = lock_runs(tx, [bundle.run_id])
    is_mine = bool(tx.all("drop_bundle", run_id=bundle.run_id))
    if locked and is_mine and fail_fast(tx, bundle.run_id, bundle.workflow, error, now):
        Settler(store, tx, now).settle([], ending=[bundle.run_id])
