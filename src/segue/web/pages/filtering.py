"""A form for the filters of the list of runs, for those who do not know the words of its search box.

It is filled with the filters that are on. Sent, it leads to the list; what is not understood is said at the form.
"""

from __future__ import annotations

from collections.abc import Iterable
from urllib.parse import parse_qsl

import msgspec

from segue.model import RunStatus
from segue.web.kept import shared
from segue.web.pages.frame import Page, Redirect, View, page
from segue.web.rendering import linked
from segue.web.search_grammar import KEYED, MOST, NAMES, OTHERS, Pairs, SearchError, filters_of

MOST_WORKFLOWS = 200
"""Names that are suggested."""

AGES = (
    ("1h", "last hour"), ("24h", "last 24 hours"), ("7d", "last 7 days"), ("30d", "last 30 days"),
)  # fmt: skip
FIELDS = ("workflow", "key", "error_type", "newer_than", "older_than", "since", "until", "failed_since", "failed_until",
          "forked_from", "id_prefix")  # fmt: skip
"""Filters of which there is one."""


class Filled(msgspec.Struct, frozen=True):
    """The form as it is filled in."""

    one: dict[str, str]
    status: list[str]
    tags: list[str]
    metadata: Pairs
    arguments: Pairs


@page("/filter")
def filter_page(view: View) -> Page | Redirect:
    """The form; with `go`, the list that it describes."""
    given = parse_qsl(view.query, keep_blank_values=True)
    pairs, problem = written_pairs(given)[: MOST + 1], ""  # one more than are possible, so that it is said
    try:
        filters_of(pairs, now=view.now, zone=view.zone)
        if any(name == "go" for name, _ in given):
            return Redirect(linked("/runs", pairs))
    except SearchError as error:
        problem = str(error)
    known = {name for name in FIELDS if name in dict(pairs)}
    also = {
        "filled": _filled(pairs), "statuses": [status.value for status in RunStatus], "workflows": _workflows(view),
        "ages": AGES, "more": bool(known & {"older_than", "failed_since", "failed_until", "forked_from", "id_prefix"}),
        "problem": problem,
    }  # fmt: skip
    return Page("filter.html", "Filter runs", {"filters": pairs}, status=400 if problem else 200, also=also)


def written_pairs(given: Iterable[tuple[str, str]]) -> Pairs:
    """The fields of the form as the parameters of the list; what is not filled in is left out."""
    found: Pairs = []
    names: dict[str, str] = {}  # of the metadata or the argument whose value comes next
    for name, value in given:
        kind, _, part = name.partition(":")
        if part == "name":
            names[kind] = value.strip()
        elif part == "value" and kind + "." in KEYED:
            key = names.pop(kind, "")
            found += [(f"{kind}.{key}", value)] if key and value else []
        elif name == "tags":
            found += [("tag", line.strip()) for line in value.splitlines() if line.strip()]
        elif value and (name in NAMES.values() or name.startswith(KEYED)) and name not in OTHERS:
            found.append((name, value if name == "key" else value.strip()))
    return found


def _filled(pairs: Pairs) -> Filled:
    def of(start: str) -> Pairs:
        return [(name.removeprefix(start), value) for name, value in pairs if name.startswith(start)]

    several = {"status": [value for name, value in pairs if name == "status"],
               "tags": [value for name, value in pairs if name == "tag" and value.isprintable()]}  # fmt: skip
    return Filled(
        {name: value for name, value in pairs if name in FIELDS}, **several, metadata=of("meta."), arguments=of("arg.")
    )


def _workflows(view: View) -> list[str]:
    """The names that can be chosen."""
    return shared(
        view, "names of workflows", lambda: [each.name for each in view.call.segue.workflows(limit=MOST_WORKFLOWS)]
    )
