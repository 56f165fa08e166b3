"""Workers: those that are alive, what each holds, and those that were lost or stopped."""

from __future__ import annotations

from datetime import datetime
from typing import Any, Literal
from uuid import UUID

import msgspec

from segue.client.views import HeldStep, WorkerInfo
from segue.engine.views.held import MOST_HELD, held_by_worker, held_by_workers
from segue.jsonable import Jsonable
from segue.web.api.given import Text
from segue.web.pages.frame import Page, View, page
from segue.web.problems import ProblemError
from segue.web.requests import decoded_query

ENDED = 50
LOOKED_THROUGH = 2000
"""Workers that have ended among which one is looked for by its id."""


class WorkersQuery(msgspec.Struct, forbid_unknown_fields=True, omit_defaults=True):
    """Which of those that have ended, and which page of them."""

    ended: Literal["lost", "stopped"] | None = None
    before: Text | None = None


class Row(Jsonable, msgspec.Struct, frozen=True):
    """A worker, how it is, and how many steps it holds."""

    worker: WorkerInfo
    state: str  # alive, stopping, silent: its lease has expired; lost, stopped
    held: int

    def to_dict(self) -> dict[str, Any]:
        """The worker with its state and the number of its steps."""
        return self.worker.to_dict() | {"state": self.state, "held": self.held}


@page("/workers")
def workers(view: View) -> Page:
    """The workers that have not ended; then those that have."""
    query = decoded_query(WorkersQuery, view.query)
    segue = view.call.segue
    with segue.engine.reading() as tx:
        held = held_by_workers(tx)
    alive = [Row(each, state_of(each, view.now), held.get(each.id, 0)) for each in segue.workers()]
    ended = [
        Row(each, each.status, held.get(each.id, 0))
        for each in segue.ended_workers(status=query.ended, before=query.before, limit=ENDED)
    ]
    silent = [row for row in alive if row.state == "silent"]
    title = f"⚠ {len(silent)} silent of {len(alive)} workers" if silent else f"Workers ({len(alive)})"
    data = {"workers": alive, "ended": ended, "next": ended[-1].worker.id if len(ended) == ENDED else None}
    return Page("workers.html", title, data, live="workers" if query.before is None else None, also={"query": query})


@page("/workers/{worker_id}")
def worker(view: View) -> Page:
    """One worker, and the steps that it holds."""
    found = _find(view, view.path["worker_id"])
    if found is None:
        raise ProblemError(404, "NotFound", "There is no such worker. Those that ended long ago are forgotten.")
    with view.call.segue.engine.reading() as tx:
        held: list[HeldStep] = held_by_worker(tx, found.id)
    state = state_of(found, view.now)
    data = {"worker": Row(found, state, len(held)), "held": held, "is_cut": len(held) == MOST_HELD}
    glyph = {"silent": "⚠ ", "lost": "✗ "}.get(state, "")
    return Page("worker.html", f"{glyph}{found.name} · worker", data, live=f"worker:{found.id}", also={"info": found})


def state_of(worker: WorkerInfo, now: datetime) -> str:
    """How a worker is, in one word."""
    if worker.status not in ("running", "stopping"):
        return worker.status
    if worker.lease_until < now:
        return "silent"
    return "alive" if worker.status == "running" else "stopping"


def _find(view: View, id_: str) -> WorkerInfo | None:
    try:
        wanted = str(UUID(id_))
    except ValueError:
        return None
    segue = view.call.segue
    alive = next((each for each in segue.workers() if each.id == wanted), None)
    if alive is not None:
        return alive
    return next((each for each in segue.ended_workers(limit=LOOKED_THROUGH) if each.id == wanted), None)
