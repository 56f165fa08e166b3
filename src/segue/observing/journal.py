"""The raw events of one transaction, noted as they happen.

A transaction has a journal only if an observer or subscription exists. Otherwise it is None, and a note costs only the
check for that.
"""

from __future__ import annotations

from datetime import datetime

import msgspec


class RawEvent(msgspec.Struct, array_like=True):
    """One event as the engine knows it. Its reader looks up names and labels later."""

    kind: str
    run_id: str | None
    step: int | None = None
    attempt: int | None = None
    error: str | None = None  # JSON, as stored in the database
    detail: str | None = None  # JSON object
    event_id: str | None = None  # of the row in segue_events, if it has one


class Journal:
    """The raw events of one transaction, of the kinds that are observed or subscribed to."""

    __slots__ = ("at", "raw_events", "wanted")

    def __init__(self, wanted: frozenset[str], at: datetime) -> None:
        self.wanted = wanted
        self.at = at
        self.raw_events: list[RawEvent] = []

    def note(
        self,
        kind: str,
        run_id: str | None,
        step: int | None = None,
        attempt: int | None = None,
        *,
        error: str | None = None,
        detail: str | None = None,
        event_id: str | None = None,
    ) -> None:
        """Note it, if this kind is observed or subscribed to."""
        if kind in self.wanted:
            where = None if run_id is None else str(run_id)  # a caller's own driver may have made a UUID of it
            self.raw_events.append(RawEvent(kind, where, step, attempt, error, detail, event_id))
