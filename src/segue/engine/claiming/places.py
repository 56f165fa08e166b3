"""What is free of limits at one moment: places that nobody holds, and tokens of rates. Pure.

A limit of n places is full when the costs of what runs come to n. A step whose cost is larger than the whole limit runs
when nobody else holds a place: it could never run otherwise.

A rate is a bucket of tokens that fills evenly. Kept is only when it will be full again: `full_at`; what is missing
until then is what was taken. A step may start when the bucket holds its cost (or is full, when the cost is larger).
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from datetime import datetime, timedelta

import msgspec

from segue.plan.graph import LimitTerms
from segue.plan.lanes import Use

QUEUE, TASK = "queue:", "task:"
SAVED_SECONDS = 0.1
"""So long a bucket fills, when nobody says how large it is."""

Spot = tuple[str, str]  # a limit and a value of its key
_MICROSECOND = timedelta(microseconds=1)
_ROUNDED_SECONDS = 1.5e-6  # what rounding to microseconds may have added


class Held(msgspec.Struct, frozen=True):
    """Why uses cannot be had now: the first limit that has not enough."""

    use: Use
    wait_seconds: float | None = None  # until a rate has the tokens; None: until somebody gives places back


def burst_of(terms: LimitTerms) -> float:
    """How many tokens may be saved up."""
    if terms.rate is None:
        return math.inf
    if terms.burst is not None:
        return terms.burst
    return max(1.0, terms.rate / terms.period * SAVED_SECONDS)


def with_bound(uses: tuple[Use, ...], queue: str, task: str, cost: int, bound: Iterable[str]) -> tuple[Use, ...]:
    """The uses of a step, with those of its queue's and task's limits, where these bind every step of theirs."""
    named = {use.limit for use in uses}
    own = (f"{QUEUE}{queue}", f"{TASK}{task}")
    return (*uses, *(Use(name, "", cost) for name in own if name in bound and name not in named))


class Places:
    """Says whether uses can be had, and takes them."""

    def __init__(
        self,
        terms: Mapping[str, LimitTerms],
        taken: Mapping[Spot, int],
        full_at: Mapping[Spot, datetime],
        now: datetime,
    ) -> None:
        self.terms = terms
        self._taken = dict(taken)
        self._full_at = dict(full_at)
        self._now = now

    def held(self, uses: Iterable[Use]) -> Held | None:
        """Why they cannot be had; None when they can."""
        for use in uses:
            terms = self.terms.get(use.limit)
            if terms is None:
                continue
            spot = (use.limit, use.key)
            if terms.concurrency is not None:
                taken = self._taken.get(spot, 0)
                if taken + min(use.cost, max(terms.concurrency, 1)) > terms.concurrency:
                    return Held(use)
            if terms.rate is not None:
                seconds = self._seconds_until(terms, use)
                if seconds > 0:
                    return Held(use, seconds)
        return None

    def take(self, uses: Iterable[Use], count: int = 1) -> None:
        """Have them, `count` times."""
        for use in uses:
            terms = self.terms.get(use.limit)
            if terms is None:
                continue
            spot = (use.limit, use.key)
            self._taken[spot] = self._taken.get(spot, 0) + use.cost * count
            if terms.rate is not None:
                self._full_at[spot] = self.full_after(use, count)

    def free(self, use: Use) -> int | None:
        """How many places nobody holds; None when there is no such limit."""
        terms = self.terms.get(use.limit)
        if terms is None or terms.concurrency is None:
            return None
        return max(terms.concurrency - self._taken.get((use.limit, use.key), 0), 0)

    def full_after(self, use: Use, count: int) -> datetime:
        """When the bucket of a rate will be full again if this is taken from it, `count` times."""
        terms = self.terms[use.limit]
        since = max(self._full_at.get((use.limit, use.key), self._now), self._now)
        if not terms.rate:
            return since
        # Rounded up, so that many small ones are never more than their sum.
        return since + math.ceil(use.cost * count * terms.period / terms.rate * 1e6) * _MICROSECOND

    def _seconds_until(self, terms: LimitTerms, use: Use) -> float:
        if not terms.rate:
            return math.inf
        burst = burst_of(terms)
        per_second = terms.rate / terms.period
        missing = max((self._full_at.get((use.limit, use.key), self._now) - self._now).total_seconds(), 0.0)
        wait = missing - (burst - min(use.cost, burst)) / per_second
        return wait if wait > _ROUNDED_SECONDS else 0.0
