"""Debounced starts: many starts under one key, within a window, become one run.

The first start creates the run, pending and without steps, and a debounce, which collects the starts of its key. Each
start adds one row, so the ten-thousandth costs the same as the first. When the window has passed, or the debounce is
full, it is closed, and the next start opens another one. Then the run gets its steps and the debounce is deleted. If a
process dies in between, any other process continues with the debounce.

Promises: a start that returned is part of a run that can be created. A start that would make the list longer than
arguments may be is refused, and the debounce is due immediately. A start with a different `keep` closes the debounce,
and opens another one. A start counts once, however often it is repeated: its id is remembered for an hour.

Locks: a start that adds to an open debounce holds the debounce and no run. The process that starts a closed one holds
its run; no other process needs the debounce then.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any

import msgspec

from segue.clock import earlier
from segue.engine.act import Act
from segue.engine.acting import present_actor
from segue.engine.ending import fail_fast
from segue.engine.ids import first_id_at
from segue.engine.locking import hold_paused, lock_runs
from segue.engine.propagate import Propagation
from segue.engine.start import NewRun, insert_run, write_steps
from segue.engine.stored import moment_of
from segue.errors import RunStateError, StoreConflictError
from segue.model import ErrorInfo, RunStatus
from segue.plan import codec
from segue.plan.check import MAX_ARGUMENT_BYTES
from segue.plan.graph import Plan, RunTerms
from segue.plan.namespaces import bare
from segue.store.protocol import Transaction

MOST_STARTS = 10_000
"""A debounce with this many starts is due immediately, whatever its terms."""

MOST_BYTES = MAX_ARGUMENT_BYTES - 64
"""The largest size of a task's arguments, including the brackets around its list."""

REMEMBERED = timedelta(hours=1)
"""For this long, a repeated start finds its first try."""

FORGOTTEN_AT_ONCE = 5000
_TRIES = 20


class Keep(StrEnum):
    """The starts of a debounce from which the run is made."""

    FIRST = "first"
    LAST = "last"
    ALL = "all"  # the run gets the list of all arguments


class DebounceTerms(msgspec.Struct, frozen=True):
    """How starts are combined; times are in seconds."""

    key: str
    window: float
    keep: Keep = Keep.LAST
    restarts: bool = False  # whether each start restarts the window
    longest: float | None = None  # ... but no longer than this after the first
    most: int = MOST_STARTS


class NewStart(msgspec.Struct, frozen=True):
    """One start. Its `id` identifies it, so that it counts once however often it is repeated."""

    id: str
    plan: Plan  # the plan of this start alone; a run that this start creates has its id
    arguments: str  # JSON [args, kwargs]
    needs_code: bool  # whether the plan must be made from the collected starts when it is due
    terms: RunTerms | None = None  # the terms of this start for its run, besides the workflow


class OpenDebounce(msgspec.Struct, frozen=True):
    """A closed debounce: the input of its run."""

    run_id: str
    workflow: str
    plan: str | None  # JSON; None: the workflow must be called
    keep: Keep
    arguments: list[msgspec.Raw]  # JSON [args, kwargs] of each start, in order; none if the plan has them
    terms: RunTerms | None  # of the first start, if the workflow must be called


class _Open(msgspec.Struct):
    """The current state of a debounce that accepts starts."""

    run_id: str
    keep: str
    begun_at: Any
    due_at: Any
    seen: int
    size: int  # bytes of the arguments that it stores
    needs_code: bool
    run_status: str


_starts_decoder = msgspec.json.Decoder(list[tuple[str, msgspec.Raw]])
_terms_decoder = msgspec.json.Decoder(RunTerms)
_encode = msgspec.json.Encoder().encode


