"""The steps that wait for a person: one card for each, with the arguments of its run and the answers."""

from __future__ import annotations

import hashlib
from typing import Any

import msgspec

from segue.client.views import RunInfo, WaitInfo, run_infos
from segue.jsonable import Jsonable
from segue.web.api.events import ApprovalsQuery, list_approvals
from segue.web.pages.frame import Page, View, page
from segue.web.requests import decoded_query

MOST = 50


class Card(Jsonable, msgspec.Struct, frozen=True):
    """A step that waits, and its run. `key` makes its answers count once, however often they are sent."""

    wait: WaitInfo
    key: str
    run: RunInfo | None  # None: it was deleted just now
    behind: str | None = None  # the step of this run that takes the message first, because it has waited longer

    def to_dict(self) -> dict[str, Any]:
        """The wait, with the key of its answer and the arguments of its run."""
        arguments = None if self.run is None else self.run.arguments
        return self.wait.to_dict() | {"answer_key": self.key, "arguments": arguments, "behind": self.behind}


@page("/approvals")
def approvals(view: View) -> Page:
    """The waits of a workflow, or for a message of this name, or all; those of the oldest runs first."""
    query = decoded_query(ApprovalsQuery, view.query)
    query = msgspec.structs.replace(query, limit=min(query.limit, MOST))
    waits = list_approvals(view.call, query=query)
    runs = _runs(view, sorted({wait.run_id for wait in waits}))
    first: dict[tuple[str, str], WaitInfo] = {}
    for wait in sorted(waits, key=lambda each: (each.since, each.step)):
        first.setdefault((wait.run_id, wait.name), wait)
    cards = [
        Card(wait, answer_key(wait), runs.get(wait.run_id), None if ahead is wait else ahead.step_name)
        for wait in waits
        if (ahead := first[wait.run_id, wait.name])
    ]
    title = f"Approvals ({len(cards)}{'+' if len(cards) == query.limit else ''})" if cards else "Approvals"
    data = {"approvals": cards, "is_cut": len(cards) == query.limit}
    return Page("approvals.html", title, data, live="approvals", also={"query": query})


def answer_key(wait: WaitInfo) -> str:
    """The key under which the answer to a wait is sent. Who answers first decides; a second answer changes nothing."""
    what = f"{wait.run_id} {wait.step} {wait.name} {wait.since.isoformat()}"
    return f"web-{hashlib.blake2b(what.encode(), digest_size=10).hexdigest()}"


def _runs(view: View, ids: list[str]) -> dict[str, RunInfo]:
    with view.call.segue.engine.reading() as tx:
        found = run_infos(tx, ids)
    return {run.id: view.call.masker.run(run) for run in found}
