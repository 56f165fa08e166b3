"""Outcomes that blocked a turn: they are kept aside and tried in separate groups, so that all others are recorded.

A group that is refused is halved until the outcome that cannot be written is found, or the run that another transaction
holds. One group is tried after each successful turn, so the worker continues its heartbeats and claims meanwhile. Pure;
the caller passes the time.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import msgspec

from segue.engine.backoff import longer_wait
from segue.model import Outcome

FIRST_SECONDS = 0.1
LONGEST_SECONDS = 10.0


class Group(msgspec.Struct, eq=False):
    """Outcomes that are tried together."""

    outcomes: list[Outcome]
    try_at: float = 0.0
    wait_seconds: float = 0.0
    is_rewritten: bool = False  # its first outcome was replaced by the error that it could not be written
    refusals: int = 0  # of its only outcome, in its current form


class Aside:
    """The groups of one worker."""

    def __init__(self, monotonic: Callable[[], float]) -> None:
        self._monotonic = monotonic
        self._groups: list[Group] = []

    def __bool__(self) -> bool:
        return bool(self._groups)

    @property
    def outcomes(self) -> list[Outcome]:
        """All outcomes that are kept."""
        return [outcome for group in self._groups for outcome in group.outcomes]

    @property
    def wait_seconds(self) -> float | None:
        """The seconds until the next one is to be tried; None if there is none."""
        if not self._groups:
            return None
        return max(min(group.try_at for group in self._groups) - self._monotonic(), 0.0)

    def put(self, outcomes: Sequence[Outcome]) -> None:
        """Keep these, and try them at the next opportunity."""
        if outcomes:
            self._groups.append(Group(list(outcomes), self._monotonic()))

    def join(self, outcomes: Sequence[Outcome]) -> list[Outcome]:
        """Keep the outcomes of runs that have outcomes here already: those runs are held. Returns the others."""
        waiting = {
            outcome.run_id: group for group in self._groups if not group.is_rewritten for outcome in group.outcomes
        }
        others = []
        for outcome in outcomes:
            group = waiting.get(outcome.run_id)
            if group is None:
                others.append(outcome)
            else:
                group.outcomes.append(outcome)
        return others

    def take(self) -> Group | None:
        """The group that is due. It is no longer kept, unless it is put back."""
        now = self._monotonic()
        due = min(self._groups, key=lambda group: group.try_at, default=None)
        if due is None or due.try_at > now:
            return None
        self._groups.remove(due)
        return due

    def later(self, group: Group, outcomes: Sequence[Outcome] | None = None) -> None:
        """Put the group (or the given part of it) back to wait: each time for twice as long."""
        group.outcomes = group.outcomes if outcomes is None else list(outcomes)
        group.wait_seconds = longer_wait(
            group.wait_seconds, first_seconds=FIRST_SECONDS, longest_seconds=LONGEST_SECONDS
        )
        group.try_at = self._monotonic() + group.wait_seconds
        self._groups.append(group)

    def again(self, group: Group) -> None:
        """Put the group back, to be tried at the next opportunity."""
        group.try_at = self._monotonic()
        self._groups.append(group)

    def halve(self, group: Group, *, at_once: bool) -> None:
        """Try its halves separately. Without `at_once` they wait as long as the group did."""
        middle = len(group.outcomes) // 2
        for half in (group.outcomes[:middle], group.outcomes[middle:]):
            part = Group(half, self._monotonic(), group.wait_seconds, group.is_rewritten)
            if at_once:
                self._groups.append(part)
            else:
                self.later(part)