def add_start(act: Act, start: NewStart, terms: DebounceTerms) -> str:
    """Add a start to those under its key. Returns the id of the run that they become.

    Raises RunStateError if all arguments together would be larger than a run may have. Then nothing was changed;
    `hasten` lets the run start, which makes room.
    """
    adding = _Adding(act, start, terms)
    for _ in range(_TRIES):  # again if another start was faster, or the debounce could not accept this one
        joined = act.tx.later("debounce_of_start", id=start.id)
        found = act.tx.all("open_debounce", workflow=start.plan.name, key=terms.key)
        if joined.rows():  # repeated, because its answer was lost; its window may have passed meanwhile
            return str(joined.rows()[0][0])
        run_id = adding.join(_Open(*found[0])) if found else adding.begin()
        if run_id is not None:
            return run_id
    raise StoreConflictError(
        f"{bare(start.plan.name)} was started under the debounce key {terms.key!r}, whose debounce was closed {_TRIES} "
        "times by other starts meanwhile. Nothing was written: start it again."
    )


class _Adding:
    """Adds one start to a debounce."""

    def __init__(self, act: Act, start: NewStart, terms: DebounceTerms) -> None:
        self._act = act
        self._start = start
        self._terms = terms
        self._most = min(terms.most, MOST_STARTS)
        self._keeps_all = terms.keep == Keep.ALL
        self._arguments = start.arguments if self._keeps_all else None
        self._size = len(start.arguments.encode()) + 1 if self._keeps_all else 0

    def begin(self) -> str | None:
        """Open a debounce with it; None if another start has opened one."""
        start, terms, now = self._start, self._terms, self._act.now
        is_full = self._most <= 1
        begun = self._act.tx.all(
            "insert_debounce", run_id=start.id, workflow=start.plan.name, key=terms.key, keep=terms.keep, now=now,
            due_at=now if is_full else now + timedelta(seconds=terms.window), is_closed=is_full, plan=self._plan(),
            terms=_terms_of(start), bytes=self._size,
            starts="" if self._keeps_all else "[]",  # '': an older version must not take it for empty
        )  # fmt: skip
        if not begun:
            return None
        pending = msgspec.structs.replace(start.plan, nodes=(), result=None)
        insert_run(self._act, NewRun(start.id, pending, started_by=present_actor()))
        self._act.tx.all("put_start", id=start.id, run_id=start.id, position=0, arguments=self._arguments)
        return start.id

    def join(self, debounce: _Open) -> str | None:
        """Add it to this debounce; None if that is not possible, and the next start opens another one."""
        tx, run_id = self._act.tx, debounce.run_id
        if RunStatus(debounce.run_status).is_final:  # it was cancelled
            tx.all("drop_debounce", run_id=run_id)
            return None
        if debounce.keep != self._terms.keep or bool(debounce.needs_code) != self._start.needs_code:
            tx.all("end_debounce_window", run_id=run_id, now=self._act.now)
            return None
        if debounce.size + self._size > MOST_BYTES:
            raise RunStateError(_too_large(self._start, self._terms, debounce, self._size))
        if not tx.all(
            "put_start", id=self._start.id, run_id=run_id, position=debounce.seen, arguments=self._arguments
        ):  # repeated while the first try was being committed
            return None
        is_full = debounce.seen + 1 >= self._most
        tx.all(
            "add_to_debounce", run_id=run_id, is_closed=is_full,
            due_at=self._act.now if is_full else self._due(debounce),
            plan=self._plan() if self._terms.keep == Keep.LAST else None, bytes=self._size,
        )  # fmt: skip
        return run_id

    def _due(self, debounce: _Open) -> datetime:
        terms, now = self._terms, self._act.now
        due = self._act.tx.datetime(debounce.due_at) or now
        if terms.restarts:
            due = now + timedelta(seconds=terms.window)
            if terms.longest is not None:
                due = min(due, (self._act.tx.datetime(debounce.begun_at) or now) + timedelta(seconds=terms.longest))
        return due

    def _plan(self) -> str | None:
        if self._start.needs_code:
            return None
        # The arguments of all starts are in their own rows, and are not stored a second time.
        return codec.encode(with_items(self._start.plan, ()) if self._keeps_all else self._start.plan)


def _too_large(start: NewStart, terms: DebounceTerms, debounce: _Open, size: int) -> str:
    return (
        f"{bare(start.plan.name)} was started under the debounce key {terms.key!r} with {size:,} bytes of arguments. "
        f"The run {debounce.run_id} that is being collected under that key has {debounce.size:,} bytes already and "
        f"may have {MOST_BYTES:,}. It starts within about a second: start this one again then."
    )


