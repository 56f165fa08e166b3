"""What a person may choose for their own browser, who they are here, and the keys."""

from __future__ import annotations

from zoneinfo import available_timezones

from segue.web.api.access import get_me
from segue.web.operations import OPERATIONS
from segue.web.pages.frame import Page, View, page

PAGES_BY_KEY = (
    "a page: n now, r runs, w workflows, e errors, a approvals, s schedules, q queues, k workers, l limits, v events"
)
KEYS = (
    ("?", "this table"), ("/", "find"), ("g, then a letter", PAGES_BY_KEY), ("j, k", "the next row, the one before"),
    ("x", "select the row"), ("Enter", "open the row"), ("[, ]", "the page before, the next one"),
    ("p", "pause live changes, or go on"), ("e", "why it is so"), (".", "what can be done"), ("t", "light or dark"),
    ("+ - 0", "a graph: larger, smaller, as it was"), ("Esc", "leave a field; close the step beside the run"),
)  # fmt: skip
"""The keys, in the order in which people learn them."""


@page("/settings")
def settings(view: View) -> Page:
    """Mine: zone, theme, density, keys; and what I may do."""
    me = get_me(view.call)
    may = sorted(each.summary for each in OPERATIONS.values() if each.changes and each.is_allowed(view.call.identity))
    data = {
        "me": me, "zone": view.zone.key, "theme": view.theme or "system",
        "density": view.settings.get("density") or "normal", "has_keys": view.settings.get("keys") != "off",
    }  # fmt: skip
    also = {"zones": sorted(available_timezones()), "keys": KEYS, "possible": may}
    return Page("settings.html", "Settings", data, also=also)
