"""What several operations take: bounded texts and numbers, times, reasons, and the filters for runs."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Annotated, Any
from zoneinfo import ZoneInfo

import msgspec

from segue.client.selection import RunFilters
from segue.model import RunStatus
from segue.web.requests import json_or_text

Limit = Annotated[int, msgspec.Meta(ge=1, le=200, description="The number of items of a page.")]
Text = Annotated[str, msgspec.Meta(max_length=1000)]
Seconds = Annotated[float, msgspec.Meta(ge=0, le=1e10)]

Arguments = tuple[list[Any], dict[str, Any]]


class Why(msgspec.Struct, forbid_unknown_fields=True, omit_defaults=True):
    """Why it is done, for those who look later."""

    reason: Text | None = None


class Nothing(msgspec.Struct, forbid_unknown_fields=True):
    """No fields: an empty object, or no body."""


class Filters(msgspec.Struct, forbid_unknown_fields=True, omit_defaults=True, kw_only=True):
    """Which runs: all conditions must hold."""

    status: list[RunStatus] = []
    workflow: Text | None = None
    tag: list[Text] = []
    key: Text | None = None
    error_type: Text | None = None
    meta: list[Text] = []  # KEY=VALUE; a value that is not JSON is text
    older_than: Seconds | None = None  # created longer ago than these seconds
    newer_than: Seconds | None = None
    since: datetime | None = None  # created at or after this time; times without a zone are in UTC
    until: datetime | None = None  # created before this time
    failed_since: datetime | None = None
    failed_until: datetime | None = None
    forked_from: Text | None = None  # the id of a run
    id_prefix: Text | None = None
    arg: list[Text] = []  # PATH=VALUE, as "customer.id=42", or "0=north" for the first positional argument

    def chosen(self) -> RunFilters:
        """The filters as `Segue.select` takes them."""
        told: dict[str, Any] = {
            name: value
            for name in ("workflow", "tag", "key", "error_type", "forked_from", "id_prefix")
            if (value := getattr(self, name)) not in (None, [])
        }
        if self.status:
            told["status"] = [status.value for status in self.status]
        if self.meta:
            told["metadata"] = dict(map(pair, self.meta))
        if self.arg:
            told["arguments"] = dict(map(pair, self.arg))
        for name in ("since", "until", "failed_since", "failed_until"):
            if getattr(self, name) is not None:
                told[name] = moment(getattr(self, name))
        for age in ("older_than", "newer_than"):
            if getattr(self, age) is not None:
                told[age] = timedelta(seconds=getattr(self, age))
        return told  # type: ignore[return-value]


def pair(text: str) -> tuple[str, Any]:
    """KEY=VALUE: a value that is not JSON is text."""
    name, _, value = text.partition("=")
    return name, json_or_text(value)


def moment(given: datetime, zone: str = "UTC") -> datetime:
    """A time; one without a zone is in this zone."""
    return given if given.tzinfo is not None else given.replace(tzinfo=UTC if zone == "UTC" else ZoneInfo(zone))
