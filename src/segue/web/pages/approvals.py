"""The steps that wait for a person: one card for each, with the arguments of its run and the answers."""

from __future__ import annotations

import hashlib
from typing import Any

import msgspec

from segue.client.views import RunInfo, WaitInfo, run_infos
from segue.jsonable import Jsonable
from segue.web.api.events import ApprovalsPage, ApprovalsQuery, list_approvals
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
    found = list_approvals(view.call, query=query)
    waits = found.items
    runs = _runs(view, sorted({wait.run_id for wait in waits}))
    first: dict[tuple[str, str], WaitInfo] = {}
    for wait in sorted([*waits, *_beside(view, found, query)], key=lambda each: (each.since, each.step)):
        first.setdefault((wait.run_id, wait.name), wait)
    cards = []
    for wait in waits:
        ahead = first[wait.run_id, wait.name]
        behind = None if ahead is wait else ahead.step_name
        cards.append(Card(wait, answer_key(wait), runs.get(wait.run_id), behind))
    title = f"Approvals ({len(cards)}{'+' if found.next else ''})" if cards and query.after is None else "Approvals"
    data = {"approvals": cards, "next": found.next}
    live = "approvals" if query.after is None else None
    return Page("approvals.html", title, data, live=live, also={"query": query})


def answer_key(wait: WaitInfo) -> str:
    """The key under which the answer to a wait is sent. Who answers first decides; a second answer changes nothing."""
    what = f"{wait.run_id} {wait.step} {wait.name} {wait.since.isoformat()}"
    return f"web-{hashlib.blake2b(what.encode(), digest_size=10).hexdigest()}"


def _beside(view: View, found: ApprovalsPage, query: ApprovalsQuery) -> list[WaitInfo]:
    """The waits of the first and the last run of a page that are on the pages beside it."""
    if not found.items:
        return []
    first, last = found.items[0], found.items[-1]
    edges = {(first.run_id, -1)} if query.after is not None else set()
    edges |= {(last.run_id, last.step)} if found.next is not None else set()
    beside = [wait for edge in edges for wait in view.call.segue.approvals.page(after=edge, limit=MOST)]
    shown = {(wait.run_id, wait.step) for wait in found.items}
    runs = {first.run_id, last.run_id}
    return [wait for wait in beside if wait.run_id in runs and (wait.run_id, wait.step) not in shown]


def _runs(view: View, ids: list[str]) -> dict[str, RunInfo]:
    with view.call.segue.engine.reading() as tx:
        found = run_infos(tx, ids)
    return {run.id: view.call.masker.run(run) for run in found}
