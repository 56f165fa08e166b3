"""The graph and the timeline of a run."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from urllib.parse import parse_qs, urlencode

from segue.client import Run
from segue.client.views import RunInfo
from segue.engine.views.graph import GraphStep, RunGraph, graph_of_run
from segue.model import StepStatus
from segue.web.drawing.folding import fold
from segue.web.drawing.graph_svg import graph_svg
from segue.web.drawing.of_run import graph_of, spans_of, timeline_of
from segue.web.drawing.timeline import critical_path, divided_time
from segue.web.drawing.timeline_svg import MOST_ROWS, timeline_svg
from segue.web.kept import soon_of_run
from segue.web.pages.frame import Page, View
from segue.web.pages.run_head import head_of, page_of_run, soon_counted, topic_of
from segue.web.requests import number_of

MOST_OPENED = 20
NOTHING = RunGraph((), (), ())

MOST_ATTEMPTS_STEPS = 5000
"""In a run with more steps, the timeline does not show each retry."""


@page_of_run("/graph")
def graph_page(view: View, run: Run[Any], info: RunInfo) -> Page:
    """The graph of a run, with groups and returned plans folded; `open` names those that are not."""
    opened = _opened(view)
    known = _read(view, run, info, opened)
    read = known or NOTHING

    def opener(step: GraphStep) -> str:
        others = [number for number in opened if number != step.first]
        now = others if step.first in opened else [*opened, step.first]
        query = urlencode([("open", number) for number in now])
        return f"{view.root}/runs/{run.id}/graph" + (f"?{query}" if query else "")

    graph = graph_of(read, link=lambda step: _link(view, run, step), opener=opener)
    folded = fold(graph, opened=[str(number) for number in opened])
    head = head_of(view, info, _counts(view, run, info, known))
    also = {
        "head": head, "svg": graph_svg(folded) if folded.nodes else "", "left_out": folded.left_out,
        "is_cut": read.is_cut, "opened": opened, "is_reading": known is None,
    }  # fmt: skip
    data = head.data() | {"graph": read}
    return Page("run_graph.html", f"Graph · {head.title}", data, live=topic_of(info), also=also)


@page_of_run("/timeline")
def timeline_page(view: View, run: Run[Any], info: RunInfo) -> Page:
    """When the steps of a run waited and ran, and which of them decided how long it took."""
    known = _read(view, run, info, _opened(view))
    read = known or NOTHING
    attempts = run.attempts() if info.steps <= MOST_ATTEMPTS_STEPS else []
    rows = timeline_of(read, attempts, link=lambda step: _link(view, run, step))
    spans, parents = spans_of(read)
    critical = critical_path(spans, parents) if info.status.is_final else ()
    waited, ran = divided_time(critical, spans)
    names = {str(step.first): step.name for step in read.steps}
    head = head_of(view, info, _counts(view, run, info, known))
    also = {
        "head": head, "left_out": max(len(rows) - MOST_ROWS, 0), "waited": waited, "ran": ran,
        "is_reading": known is None,
        "svg": timeline_svg(rows, now=info.finished_at or view.now, zone=view.zone, critical=critical) if rows else "",
    }  # fmt: skip
    data = head.data() | {"critical_path": [names.get(one, one) for one in critical]}
    return Page("run_timeline.html", f"Timeline · {head.title}", data, live=topic_of(info), also=also)


def _read(view: View, run: Run[Any], info: RunInfo, opened: list[int]) -> RunGraph | None:
    def look() -> RunGraph:
        with view.call.segue.engine.reading() as tx:
            return graph_of_run(tx, run.id, opened=opened, steps=info.steps)

    return soon_of_run(view, info, ("graph", *opened), look)


def _counts(view: View, run: Run[Any], info: RunInfo, read: RunGraph | None) -> Mapping[StepStatus, int] | None:
    """The number of its steps in each status, from its graph if that has all of them; None while they are read."""
    if read is None:
        return None
    if sum(step.count for step in read.steps) != info.steps:
        return soon_counted(view, run, info)
    counts: dict[StepStatus, int] = {}
    for step in read.steps:
        for status, count in step.counts.items() if not step.is_joint else ():
            counts[StepStatus(status)] = counts.get(StepStatus(status), 0) + count
    return counts


def _link(view: View, run: Run[Any], step: GraphStep) -> str:
    if step.count > 1:
        return f"{view.root}/runs/{run.id}/groups/{step.first}"
    return f"{view.root}/runs/{run.id}/steps/{step.first}"


def _opened(view: View) -> list[int]:
    given = parse_qs(view.query).get("open", [])[:MOST_OPENED]
    return sorted({number for each in given if (number := number_of(each)) is not None})
