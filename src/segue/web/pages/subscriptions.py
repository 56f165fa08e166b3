"""Subscriptions: which events are sent where, and whether that works."""

from __future__ import annotations

from urllib.parse import parse_qsl

from segue.client.records import destination, subscription_record
from segue.client.views import RunInfo, SubscriptionInfo
from segue.engine.subscriptions import NOTIFICATION
from segue.errors import ConfigError
from segue.observing.kinds import KINDS, expand
from segue.web.api.system import list_subscriptions
from segue.web.pages.frame import Page, Redirect, View, page
from segue.web.roles import Role

LOOKED_AT = 200
SHOWN = 5


@page("/subscriptions", Role.ADMIN)
def subscriptions(view: View) -> Page:
    """All subscriptions, with their last notifications."""
    found = list_subscriptions(view.call)
    newest = view.call.segue.runs(workflow=NOTIFICATION, limit=LOOKED_AT) if found else []
    rows = [(each, destination(each), _of(each, newest)) for each in found]
    data = {"subscriptions": [subscription_record(each) for each in found]}
    return Page("subscriptions.html", "Subscriptions", data, also={"rows": rows, "kinds": sorted(KINDS)})


@page("/new/subscription", Role.ADMIN)
def new_subscription(view: View) -> Page | Redirect:
    """What will be sent where, and the button that makes it so."""
    given = dict(parse_qsl(view.query))
    name, to = given.get("name", "").strip(), given.get("to", "").strip()
    if not name:
        return Redirect("/subscriptions")
    problem = "" if "://" in to else f"{to[:100]!r} is no URL."
    kinds: list[str] = []
    try:
        kinds = sorted(expand(given.get("events", "").split()))
    except ConfigError as error:
        problem = str(error)
    existing = any(each.name == name for each in list_subscriptions(view.call))
    data = {"name": name, "to": to, "events": kinds, "problem": problem or None, "replaces": existing}
    status = 400 if problem else 200
    return Page("subscription_new.html", f"Subscription {name}", data, status=status, also={"given": {"events": "", "workflow": ""} | given})


def _of(subscription: SubscriptionInfo, runs: list[RunInfo]) -> list[RunInfo]:
    """The newest notifications of a subscription; the key of such a run begins with its name."""
    return [run for run in runs if (run.key or "").rpartition(":")[0] == subscription.name][:SHOWN]
