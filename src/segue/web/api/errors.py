"""Errors by kind: which attempts failed in the same way, and how often."""

from __future__ import annotations

from datetime import datetime, timedelta

import msgspec

from segue.client.masked_views import without_secrets
from segue.client.views import ErrorGroups, ErrorKind
from segue.web.api.given import Limit, Seconds, Text, moment
from segue.web.operations import Call, operation
from segue.web.roles import Role

A_DAY = 86_400.0


class ErrorsQuery(msgspec.Struct, forbid_unknown_fields=True, omit_defaults=True):
    """Which failures."""

    newer_than: Seconds = A_DAY  # seconds ago
    task: Text | None = None
    error_type: Text | None = None


class ErrorQuery(msgspec.Struct, forbid_unknown_fields=True, omit_defaults=True):
    """Which failures of a kind: those before a time, or those that follow a page (`next`)."""

    before: datetime | None = None
    cursor: Text | None = None
    limit: Limit = 20


@operation("GET", "/errors", Role.VIEWER)
def list_errors(call: Call, query: ErrorsQuery) -> ErrorGroups:
    """The kinds of errors among the newest 5,000 failed attempts at most, the most frequent first."""
    since = call.segue.engine.store.now() - timedelta(seconds=query.newer_than)
    return without_secrets(call.segue.failures.groups(since=since, task=query.task, type=query.error_type))


@operation("GET", "/errors/{fingerprint}", Role.VIEWER)
def get_error(call: Call, fingerprint: str, query: ErrorQuery) -> ErrorKind:
    """One kind of error, with its newest failed attempts and their tracebacks."""
    before = None if query.before is None else moment(query.before)
    return without_secrets(call.segue.failures.get(fingerprint, before=before, cursor=query.cursor, limit=query.limit))
