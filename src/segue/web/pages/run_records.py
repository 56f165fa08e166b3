"""The values of a run, and what people and alarms did to it."""

from __future__ import annotations

from typing import Any
from urllib.parse import parse_qs

from segue.client import Run
from segue.client.masked_views import without_secrets
from segue.client.views import RunInfo
from segue.client.without_secrets import shown_arguments, shown_result
from segue.errors import SegueError
from segue.model import RunStatus
from segue.web.api.shown import masked_run
from segue.web.operations import Call
from segue.web.pages.frame import Page, View
from segue.web.pages.run_head import head_of, page_of_run, soon_counted, topic_of
from segue.web.pages.step import with_names

MOST_EVENTS = 50
MOST_FORKS = 20


@page_of_run("/data")
def data_page(view: View, run: Run[Any], info: RunInfo) -> Page:
    """The arguments, the result, the metadata and the forks of a run."""
    head = head_of(view, info, soon_counted(view, run, info))
    arguments = None
    if info.arguments is not None:
        shown = shown_arguments(view.call.masker, info.workflow, info.arguments)
        arguments = with_names(view.call, info.workflow, shown)
    result, problem = _result(view.call, run, info)
    forks = view.call.segue.runs(forked_from=run.id, limit=MOST_FORKS)
    data = head.data() | {"result": result, "forks": [masked_run(view.call, fork) for fork in forks]}
    also = {"head": head, "arguments": arguments, "problem": problem}
    return Page("run_data.html", f"Data · {head.title}", data, live=topic_of(info), also=also)


@page_of_run("/activity")
def activity_page(view: View, run: Run[Any], info: RunInfo) -> Page:
    """Who did what to a run and why, and its alerts; the newest first."""
    head = head_of(view, info, soon_counted(view, run, info))
    before = parse_qs(view.query).get("before", [None])[-1]
    events = [without_secrets(each) for each in view.call.segue.events.list(run.id, before=before, limit=MOST_EVENTS)]
    data = head.data() | {"events": events, "next": events[-1].id if len(events) == MOST_EVENTS else None}
    live = None if before else topic_of(info)
    also = {"head": head, "is_later": before}
    return Page("run_activity.html", f"Activity · {head.title}", data, live=live, also=also)


def _result(call: Call, run: Run[Any], info: RunInfo) -> tuple[Any, str]:
    """The result of a run that has one, and why it cannot be shown."""
    if info.status is not RunStatus.SUCCEEDED:
        return None, ""
    try:
        return shown_result(call.masker, info.workflow, run.result()), ""
    except (SegueError, TypeError) as error:  # TypeError: this process has the code, which made no JSON value of it
        return None, str(error)