def hasten(act: Act, workflow: str, key: str) -> None:
    """Make the open debounce under a key due now."""
    act.tx.all("hasten_debounce", workflow=workflow, key=key, now=act.now)


def _terms_of(start: NewStart) -> str | None:
    """The terms that are stored with the debounce, because the plan does not contain them."""
    return _encode(start.terms).decode() if start.needs_code and start.terms is not None else None


def due_debounces(tx: Transaction, now: datetime, *, known: Sequence[str], limit: int = 100) -> list[str]:
    """The runs of debounces whose window has passed, the oldest first.

    If the workflow must be called to make a plan, only workflows in `known`, those of this process, are included.
    """
    return [str(run_id) for run_id, _ in tx.all("due_debounces", now=now, known=list(known), limit=limit)]


def close_debounce(act: Act, run_id: str) -> OpenDebounce | None:
    """Close a due debounce to further starts, and return it; None if it is gone, or now due later."""
    rows = act.tx.all("close_debounce", run_id=run_id, now=act.now)
    if not rows:
        return None
    workflow, plan, keep, older, text = rows[0]
    terms = None if text is None else _terms_decoder.decode(text)
    starts = [raw for _, raw in _starts_decoder.decode(older or "[]")]  # collected by an older version
    if keep == Keep.ALL or plan is None:
        starts += [msgspec.Raw(row[0].encode()) for row in act.tx.all("starts_of_debounce", run_id=run_id)]
    return OpenDebounce(run_id, workflow, plan, Keep(keep), starts, terms)


def start_debounce(act: Act, debounce: OpenDebounce, plan: Plan) -> bool:
    """Give the run of a closed debounce the steps of `plan`. False if it has them already, or was ended meanwhile."""
    locked = lock_runs(act.tx, [debounce.run_id])
    act.tx.all("drop_debounce", run_id=debounce.run_id)
    if not locked or RunStatus(locked[0].status).is_final:
        return False
    is_started = write_steps(act, debounce.run_id, plan)
    hold_paused(act.tx, locked)
    act.tx.later("wake")
    return is_started


def waiting_debounce(tx: Transaction, run_id: str, now: datetime) -> tuple[str, str, datetime, int] | None:
    """(key, keep, due at, number of starts so far) of the debounce for which a run without steps waits."""
    rows = tx.all("debounce_of_run", run_id=run_id)
    if not rows:
        return None
    key, keep, due_at, seen = rows[0]
    return key, keep, moment_of(tx, due_at) or now, seen


def with_items(plan: Plan, items: Sequence[msgspec.Raw]) -> Plan:
    """The plan of a single task with another list as its only argument."""
    arguments = _encode([[list(items)], {}]).decode()
    node = msgspec.structs.replace(plan.nodes[0], args=arguments, holes=())
    terms = None if plan.terms is None else msgspec.structs.replace(plan.terms, arguments=None)
    return msgspec.structs.replace(plan, nodes=(node,), terms=terms)


def fail_debounce(act: Act, debounce: OpenDebounce, error: ErrorInfo) -> None:
    """End the run of a closed debounce as failed, because no plan can be made from its starts.

    Another process, with another version of the code, may have made a plan and started the run: then it is left alone.
    """
    locked = lock_runs(act.tx, [debounce.run_id])
    is_mine = bool(act.tx.all("drop_debounce", run_id=debounce.run_id))
    if locked and is_mine and fail_fast(act, debounce.run_id, bare(debounce.workflow), error):
        Propagation(act).run([], ending=[debounce.run_id])


def forget_starts(act: Act) -> int:
    """A chore: delete remembered starts that are old enough. Returns how many.

    Starts that a debounce still needs are kept, however long its window is.
    """
    before = first_id_at(earlier(act.now, REMEMBERED))
    return len(act.tx.all("forget_starts", before=before, limit=FORGOTTEN_AT_ONCE))
