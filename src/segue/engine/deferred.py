"""Starts of work whose code the starting process does not have: a process that has it calls it.

Such a run is like that of a debounced start with a single start: it exists, pending and without steps, and a debounce
without a plan keeps the arguments. The debounce is closed from the beginning, and its key is the id of the run.

Promise: a start that returned is durable; it counts once, however often it is repeated.
"""

from __future__ import annotations

from datetime import datetime

import msgspec

from segue.engine.act import Act
from segue.engine.acting import present_actor
from segue.engine.debounce import Keep
from segue.engine.start import NewRun, insert_run
from segue.plan.graph import Plan, RunTerms
from segue.plan.labels import with_terms


class DeferredStart(msgspec.Struct, frozen=True):
    """What to start. Its `id` is that of the run, and is made beforehand."""

    id: str
    workflow: str  # the stored name of a workflow or task
    arguments: str  # JSON [args, kwargs]
    terms: RunTerms
    key: str | None = None
    reuses_key: bool = False
    due_at: datetime | None = None  # None: now


def defer_start(act: Act, start: DeferredStart) -> str:
    """Insert the run of a start. Returns its id; that of an older run if it has the key."""
    shown = msgspec.structs.replace(start.terms, arguments=start.arguments)
    plan = with_terms(Plan(name=start.workflow, nodes=(), result=None), shown)
    id_ = insert_run(act, NewRun(start.id, plan, start.key, start.reuses_key, present_actor()))
    if id_ != start.id:
        return id_
    act.tx.all(
        "insert_debounce", run_id=id_, workflow=start.workflow, key=id_, keep=Keep.LAST, now=act.now,
        due_at=start.due_at or act.now, is_closed=True, plan=None, bytes=len(start.arguments.encode()), starts="",
        terms=msgspec.json.encode(start.terms).decode(),
    )  # fmt: skip
    act.tx.all("put_start", id=id_, run_id=id_, position=0, arguments=start.arguments)
    act.tx.later("wake")
    return id_
