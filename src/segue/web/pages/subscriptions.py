"""Subscriptions: which events are sent where, and whether that works."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from segue.client.records import destination, subscription_record
from segue.client.views import RunInfo, SubscriptionInfo
from segue.engine.subscriptions import NOTIFICATION
from segue.errors import ConfigError
from segue.masking import masked_text
from segue.observing.kinds import KINDS, expand
from segue.web.api.system import list_subscriptions
from segue.web.pages.frame import Page, View, page
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


def subscription_preview(view: View, given: Mapping[str, str]) -> Page:
    """What will be sent where, and the button that makes it so."""
    name, to = given.get("name", "").strip(), given.get("to", "").strip()
    problem = "" if "://" in to else "The target is no URL."
    problem = problem if name else "The name is empty."
    kinds: list[str] = []
    try:
        kinds = sorted(expand(given.get("events", "").split()))
    except ConfigError as error:
        problem = str(error)
    existing = any(each.name == name for each in list_subscriptions(view.call))
    data = {
        "name": name or "New subscription",
        "to": to,
        "events": kinds,
        "problem": problem or None,
        "replaces": existing,
    }
    status = 400 if problem else 200
    also = {"shown_to": masked_text(to.split("?")[0]), "given": {"events": "", "workflow": "", **given}}
    return Page("subscription_new.html", f"Subscription {name}", data, status=status, also=also)


def _of(subscription: SubscriptionInfo, runs: Sequence[RunInfo]) -> list[RunInfo]:
    """The newest notifications of a subscription; the key of such a run begins with its name."""
    return [run for run in runs if (run.key or "").rpartition(":")[0] == subscription.name][:SHOWN]
