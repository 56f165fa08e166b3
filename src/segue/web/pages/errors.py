"""What failed, by the kind of error: the list, and one kind with its newest failures and a traceback."""

from __future__ import annotations

from datetime import timedelta
from typing import Annotated
from urllib.parse import parse_qsl

import msgspec

from segue.client.masked_views import without_secrets
from segue.client.views import ErrorGroups, FailedAttempt
from segue.masking import masked_text
from segue.web.pages.frame import Page, View, page
from segue.web.pages.saved_views import saved_of
from segue.web.rendering import linked
from segue.web.requests import decoded_query
from segue.web.tracebacks import shown_traceback

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
    """Which page of the failures of a kind."""

    cursor: Text | None = None


@page("/errors")
def errors(view: View) -> Page:
    """The kinds of errors since a time, the most frequent first."""
    query = decoded_query(ErrorsQuery, view.query)
    since = view.now - timedelta(seconds=query.newer_than)
    found: ErrorGroups = view.call.segue.failures.groups(since=since, task=query.task, type=query.type)
    groups = tuple(msgspec.structs.replace(each, message=masked_text(each.message)) for each in found.groups)
    found = msgspec.structs.replace(found, groups=groups)
    total = sum(group.count for group in found.groups)
    title = f"Errors ({total:,})" if total else "Errors"
    filters = [(name, value) for name, value in parse_qsl(view.query) if value]
    also = {"query": query, "spans": SPANS, "saved": saved_of(view, linked("/errors", filters), may_save=bool(filters))}
    return Page("errors.html", title, {"errors": found}, live="errors", also=also)


@page("/errors/{fingerprint}")
def error_of_kind(view: View) -> Page:
    """One kind of error: its newest failures, and the traceback of the last one."""
    query = decoded_query(ErrorQuery, view.query)
    found = view.call.segue.failures.get(view.path["fingerprint"], cursor=query.cursor)
    newest: FailedAttempt | None = found.failures[0] if found.failures else None
    error = None if newest is None or newest.error is None else without_secrets(newest.error)
    found = msgspec.structs.replace(found, failures=tuple(map(_without_secrets, found.failures)))
    name = "error" if error is None else error.type
    also = {
        "newest": newest, "error": error,
        "trace": shown_traceback(error.traceback) if error is not None and error.traceback else None,
        "older": found.next, "is_first": query.cursor is None,
    }  # fmt: skip
    return Page("error.html", f"✗ {name}", {"error_kind": found}, also=also)


def _without_secrets(failure: FailedAttempt) -> FailedAttempt:
    if failure.error is None:
        return failure
    return msgspec.structs.replace(failure, error=without_secrets(failure.error))
