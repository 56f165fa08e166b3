"""What a verb for many runs would be applied to. Looking changes nothing; the form there starts a run that does it."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any
from urllib.parse import parse_qsl

import msgspec

from segue.client.preview import MOST_COUNTED
from segue.client.wording import counted
from segue.errors import ConfigError, DefinitionError
from segue.web.api.shown import masked_run
from segue.web.pages.frame import Page, View, page
from segue.web.pages.runs import VERBS, filter_pairs
from segue.web.rendering import linked
from segue.web.roles import Role
from segue.web.search_grammar import Pairs, SearchError, filters_of, written

MOST_IDS = 200
CONFIRMED_ABOVE = 100
"""To act on more runs, a person types how many they are."""

DONE = {"retry": "retried", "pause": "paused", "resume": "resumed", "cancel": "cancelled", "annotate": "tagged"}


@page("/bulk", Role.OPERATOR)
def bulk_page(view: View) -> Page:
    """A preview: how many runs, of which workflows, with which errors; and the button."""
    given = parse_qsl(view.query)
    verb = dict(given).get("verb", "")
    ids = [value for name, value in given if name == "ids"]
    pairs = filter_pairs(given)
    back = linked("/runs", pairs)
    problem = _problem(verb, ids, everything="all" in dict(given))
    if not problem:
        try:
            filters: dict[str, Any] = dict(filters_of(pairs, now=view.now, zone=view.zone))
            return _preview(view, verb, {"ids": ids} if ids else _absolute(filters, view.now), pairs, back)
        except (SearchError, ConfigError, DefinitionError) as error:
            problem = str(error)
    data = {"problem": problem, "verb": verb, "preview": None}
    return Page("bulk.html", "Many runs", data, status=400, also={"back": back})


def _preview(view: View, verb: str, chosen: dict[str, Any], pairs: Pairs, back: str) -> Page:
    found = view.call.segue.select(**chosen).preview(verb)
    preview = msgspec.structs.replace(found, first=tuple(masked_run(view.call, run) for run in found.first))
    many = "more than 10,000 runs" if found.count >= MOST_COUNTED else counted(found.count, "run")
    also = {
        "back": back, "fields": _fields(chosen), "many": many, "done": DONE[verb], "word": VERBS[verb],
        "filter": written(pairs) or "all runs", "by_ids": "ids" in chosen,
        "expected": min(found.count, MOST_COUNTED - 1) if found.count > CONFIRMED_ABOVE else None,
    }  # fmt: skip
    data = {"preview": preview, "verb": verb, "problem": None}
    return Page("bulk.html", f"{VERBS[verb]} {many}", data, also=also)


def _problem(verb: str, ids: list[str], *, everything: bool) -> str:
    """Why there is nothing to preview; "" if there is."""
    if verb not in VERBS:
        return f"Choose what to do: {', '.join(VERBS.values())}."
    if len(ids) > MOST_IDS:
        return f"{len(ids)} runs are selected; at most {MOST_IDS} can be. Use a filter instead."
    if not ids and not everything:
        return "No run is selected. Check the boxes before the runs, or choose all that match."
    return ""


def _absolute(filters: Mapping[str, Any], now: datetime) -> dict[str, Any]:
    """Ages as points in time: what is done later must be what was seen."""
    found = {name: value for name, value in filters.items() if name not in ("newer_than", "older_than")}
    since = [filters["since"]] if "since" in filters else []
    until = [filters["until"]] if "until" in filters else []
    since += [now - filters["newer_than"]] if "newer_than" in filters else []
    until += [now - filters["older_than"]] if "older_than" in filters else []
    return found | ({"since": max(since)} if since else {}) | ({"until": min(until)} if until else {})


def _fields(chosen: Mapping[str, Any]) -> Pairs:
    """The filters as the fields of the operation."""
    found: Pairs = []
    for name, value in chosen.items():
        if name in ("metadata", "arguments"):
            field = "meta" if name == "metadata" else "arg"
            found += [(field, f"{key}={msgspec.json.encode(each).decode()}") for key, each in value.items()]
        elif isinstance(value, list):
            found += [(name, str(each)) for each in value]
        else:
            found.append((name, value.astimezone(UTC).isoformat() if isinstance(value, datetime) else str(value)))
    return found
