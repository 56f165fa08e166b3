"""What people did, alerts, and the steps that wait for a person."""

from __future__ import annotations

from typing import Annotated

import msgspec

from segue.client.masked_views import without_secrets
from segue.client.views import ALERTS, EventInfo, MessageInfo, WaitInfo
from segue.web.api.given import Limit, Text
from segue.web.operations import Call, operation
from segue.web.roles import Role


class EventsQuery(msgspec.Struct, forbid_unknown_fields=True, omit_defaults=True):
    """Which events, and which page of them. A kind may be a pattern, as "run.*"; "alert" means all alerts."""

    kind: list[Text] = []
    run: Text | None = None
    actor: Text | None = None  # who did it
    before: Text | None = None
    limit: Limit = 50


class EventsPage(msgspec.Struct):
    """Events, the newest first, and where the next page begins: give `next` as `before`."""

    items: list[EventInfo]
    next: str | None


class RunEventsQuery(msgspec.Struct, forbid_unknown_fields=True, omit_defaults=True):
    """Which page."""

    kind: list[Text] = []
    before: Text | None = None
    limit: Limit = 50


class MessagesQuery(msgspec.Struct, forbid_unknown_fields=True, omit_defaults=True):
    """Which page."""

    after: Annotated[int, msgspec.Meta(ge=-1, le=2**31 - 1)] = -1  # the position of a message
    limit: Limit = 50


class MessagesPage(msgspec.Struct):
    """Messages in the order of sending, and where the next page begins: give `next` as `after`."""

    items: list[MessageInfo]
    next: str | None


class ApprovalsQuery(msgspec.Struct, forbid_unknown_fields=True, omit_defaults=True):
    """Which waits."""

    workflow: Text | None = None
    name: Text | None = None  # of the message
    limit: Limit = 100


@operation("GET", "/events", Role.VIEWER)
def list_events(call: Call, query: EventsQuery) -> EventsPage:
    """What people did to runs, and alerts, the newest first."""
    about = None if query.run is None else call.segue.get(query.run).id
    return _page(call, about, query.kind, query.before, query.limit, query.actor)


@operation("GET", "/runs/{run_id}/events", Role.VIEWER)
def list_run_events(call: Call, run_id: str, query: RunEventsQuery) -> EventsPage:
    """What happened to a run, the newest first."""
    return _page(call, call.segue.get(run_id).id, query.kind, query.before, query.limit)


@operation("GET", "/runs/{run_id}/messages", Role.VIEWER)
def list_messages(call: Call, run_id: str, query: MessagesQuery) -> MessagesPage:
    """The messages that were sent to a run, in the order of sending, with their values without secrets."""
    found = call.segue.get(run_id).messages(after=query.after, limit=query.limit)
    shown = [without_secrets(each) for each in found]
    return MessagesPage(shown, str(found[-1].position) if len(found) == query.limit else None)


@operation("GET", "/approvals", Role.VIEWER)
def list_approvals(call: Call, query: ApprovalsQuery) -> list[WaitInfo]:
    """The steps that wait for a message, those of the oldest runs first. Answer one with POST /runs/{run_id}/send."""
    return call.segue.approvals.list(workflow=query.workflow, name=query.name, limit=query.limit)


def _page(
    call: Call, about: str | None, kinds: list[str], before: str | None, limit: int, actor: str | None = None
) -> EventsPage:
    wanted = [found for kind in kinds for found in (ALERTS if kind == "alert" else (kind,))]
    found = call.segue.events.list(about, kinds=wanted, actor=actor, before=before, limit=limit)
    return EventsPage([without_secrets(each) for each in found], found[-1].id if len(found) == limit else None)
