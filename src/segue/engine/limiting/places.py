"""The free places and tokens of limits at one moment. Pure.

A limit of n places is full when the costs of running steps add up to n. A step whose cost is larger than the whole
limit runs when no other step holds a place: otherwise it could never run.

A rate is a bucket of tokens that fills evenly. Only the time at which it will be full again is stored: `full_at`; the
time until then corresponds to the tokens taken. A step may start when the bucket contains its cost (or is full, if the
cost is larger).
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from datetime import datetime, timedelta

import msgspec

from segue.plan.graph import LimitTerms
from segue.plan.indexed import SEPARATOR
from segue.plan.lanes import Use
from segue.plan.namespaces import bare, beside

QUEUE, TASK = "queue:", "task:"
SAVED_SECONDS = 0.1
"""The default size of a bucket, as the time that it takes to fill."""

LimitKey = tuple[str, str]  # a limit and a value of its key
_MICROSECOND = timedelta(microseconds=1)
_ROUNDED_SECONDS = 1.5e-6  # what rounding to microseconds may have added


class Held(msgspec.Struct, frozen=True):
    """Why places and tokens are not available now: the first limit that has too few."""

    use: Use
    wait_seconds: float | None = None  # until a rate has the tokens; None: until places are given back


def burst_of(terms: LimitTerms) -> float:
    """The number of tokens that may accumulate."""
    if terms.rate is None:
        return math.inf
    if terms.burst is not None:
        return terms.burst
    return max(1.0, terms.rate / terms.period * SAVED_SECONDS)


def limit_of_queue(queue: str) -> str:
    """The stored name of the limit of a stored queue."""
    return beside(queue, f"{QUEUE}{bare(queue)}") if SEPARATOR in queue else f"{QUEUE}{queue}"


def limit_of_task(queue: str, task: str) -> str:
    """The stored name of the limit of a task, in the namespace of a stored queue."""
    return beside(queue, f"{TASK}{task}") if SEPARATOR in queue else f"{TASK}{task}"


def with_bound(uses: tuple[Use, ...], queue: str, task: str, cost: int, bound: Iterable[str]) -> tuple[Use, ...]:
    """The uses of a step, with those of its queue's and task's limits, if these limits apply to all their steps."""
    named = {use.limit for use in uses}
    own = (limit_of_queue(queue), limit_of_task(queue, task))
    return (*uses, *(Use(name, "", cost) for name in own if name in bound and name not in named))


class Places:
    """Checks whether uses are available, and takes them."""

    def __init__(
        self,
        terms: Mapping[str, LimitTerms],
        taken: Mapping[LimitKey, int],
        full_at: Mapping[LimitKey, datetime],
        now: datetime,
    ) -> None:
        self.terms = terms
        self._taken = dict(taken)
        self._full_at = dict(full_at)
        self._now = now

    def held(self, uses: Iterable[Use]) -> Held | None:
        """Why they are not available; None if they are."""
        for use in uses:
            terms = self.terms.get(use.limit)
            if terms is None:
                continue
            limit_key = (use.limit, use.key)
            if terms.concurrency is not None:
                taken = self._taken.get(limit_key, 0)
                if taken + min(use.cost, max(terms.concurrency, 1)) > terms.concurrency:
                    return Held(use)
            if terms.rate is not None:
                seconds = self._seconds_until(terms, use)
                if seconds > 0:
                    return Held(use, seconds)
        return None

    def take(self, uses: Iterable[Use], count: int = 1) -> None:
        """Take them, `count` times."""
        for use in uses:
            terms = self.terms.get(use.limit)
            if terms is None:
                continue
            limit_key = (use.limit, use.key)
            self._taken[limit_key] = self._taken.get(limit_key, 0) + use.cost * count
            if terms.rate is not None:
                self._full_at[limit_key] = self.full_after(use, count)

    def free(self, use: Use) -> int | None:
        """The number of free places; None if there is no such limit."""
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
        # Rounded up, so that the sum of many small ones is never exceeded.
        return since + math.ceil(use.cost * count * terms.period / terms.rate * 1e6) * _MICROSECOND

    def _seconds_until(self, terms: LimitTerms, use: Use) -> float:
        if not terms.rate:
            return math.inf
        burst = burst_of(terms)
        per_second = terms.rate / terms.period
        missing = max((self._full_at.get((use.limit, use.key), self._now) - self._now).total_seconds(), 0.0)
        wait = missing - (burst - min(use.cost, burst)) / per_second
        return wait if wait > _ROUNDED_SECONDS else 0.0
