"""What happened in one transaction, noted while it happens.

A transaction has a journal only when somebody listens; otherwise it is None, and noting costs the look at that.
"""

from __future__ import annotations

from datetime import datetime

import msgspec


class Happening(msgspec.Struct, array_like=True):
    """One thing that happened, as the engine knows it: names and labels are looked up later, by who needs them."""

    kind: str
    run_id: str | None
    step: int | None = None
    attempt: int | None = None
    error: str | None = None  # JSON, as the database has it
    detail: str | None = None  # JSON object
    event_id: str | None = None  # of the row in segue_events, when there is one


class Journal:
    """The happenings of one transaction, of the kinds that somebody wants to hear of."""

    __slots__ = ("at", "happenings", "wanted")

    def __init__(self, wanted: frozenset[str], at: datetime) -> None:
        self.wanted = wanted
        self.at = at
        self.happenings: list[Happening] = []

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
        """Note it, if anybody wants to hear of this kind."""
        if kind in self.wanted:
            where = None if run_id is None else str(run_id)  # a caller's own driver may have made a UUID of it
            self.happenings.append(Happening(kind, where, step, attempt, error, detail, event_id))
