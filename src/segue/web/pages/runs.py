"""The list of runs: search, filters in the URL, and boxes to select some."""

from __future__ import annotations

from collections.abc import Iterable
from urllib.parse import parse_qsl

import msgspec

from segue.client.selection import RunFilters
from segue.client.views import RunInfo, RunPage, count_steps_of
from segue.errors import ConfigError
from segue.model import RunStatus, StepStatus
from segue.web.api.shown import masked_run
from segue.web.operations import Call
from segue.web.pages.frame import Page, Redirect, View, page
from segue.web.pages.saved_views import saved_of
from segue.web.rendering import linked
from segue.web.search_grammar import OTHERS, Pairs, SearchError, filters_of, parsed, written

VERBS = {"retry": "Retry", "pause": "Pause", "resume": "Resume", "cancel": "Cancel", "annotate": "Tag"}
"""What can be done to many runs at once, and how it is called."""

MOST_COUNTED = 5000
"""Steps whose statuses are counted for a list; counting more would make the list slow."""

PRESETS: tuple[tuple[str, Pairs], ...] = (
    ("failed", [("status", "failed")]), ("running", [("status", "running")]), ("pending", [("status", "pending")]),
    ("paused", [("status", "paused")]), ("last hour", [("newer_than", "1h")]),
)  # fmt: skip
"""Filters that are one press away."""


class Chip(msgspec.Struct, frozen=True):
    """A filter that is on, and the page without it."""

    text: str
    without: str


@page("/runs")
def runs(view: View) -> Page | Redirect:
    """Runs, the newest first; failed ones by the time of their failure."""
    given = parse_qsl(view.query, keep_blank_values=True)
    typed = next((value for name, value in given if name == "q"), None)
    pairs = filter_pairs(given)
    problem = ""
    if typed is not None:
        try:
            return Redirect(linked("/runs", parsed(typed)))
        except SearchError as error:
            problem = str(error)
    found = RunPage((), None)
    counts: dict[str, dict[StepStatus, int]] = {}
    if not problem:
        try:
            found = found_runs(view, pairs, dict(given).get("before"))
            counts = step_counts(view.call, found.runs)
        except (SearchError, ConfigError) as error:
            problem = str(error)
    shown = [masked_run(view.call, run) for run in found.runs]
    data = {
        "runs": shown, "next": found.next, "looked_back_to": found.looked_back_to, "by_failure": found.by_failure,
        "counts": {id_: {status.value: number for status, number in each.items()} for id_, each in counts.items()},
        "problem": problem or None,
    }  # fmt: skip
    chips = [
        Chip(written([pair]), linked("/runs", [other for index, other in enumerate(pairs) if index != place]))
        for place, pair in enumerate(pairs)
    ]
    presets = [
        (word, linked("/runs", [*_without(pairs, more), *more])) for word, more in PRESETS if more[0] not in pairs
    ]
    also = {
        "typed": written(pairs) if typed is None else typed, "chips": chips, "presets": presets, "filters": pairs,
        "verbs": VERBS if view.call.may("cancel_run") else {}, "is_later": "before" in dict(given),
        "all_link": lambda verb: linked("/bulk", [("verb", verb), ("all", "1"), *pairs]),
        "filter_link": linked("/filter", pairs),
        "saved": saved_of(view, linked("/runs", pairs), may_save=bool(pairs) and not problem),
    }  # fmt: skip
    title = f"Runs · {written(pairs)}" if pairs else "Runs"
    is_first = "before" not in dict(given) and not problem
    return Page("runs.html", title, data, live="runs" if is_first else None, status=400 if problem else 200, also=also)


def filter_pairs(given: Iterable[tuple[str, str]]) -> Pairs:
    """The parameters of a page that are filters."""
    return [(name, value) for name, value in given if name not in OTHERS]


def found_runs(view: View, pairs: Pairs, cursor: str | None, limit: int = 50) -> RunPage:
    """A page of the runs that match. Raises SearchError or ConfigError."""
    chosen: RunFilters = filters_of(pairs, now=view.now, zone=view.zone)
    return view.call.segue.pages(cursor=cursor, limit=limit, **chosen)


def step_counts(call: Call, runs: Iterable[RunInfo]) -> dict[str, dict[StepStatus, int]]:
    """How the steps of the runs in a list are: of those that live or failed, and are not large. One statement."""
    is_worth = {RunStatus.RUNNING, RunStatus.PAUSED, RunStatus.FAILED, RunStatus.CANCELLED}
    ids, left = [], MOST_COUNTED
    for run in runs:
        if run.status in is_worth and 1 < run.steps <= left:
            ids.append(run.id)
            left -= run.steps
    with call.segue.engine.reading() as tx:
        return count_steps_of(tx, ids)


def _without(pairs: Pairs, others: Pairs) -> Pairs:
    names = {name for name, _ in others}
    return [pair for pair in pairs if pair[0] not in names]
