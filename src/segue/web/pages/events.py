"""The activity log and the audit log: what was done, by whom and why."""

from __future__ import annotations

from typing import Annotated, Any

import msgspec

from segue.client.masked_views import without_secrets
from segue.client.views import ALERTS, EventInfo
from segue.observing.kinds import KINDS
from segue.web.api.access import AuditQuery, list_audit
from segue.web.pages.frame import Page, View, page
from segue.web.requests import decoded_query
from segue.web.roles import Role

Text = Annotated[str, msgspec.Meta(max_length=1000)]
PAGE = 50

GROUPS = (
    ("alerts", "alert"), ("runs", "run.*"), ("steps", "step.*"), ("schedules", "schedule.*"), ("limits", "limit.*"),
    ("subscriptions", "subscription.*"), ("retention", "retention.*"),
)  # fmt: skip
"""The kinds that people look for together."""


class EventsQuery(msgspec.Struct, forbid_unknown_fields=True, omit_defaults=True):
    """Which events: of these kinds or patterns, of a person, of a run; and which page."""

    kind: list[Text] = []
    actor: Text | None = None
    run: Text | None = None
    before: Text | None = None


@page("/events")
def events(view: View) -> Page:
    """What people did, and alerts, the newest first."""
    query = decoded_query(EventsQuery, view.query)
    segue = view.call.segue
    about = None if query.run is None else segue.get(query.run).id
    kinds = [found for kind in query.kind for found in (ALERTS if kind == "alert" else (kind,))]
    found = segue.events.list(about, kinds=kinds, actor=query.actor, before=query.before, limit=PAGE)
    shown = [without_secrets(each) for each in found]
    data = {"events": shown, "next": found[-1].id if len(found) == PAGE else None}
    also = {"rows": [(each, *_said(each)) for each in shown], "query": query, "groups": _groups(), "meanings": KINDS}
    return Page("events.html", "Events", data, live="events" if query.before is None else None, also=also)


@page("/audit", Role.ADMIN)
def audit(view: View) -> Page:
    """Who did what here and over the API, from where, and whether it was allowed."""
    query = decoded_query(AuditQuery, view.query)
    query = msgspec.structs.replace(query, limit=PAGE, actor=query.actor or None, action=query.action or None)
    found = list_audit(view.call, query=query)
    return Page("audit.html", "Audit log", {"audit": found.items, "next": found.next}, also={"query": query})


def _groups() -> list[tuple[str, str]]:
    """Those groups of kinds that this version knows."""
    known = {kind.partition(".")[0] for kind in KINDS}
    return [(word, pattern) for word, pattern in GROUPS if pattern == "alert" or pattern.partition(".")[0] in known]


def _said(event: EventInfo) -> tuple[str | None, str | None, dict[str, Any]]:
    """Who did it, why, and everything else that is known."""
    rest = {name: value for name, value in event.detail.items() if name not in ("actor", "reason", "by")}
    actor = event.detail.get("actor", event.detail.get("by"))
    reason = event.detail.get("reason")
    return (None if actor is None else str(actor)), (None if reason is None else str(reason)), rest
