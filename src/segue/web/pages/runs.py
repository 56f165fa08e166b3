"""The list of runs."""

from __future__ import annotations

from segue.web.api.runs import RunsQuery, list_runs
from segue.web.pages.frame import Page, View, page
from segue.web.requests import decoded_query


@page("/runs")
def runs(view: View) -> Page:
    """Runs, the newest first, by the same filters as the API."""
    query = decoded_query(RunsQuery, view.query)
    return Page("runs.html", "Runs", {"page": list_runs(view.call, query=query), "query": query}, live="runs")
