"""What failed, by the kind of error: the list, and one kind with its newest failures and a traceback."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated

import msgspec

from segue.client.views import ErrorGroups, FailedAttempt
from segue.web.api.given import age, moment
from segue.web.pages.frame import Page, View, page
from segue.web.requests import decoded_query
from segue.web.tracebacks import Line, lines_of

Text = Annotated[str, msgspec.Meta(max_length=1000)]

SPANS: tuple[tuple[str, int], ...] = (
    ("last hour", 3600), ("last 24 hours", 86_400), ("last 7 days", 7 * 86_400), ("last 30 days", 30 * 86_400),
)  # fmt: skip
"""How far back people look, in seconds."""

A_DAY = 86_400


class ErrorsQuery(msgspec.Struct, forbid_unknown_fields=True, omit_defaults=True):
    """Since when, of which task, of which type."""

    newer_than: Annotated[float, msgspec.Meta(gt=0, le=1e9)] = A_DAY  # seconds
    task: Text | None = None
    type: Text | None = None


class ErrorQuery(msgspec.Struct, forbid_unknown_fields=True, omit_defaults=True):
    """Which page of the failures of a kind: those before this time."""

    before: datetime | None = None


@page("/errors")
def errors(view: View) -> Page:
    """The kinds of errors since a time, the most frequent first."""
    query = decoded_query(ErrorsQuery, view.query)
    back = age(query.newer_than)
    assert back is not None
    found: ErrorGroups = view.call.segue.failures.groups(since=view.now - back, task=query.task, type=query.type)
    total = sum(group.count for group in found.groups)
    title = f"Errors ({total:,})" if total else "Errors"
    return Page("errors.html", title, {"errors": found}, live="errors", also={"query": query, "spans": SPANS})


@page("/errors/{fingerprint}")
def error_of_kind(view: View) -> Page:
    """One kind of error: its newest failures, and the traceback of the last one."""
    query = decoded_query(ErrorQuery, view.query)
    before = None if query.before is None else moment(query.before)
    found = view.call.segue.failures.get(view.path["fingerprint"], before=before)
    newest: FailedAttempt | None = found.failures[0] if found.failures else None
    error = None if newest is None else newest.error
    lines: list[Line] = [] if error is None or not error.traceback else lines_of(error.traceback)
    name = "error" if error is None else error.type
    also = {
        "newest": newest, "error": error, "lines": lines,
        "older": found.failures[-1].at.isoformat() if len(found.failures) == 20 else None, "is_first": before is None,
    }  # fmt: skip
    return Page("error.html", f"✗ {name}", {"error_kind": found}, also=also)
